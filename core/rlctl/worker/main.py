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

import attrs

from rlctl.descriptors import Resume
from rlctl.errors import ExitCode
from rlctl.events import Failure, Result
from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_json, write_json
from rlctl.runs.lease import leave_if_fenced, stage_of_process
from rlctl.worker import warm
from rlctl.worker.eventlog import append_event
from rlctl.worker.making import CriticalCallbackError, make_run, make_worker
from rlctl.worker.run import Run
from rlctl.worker.signals import StopRequests, kill_own_group
from rlctl.worker.status import close_status, finite
from rlctl.worker.stopping import Stop


def main(argv: list[str]) -> int:
    """Run the training of the directory `argv[1]`; returns the process's exit code."""
    directory = RunDirectory(Path(argv[1]).resolve())
    stops = StopRequests()
    stops.catch_signals()
    run: Run | None = None
    try:
        run = make_run(directory)
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
    except CriticalCallbackError as error:
        result = attrs.evolve(_failure_of(error, run, directory), step=result.step)
    leave_if_fenced(stage_of_process())
    with contextlib.suppress(OSError):  # the result matters more, and says what is wrong if it is the disk
        append_event(directory.events, "training_ended", status=result.status, reason=result.reason)
        close_status(directory.status, result, stage_of_process())
    write_json(directory.result, finite(attrs.asdict(result)), stage=stage_of_process())
