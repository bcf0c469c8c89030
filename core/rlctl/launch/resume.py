"""Goes on with a run in its own directory: the checkpoint, what may have drifted since, and the files cut back to it."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from rlctl.config.layers import Layer, origins_of
from rlctl.descriptors import WorkerDescriptor
from rlctl.errors import CheckpointError, ConfigError, Problem, UsageError
from rlctl.events import RunInfo
from rlctl.launch.parent import require_same_algorithm
from rlctl.launch.prepare import Prepared
from rlctl.launch.start import host_manifest
from rlctl.runs.abandoned import set_aside
from rlctl.runs.checkpoints import Checkpoint, CheckpointFolder
from rlctl.runs.directory import RunDirectory, process_identity, state_of
from rlctl.runs.files import read_json, read_lines, write_json, write_lines
from rlctl.runs.lease import FOLDER, Attempts
from rlctl.runs.manifest import installed_packages, redacted
from rlctl.worker.eventlog import append_event
from rlctl.worker.making import run_info
from rlctl.worker.saving import CUT_BACK
from rlctl.worker.status import initial_status


@frozen
class Resumption:
    """A run that can go on: where, from which checkpoint, with which configuration."""

    directory: RunDirectory
    checkpoint: Checkpoint
    layer: Layer


def find_resumption(
    directory: RunDirectory,
    reference: str,
    total_timesteps: int | None,
    total_episodes: int | None,
    stop_at: int | None = None,
    early_stopping: bool = True,
    *,
    held: bool = False,
) -> Resumption:
    """Return how a run would go on; raises UsageError or CheckpointError when it cannot.

    `held` says that this process holds the run's lease, so that nobody else can be training it.
    The configuration is the run's own. A new budget is absolute, not added; without one, the run's own holds.
    """
    if not held:
        _require_ended(directory)
    config = dict((read_json(directory.config) or {}).get("config") or {})
    if not config:
        raise CheckpointError(f"{directory.config} cannot be read.")
    checkpoint = CheckpointFolder(directory.path / "checkpoints").find_sound(reference)
    if total_timesteps is not None or total_episodes is not None:
        config |= {"total_timesteps": total_timesteps, "total_episodes": total_episodes}
    config["stop_at"] = stop_at
    result = read_json(directory.result) or {}
    if not early_stopping:
        config["early_stopping"] = {}
    elif result.get("stopped_by") == "early_stopping" and checkpoint.step == result["step"]:
        raise UsageError(
            f"run {directory.run_id} was ended by {result['reason']}.",
            hint="Go on without early stopping: --no-early-stopping.",
        )
    return Resumption(directory, checkpoint, Layer(f"run {directory.run_id}", config))


def require_resumable(resumption: Resumption, prepared: Prepared, allow_drift: bool) -> None:
    """Raise for a run that is not the checkpoint's any more, or has nothing left to do."""
    assert prepared.worker is not None and prepared.config is not None
    descriptor = prepared.worker.descriptor
    require_resumable_worker(descriptor)
    require_same_algorithm(resumption.checkpoint, prepared, "checkpoint")
    drift = list(drifted(resumption.checkpoint.data, prepared))
    if drift and not allow_drift:
        raise ConfigError([Problem(path, text, "Go on all the same with --allow-drift.") for path, text in drift])
    step, episodes = resumption.checkpoint.step, int(resumption.checkpoint.data["episodes"])
    config = prepared.config
    if config.stop_at is not None and config.stop_at <= step:
        raise UsageError(f"--stop-at {config.stop_at} is not after step {step}, from which the run goes on.")
    if (config.total_timesteps is not None and step >= config.total_timesteps) or (
        config.total_episodes is not None and episodes >= config.total_episodes
    ):
        raise UsageError(
            f"run {resumption.directory.run_id} has used up its budget at step {step}.",
            hint="Give a new limit: --total-timesteps N, counted from the run's beginning.",
        )


def require_resumable_worker(worker: WorkerDescriptor) -> None:
    """Raise UsageError for a worker that declares that it cannot resume a run."""
    if not worker.resume.goes_on:
        raise UsageError(f'worker "{worker.name}" cannot resume a run (resume: {worker.resume.value}).')


def drifted(data: Mapping[str, Any], prepared: Prepared) -> list[tuple[str, str]]:
    """Return (what, how it differs) for everything whose change may make the resumed run another one."""
    assert prepared.worker is not None
    now = {name.lower(): version for name, version in installed_packages().items()}
    now["python"] = sys.version.split()[0]
    found = []
    for name, version in data["versions"].items():
        installed = now.get(name.lower()) or now.get(name.replace("-", "_")) or "not installed"
        if installed != version:
            found.append((name, f"was {version} when the checkpoint was saved, is {installed}"))
    entry, plugin = data["worker"], prepared.worker.plugin
    if entry["version"] != plugin.version:
        message = f"was {entry['version']} when the checkpoint was saved, is {plugin.version}"
        found.append((entry["distribution"], message))
    before, after = (entry.get("source") or {}).get("sha256"), prepared.provenance.get("sha256")
    if before != after:
        found.append(("worker", f"its source has changed since the checkpoint: {before} became {after}"))
    effective = prepared.effective()
    for key in ("env", "hyperparameters"):
        found += _differences(key, data[key], effective[key])
    return found


def _differences(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"{path}.{name}", f"was {before.get(name)!r} when the checkpoint was saved, is {after.get(name)!r}")
        for name in sorted({*before, *after})
        if _plain(before.get(name)) != _plain(after.get(name))
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def reopen(resumption: Resumption, prepared: Prepared, relay: list[str], report: Callable[[str], None]) -> RunInfo:
    """Make the directory ready to go on. Every step can be repeated: a kill in between costs nothing but another try."""
    handle = os.open(resumption.directory.path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # of two that resume at the same moment, the second sees the first's status
        _require_ended(resumption.directory)
        with Attempts(resumption.directory.path / FOLDER).taken_over(report) as stage:
            resumption.directory.stop_request.unlink(missing_ok=True)
            return reopen_held(resumption, prepared, relay, report, process_identity(), stage)
    finally:
        os.close(handle)


def _require_ended(directory: RunDirectory) -> None:
    if state_of(directory) in ("created", "running"):
        hint = f"Stop it first: rlctl runs stop {directory.run_id}"
        if (directory.path / FOLDER).exists():
            hint += f". Or follow it: rlctl attach {directory.run_id}"
        raise UsageError(f"run {directory.run_id} is still running.", hint=hint)


def reopen_held(
    resumption: Resumption,
    prepared: Prepared,
    relay: list[str],
    report: Callable[[str], None],
    supervisor: dict[str, Any],
    stage: Path | None,
) -> RunInfo:
    """Make the directory ready to go on: `reopen` for who holds its lease, whose `stage` that is, or knows that there is none.

    `supervisor` is the process that waits for the run.
    """
    directory, checkpoint = resumption.directory, resumption.checkpoint
    # First of all: a later `latest` beside files that are cut back already would leave a gap in the curve.
    abandoned = set_aside(directory, checkpoint, (*CUT_BACK, directory.evaluations.name))
    if abandoned is not None:
        report(f"later checkpoints and the records up to them are kept in {abandoned}")
    for name in CUT_BACK:
        _cut_back(directory.path / name, checkpoint.data["positions"].get(name, 0), stage)
    _keep_evaluations_until(checkpoint, directory.evaluations)
    directory.relay.unlink(missing_ok=True)
    effective = prepared.effective()
    manifest = read_json(directory.manifest) or {}
    entry = {
        "at": time.time(),
        "checkpoint_step": checkpoint.step,
        "checkpoint_sha256": checkpoint.sha256(),
        "command": redacted(sys.argv),
    }
    resumes = [*(manifest.get("resumes") or []), entry]
    write_json(directory.manifest, {**manifest, **host_manifest(prepared, relay), "resumes": resumes}, stage=stage)
    before = (read_json(directory.config) or {}).get("origins") or {}
    origins = origins_of(effective, prepared.merged)
    kept = {path: before.get(path, origin) if origin.startswith("run ") else origin for path, origin in origins.items()}
    write_json(directory.config, {"config": effective, "origins": kept, "declared": prepared.declared}, stage=stage)
    write_json(directory.status, initial_status(supervisor), stage=stage)
    directory.result.unlink(missing_ok=True)
    append_event(directory.events, "run_resumed", step=checkpoint.step)
    return run_info(directory, effective)


def _keep_evaluations_until(checkpoint: Checkpoint, path: Path) -> None:
    """Leave out evaluations of what comes after the checkpoint; that of this very checkpoint was made later, and holds."""
    if not path.exists():
        return
    known = (checkpoint.step, checkpoint.sha256())
    lines = list(read_lines(path))
    found = [line for line in lines if {"step", "checkpoint"} <= line.keys()]  # what is none is left out as well
    kept = [line for line in found if line["step"] < known[0] or (line["step"], line["checkpoint"]) == known]
    if kept != lines or not path.read_bytes().endswith(b"\n"):
        write_lines(path, kept)


def _cut_back(path: Path, length: int, stage: Path | None) -> None:
    """Shorten a file to where the checkpoint was; a shorter one (it was lost, or copied early) is left as it is.

    Under a lease it is replaced by a copy: what a process that wakes up still writes, goes to the file that nobody sees.
    """
    if not path.exists():
        return
    if stage is None:
        if path.stat().st_size > length:
            os.truncate(path, length)
        return
    copy = stage / path.name
    shutil.copyfile(path, copy)
    if copy.stat().st_size > length:
        os.truncate(copy, length)
    os.replace(copy, path)
