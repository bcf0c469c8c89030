"""What a worker process makes of a run's directory: the run with its callbacks, saver and evaluator, and the backend."""

from __future__ import annotations

import sys
import traceback
from typing import Any

from rlctl.descriptors import CallbackDescriptor, WorkerDescriptor, resolve
from rlctl.errors import PluginError
from rlctl.events import CheckpointSaved, RunInfo
from rlctl.plugins import load_only
from rlctl.runs.checkpoints import Checkpoint, CheckpointFolder
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_json
from rlctl.runs.lease import stage_of_process
from rlctl.worker.beginning import Resumed, beginning_of
from rlctl.worker.dispatch import Dispatcher
from rlctl.worker.evaluating import Evaluator, training_request
from rlctl.worker.eventlog import append_event
from rlctl.worker.observing import EnvObserver
from rlctl.worker.relay import RelayWriter
from rlctl.worker.run import Run
from rlctl.worker.saving import Saver
from rlctl.worker.status import StatusFile


class CriticalCallbackError(Exception):
    """A callback without which the run is not worth its electricity has failed."""


def make_run(directory: RunDirectory) -> Run:
    """Return the run of a directory, with its callbacks, as its configuration and its manifest say."""
    config = (read_json(directory.config) or {})["config"]
    manifest = read_json(directory.manifest) or {}
    info = run_info(directory, config)
    dispatcher = Dispatcher(FailureReport(directory, _critical_callbacks(manifest)))
    callbacks = manifest["callbacks"].items()
    observers = [_add_callback(dispatcher, name, entry, info, directory) for name, entry in callbacks]
    if manifest.get("relay"):
        dispatcher.register("relay", RelayWriter(directory.relay, manifest["relay"]))
    resumed = _resumed_checkpoint(directory, manifest)
    evaluator = _make_evaluator(directory, config)
    saver = _make_saver(directory, config, manifest, dispatcher)
    saver.keep = evaluator.steps_to_keep() if evaluator else set()
    return Run(
        info,
        saver=saver,
        evaluator=evaluator,
        beginning=Resumed(resumed) if resumed else beginning_of(manifest.get("parent")),
        directory=directory,
        hyperparameters=config["hyperparameters"],
        horizon=manifest["horizon"],
        dispatcher=dispatcher,
        status=StatusFile(directory.status, (read_json(directory.status) or {}).get("supervisor"), stage_of_process()),
        threads=config.get("threads"),
        source=manifest["worker"].get("source"),
        env_observers=[observer for observer in observers if observer is not None],
    )


def _make_saver(
    directory: RunDirectory, config: dict[str, Any], manifest: dict[str, Any], dispatcher: Dispatcher
) -> Saver:
    settings = config["checkpoint"]

    def saved(checkpoint: Checkpoint, reason: str) -> None:
        append_event(directory.events, "checkpoint_saved", step=checkpoint.step, reason=reason)
        event = CheckpointSaved(step=checkpoint.step, path=checkpoint.path, reason=reason, sha256=checkpoint.sha256())
        dispatcher.call("rlctl_checkpoint_saved", checkpoint=event)

    worker = manifest["worker"]
    return Saver(
        directory,
        {
            "worker": {name: worker[name] for name in ("name", "distribution", "version", "source")},
            "algo": config["algo"],
            "env": config["env"],
            "env_spec": manifest.get("env"),
            "spaces": manifest.get("spaces"),
            "hyperparameters": config["hyperparameters"],
        },
        every_steps=settings["every_steps"],
        every_seconds=settings["every_seconds"],
        keep_last=settings["keep_last"],
        milestones=settings["milestones"],
        on_error=settings["on_error"],
        on_saved=saved,
        stage=stage_of_process(),
        report=lambda line: print(f"rlctl: {line}", file=sys.stderr, flush=True),
    )


def _make_evaluator(directory: RunDirectory, config: dict[str, Any]) -> Evaluator | None:
    said = config["evaluation"]
    if said["every_steps"] is None and said["every_episodes"] is None:
        return None
    return Evaluator(
        directory.evaluations,
        CheckpointFolder(directory.path / "checkpoints", stage_of_process()),
        training_request(config),
        # By name: only the process of a gymnasium worker has what it imports.
        resolve("rlctl.gym.evaluation:measure"),
        every_steps=said["every_steps"],
        every_episodes=said["every_episodes"],
        early_stopping=config["early_stopping"],
        keep_best=config["checkpoint"]["keep_best"],
    )


def _resumed_checkpoint(directory: RunDirectory, manifest: dict[str, Any]) -> Checkpoint | None:
    """Return the checkpoint that this process is to go on from, verified once more; None for a new run."""
    resumes = manifest.get("resumes") or []
    if not resumes:
        return None
    return CheckpointFolder(directory.path / "checkpoints").find_sound(str(resumes[-1]["checkpoint_step"]))


def run_info(directory: RunDirectory, config: dict[str, Any]) -> RunInfo:
    """Return who the run is, from its effective configuration."""
    return RunInfo(
        run_id=directory.run_id,
        directory=directory.path,
        worker=config["worker"],
        algo=config["algo"],
        env_id=config["env"]["id"],
        seed=config["seed"],
        total_timesteps=config.get("total_timesteps"),
        total_episodes=config.get("total_episodes"),
        config=config,
    )


def make_worker(directory: RunDirectory) -> Any:
    """Return the backend that the manifest names; no other plugin is loaded."""
    entry = (read_json(directory.manifest) or {})["worker"]
    descriptor = _descriptor(entry, "rlctl_workers", WorkerDescriptor)
    return resolve(descriptor.entry_point)()


def _descriptor(entry: dict[str, Any], hook: str, kind: type) -> Any:
    plugin = load_only(entry["distribution"], entry["plugin"])
    for descriptor in getattr(plugin, hook)():
        if isinstance(descriptor, kind) and descriptor.name == entry["name"]:  # type: ignore[attr-defined]
            return descriptor
    raise PluginError(f"plugin {entry['plugin']} of {entry['distribution']} no longer brings {entry['name']}")


def _critical_callbacks(manifest: dict[str, Any]) -> set[str]:
    return {name for name, entry in manifest["callbacks"].items() if entry["critical"]}


def _add_callback(
    dispatcher: Dispatcher, name: str, entry: dict[str, Any], info: RunInfo, directory: RunDirectory
) -> EnvObserver | None:
    """Make a callback; returns what sees the steps of environments for it, if anything does."""
    if entry["process"] != "worker":
        return None
    try:
        descriptor: CallbackDescriptor = _descriptor(entry, "rlctl_callbacks", CallbackDescriptor)
        dispatcher.register(name, resolve(descriptor.factory)(info, **entry["options"]))
    except Exception as error:  # noqa: BLE001 - a callback that cannot be made is one that failed
        FailureReport(directory, {name} if entry["critical"] else set())(name, "its construction", error)
        return None
    if descriptor.env_observer is None:
        return None
    return EnvObserver(name, descriptor.env_observer, info, entry["options"], entry["critical"])


class FailureReport:
    """Reports a failing callback once, in the log and in events.jsonl; a critical one ends the run."""

    def __init__(self, directory: RunDirectory, critical: set[str]) -> None:
        self._directory = directory
        self._critical = critical

    def __call__(self, name: str, hook: str, error: BaseException) -> None:
        text = f"{type(error).__name__}: {error}"
        print(f"rlctl: callback {name} failed in {hook} and is switched off: {text}", file=sys.stderr, flush=True)
        traceback.print_exception(error)
        append_event(self._directory.events, "callback_failed", callback=name, hook=hook, error=text)
        if name in self._critical:
            raise CriticalCallbackError(f"critical callback {name} failed in {hook}: {text}") from error
