"""Makes a prepared run real: its directory with configuration and manifest, and the task for an executor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rlctl.compatibility import EnvFacts
from rlctl.config.layers import origins_of
from rlctl.descriptors import CallbackDescriptor, resolve
from rlctl.errors import UsageError
from rlctl.events import RunInfo
from rlctl.launch.executor import Demand, Executor, Task
from rlctl.launch.local import LocalExecutor
from rlctl.launch.machine import hardware
from rlctl.launch.parent import find_parent
from rlctl.launch.prepare import Prepared
from rlctl.plugins import Registered, Registry
from rlctl.runs.directory import RunDirectory, create, new_run_id, process_identity
from rlctl.runs.manifest import provenance
from rlctl.worker.eventlog import append_event
from rlctl.worker.making import run_info
from rlctl.worker.status import initial_status

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_FORBIDDEN_IN_ID = set('/\\\0 \t\n@*?"<>|:')


def create_run(
    prepared: Prepared,
    root: Path,
    run_id: str | None = None,
    relay: list[str] | None = None,
    parents: Path | None = None,
) -> RunInfo:
    """Make the directory of a sound run below `root`; a parent is looked for there, too, or in `parents`.

    `relay` names hooks whose calls the host wants to hear of.
    Raises UsageError for an id that cannot be a folder's name and RunDirectoryError when the place cannot be written.
    """
    if run_id is not None and not _is_name(run_id):
        raise UsageError(f'"{ascii(run_id)[1:-1]}" cannot be a run id: it becomes the name of a folder.')
    effective = prepared.effective()
    parent = find_parent(prepared, parents or root)
    files = {
        "manifest.json": {**provenance(hardware), **host_manifest(prepared, relay or []), "parent": parent},
        "config.json": {
            "config": effective,
            "origins": origins_of(effective, prepared.merged),
            "declared": prepared.declared,
        },
        "status.json": initial_status(process_identity()),
    }
    directory = create(root, run_id or new_run_id(), files)
    append_event(directory.events, "run_created", run_id=directory.run_id)
    return run_info(directory, effective)


def _is_name(run_id: str) -> bool:
    """Return whether a text can name a folder and be typed: no separators, no wildcards, nothing that moves a cursor."""
    return run_id.isprintable() and run_id[:1] not in ("", ".", "-") and not _FORBIDDEN_IN_ID & set(run_id)


def task_for(directory: RunDirectory, config: dict[str, Any]) -> Task:
    """Return the worker process of a run."""
    environment = {"PYTHONUNBUFFERED": "1", "SDL_NO_SIGNAL_HANDLERS": "1", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}
    if config.get("threads") is not None:
        environment |= {name: str(config["threads"]) for name in THREAD_VARIABLES}
    return Task(
        run_id=directory.run_id,
        argv=(sys.executable, "-m", "rlctl.worker", str(directory.path)),
        environment=environment,
        log=directory.log,
        directory=directory.path,
        demand=Demand(config.get("threads") or 1, seconds=config.get("time_limit")),
    )


def warm_up_of(prepared: Prepared) -> tuple[str, ...]:
    """Return what a run's process imports and calls before it begins, in its order; empty for a worker that is not to be forked."""
    assert prepared.worker is not None
    own = prepared.worker.descriptor.warm_up
    if own is None:
        return ()
    callbacks = [found for found in prepared.callbacks.values() if found.descriptor.process.value == "worker"]
    names = [name for found in callbacks for name in (found.plugin.module, found.descriptor.factory)]
    modules = dict.fromkeys(name.partition(":")[0] for name in (*names, prepared.worker.plugin.module))
    return ("rlctl.worker.main", "rlctl.worker.warm:find_plugins", *modules, own)


def make_executor(name: str, registry: Registry, address: str | None = None) -> Executor:
    """Return the executor of that name, of the engine at `address` where it takes one.

    Raises NotAvailableError when it is not there or cannot be reached, and PluginError.
    """
    if name == "local":
        return LocalExecutor()
    descriptor = registry.executor(name).descriptor
    factory = resolve(descriptor.factory)
    return factory(address) if descriptor.takes_address else factory()  # type: ignore[no-any-return]


def host_manifest(prepared: Prepared, relay: list[str]) -> dict[str, Any]:
    """Return the part of a manifest that the worker process goes by: which plugins, which callbacks, which horizon."""
    assert prepared.worker is not None and prepared.algorithm is not None and prepared.config is not None
    worker = prepared.worker
    return {
        "seed": prepared.config.seed,
        "device": None,  # the worker knows, and says it
        "worker": {
            **_plugin_entry(worker),
            "upstream": worker.descriptor.upstream,
            "resume": worker.descriptor.resume.value,
            "source": prepared.provenance,
        },
        "callbacks": {
            name: {
                **_plugin_entry(found),
                "process": found.descriptor.process.value,
                "critical": found.descriptor.critical,
                "options": prepared.config.callbacks[name],
            }
            for name, found in prepared.callbacks.items()
        },
        "env": prepared.env_facts.spec if prepared.env_facts else None,
        "spaces": spaces_of(prepared.env_facts) if prepared.env_facts else None,
        "horizon": prepared.config.total_timesteps or prepared.algorithm.default_total_timesteps,
        "relay": relay,
    }


def spaces_of(env: EnvFacts) -> dict[str, str]:
    """Return the environment's spaces as people read them."""
    return {"action": env.action_text, "observation": env.observation_text}


def _plugin_entry(found: Registered[Any]) -> dict[str, Any]:
    plugin = found.plugin
    return {
        "name": found.descriptor.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "plugin": plugin.name,
    }


def host_callbacks(prepared: Prepared) -> list[tuple[str, Registered[CallbackDescriptor]]]:
    """Return the run's callbacks that live in the host process."""
    return [(name, found) for name, found in prepared.callbacks.items() if found.descriptor.process.value == "host"]
