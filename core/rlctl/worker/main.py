"""The worker process: loads one worker plugin and the named callbacks, trains, and always leaves a result.

    python -m rlctl.worker RUN_DIRECTORY

Everything it needs is in the run's directory: config.json (what to do) and manifest.json (which plugins do it). Its
stdin is a pipe that the supervisor holds open: at its end nobody waits any more, and the run is stopped.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from pathlib import Path
from typing import Any

import attrs

from rlctl.descriptors import CallbackDescriptor, Resume, WorkerDescriptor, resolve
from rlctl.errors import ExitCode, PluginError
from rlctl.events import CheckpointSaved, Failure, Result, RunInfo
from rlctl.plugins import load_only
from rlctl.runs.checkpoints import Checkpoint, CheckpointFolder
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_json, write_json
from rlctl.runs.lease import leave_if_fenced, stage_of_process
from rlctl.worker import warm
from rlctl.worker.beginning import Resumed, beginning_of
from rlctl.worker.dispatch import Dispatcher
from rlctl.worker.evaluating import Evaluator, training_request
from rlctl.worker.eventlog import append_event
from rlctl.worker.observing import EnvObserver
from rlctl.worker.relay import RelayWriter
from rlctl.worker.run import Run
from rlctl.worker.saving import Saver
from rlctl.worker.signals import StopRequests, kill_own_group
from rlctl.worker.status import StatusFile, close_status, finite
from rlctl.worker.stopping import Stop


class _CriticalCallbackError(Exception):
    """A callback without which the run is not worth its electricity has failed."""


def main(argv: list[str]) -> int:
    """Run the training of the directory `argv[1]`; returns the process's exit code."""
    directory = RunDirectory(Path(argv[1]).resolve())
    stops = StopRequests()
    stops.catch_signals()
    run: Run | None = None
    try:
        run = _make_run(directory)
        stops.deliver_to(run)
        worker = make_worker(directory)
        who = {"worker": run.info.worker, "algo": run.info.algo, "process": warm.origin()}
        append_event(directory.events, "training_started", **who)
        run.begin()
        worker.train(run)
        run.finish()
        result = _result_of(run, directory)
    except BaseException as error:  # noqa: BLE001 - SystemExit from a library too: it must leave a readable result
        with contextlib.suppress(Exception):  # the library may have closed stderr
            traceback.print_exc()
        leave_if_fenced(stage_of_process())
        _save_what_is_sound(run)
        result = _failure_of(error, run, directory)
    _finish(directory, run, result)
    if stops.abandoned:
        kill_own_group()  # no supervisor is left to end what the library has started
    return result.exit_code


def _save_what_is_sound(run: Run | None) -> None:
    """Save an emergency checkpoint if the exception came where the training's state is whole: from a callback, say."""
    if run is not None and run.at_safe_point:
        with contextlib.suppress(Exception):  # the first failure is the one to report
            run.save("emergency")


def _make_run(directory: RunDirectory) -> Run:
    config = (read_json(directory.config) or {})["config"]
    manifest = read_json(directory.manifest) or {}
    info = run_info(directory, config)
    dispatcher = Dispatcher(_FailureReport(directory, _critical_callbacks(manifest)))
    observers = [_add_callback(dispatcher, *item, info, directory) for item in manifest["callbacks"].items()]
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
        _FailureReport(directory, {name} if entry["critical"] else set())(name, "its construction", error)
        return None
    if descriptor.env_observer is None:
        return None
    return EnvObserver(name, descriptor.env_observer, info, entry["options"], entry["critical"])


class _FailureReport:
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
            raise _CriticalCallbackError(f"critical callback {name} failed in {hook}: {text}") from error


# ---- the end -------------------------------------------------------------------------------------------------------


def _result_of(run: Run, directory: RunDirectory) -> Result:
    stop = run.stop or Stop("returned", f"the backend ended its training at step {run.step}")
    stopped = stop.kind == "request"
    best = run.evaluator.best() if run.evaluator else None
    return Result(
        status="stopped" if stopped else "finished",
        reason=stop.reason,
        step=run.step,
        episodes=run.episodes,
        seconds=round(run.progress().seconds, 3),
        return_mean=run.return_mean,
        exit_code=_stop_code(stop, directory) if stopped else ExitCode.DONE,
        stopped_by=stop.kind,
        best_step=best.step if best else None,
        best_return=best.return_mean if best else None,
    )


def _stop_code(stop: Stop, directory: RunDirectory) -> int:
    """Return 75 for a run that can be resumed, and what a shell expects of an interrupted program for one that cannot."""
    resume = Resume(((read_json(directory.manifest) or {}).get("worker") or {}).get("resume", Resume.NONE))
    if resume.goes_on and CheckpointFolder(directory.path / "checkpoints").all():
        return ExitCode.STOPPED
    return ExitCode.INTERRUPTED if stop.signal == "SIGINT" else ExitCode.TERMINATED


def _failure_of(error: BaseException, run: Run | None, directory: RunDirectory) -> Result:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the library may have closed it
            stream.flush()
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - an exception that cannot even say what it is
        message = ""
    failure = Failure(
        kind=type(error).__name__,
        message=message,
        traceback="".join(traceback.format_exception(error)),
        log_tail=directory.log_tail(),
    )
    return Result(
        status="failed",
        reason=f"{type(error).__name__}: {message}" if message else type(error).__name__,
        step=run.step if run else 0,
        episodes=run.episodes if run else 0,
        seconds=round(run.progress().seconds, 3) if run else 0.0,
        return_mean=run.return_mean if run else None,
        failure=failure,
        exit_code=ExitCode.RUN_FAILED,
    )


def _finish(directory: RunDirectory, run: Run | None, result: Result) -> None:
    """Tell the callbacks and write the result, in that order: who sees a result may rely on all files being closed."""
    leave_if_fenced(stage_of_process())
    directory.release_reserve()
    try:
        if run is not None:
            run._dispatcher.call("rlctl_training_ended", result=result)  # noqa: SLF001 - the process around the run
    except _CriticalCallbackError as error:
        result = attrs.evolve(_failure_of(error, run, directory), step=result.step)
    leave_if_fenced(stage_of_process())
    with contextlib.suppress(OSError):  # the result matters more, and says what is wrong if it is the disk
        append_event(directory.events, "training_ended", status=result.status, reason=result.reason)
        close_status(directory.status, result, stage_of_process())
    write_json(directory.result, finite(attrs.asdict(result)), stage=stage_of_process())
