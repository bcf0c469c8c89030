"""The process of a member that is no training, `python -m rlctl.plans.task DIRECTORY`: an evaluation, comparison or script.

It ends when it is told to, and when nobody waits for it any more, with all that it has started.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import attrs

from rlctl.errors import ExitCode, RlctlError
from rlctl.evaluations import Evaluation
from rlctl.events import Failure, Progress, Result
from rlctl.launch.evaluate import EvaluationOptions, evaluate
from rlctl.plans.comparison import compare
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_json, write_json
from rlctl.runs.lease import STAGE_VARIABLE, leave, leave_if_fenced, stage_of_process
from rlctl.worker.signals import kill_own_group
from rlctl.worker.status import StatusFile, close_status, finite

_LOOK_SECONDS = 0.2


def main(path: Path) -> int:
    """Do what the directory's request.json asks for; its result.json says how it went, answer.json what was found."""
    directory = RunDirectory(path.resolve())
    stage = stage_of_process()
    os.environ.pop(STAGE_VARIABLE, None)  # the runs and evaluations that we start are not what we hold
    request = read_json(directory.path / "request.json") or {}
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        watch = threading.Thread(target=_watch_stdin, args=(request["grace"], stage), name="rlctl-stdin", daemon=True)
        watch.start()
    supervisor = (read_json(directory.status) or {}).get("supervisor")
    StatusFile(directory.status, supervisor, stage).write("running", Progress(step=0, episodes=0, seconds=0.0), None)
    began = time.monotonic()
    result = attrs.evolve(_outcome(request, directory, stage), seconds=round(time.monotonic() - began, 3))
    leave_if_fenced(stage)
    directory.release_reserve()
    close_status(directory.status, result, stage)
    write_json(directory.result, finite(attrs.asdict(result)), stage=stage)
    return result.exit_code


def _outcome(request: dict[str, Any], directory: RunDirectory, stage: Path | None) -> Result:
    try:
        write_json(directory.path / "answer.json", _work(request, directory), stage=stage)
    except KeyboardInterrupt:
        return Result(status="stopped", reason="stopped", exit_code=ExitCode.INTERRUPTED)
    except RlctlError as error:
        return _failure(type(error).__name__, str(error), "")
    except Exception as error:  # noqa: BLE001 - whatever a library raises is why it failed
        return _failure(type(error).__name__, str(error), traceback.format_exc())
    return Result(status="finished", reason="done")


def _work(request: dict[str, Any], directory: RunDirectory) -> dict[str, Any]:
    if request["kind"] == "evaluate":
        return _evaluate(request)
    return _compare(request) if request["kind"] == "compare" else _script(request, directory)


def _failure(kind: str, message: str, trace: str) -> Result:
    failure = Failure(kind=kind, message=message, traceback=trace)
    return Result(status="failed", reason=f"{kind}: {message}", failure=failure, exit_code=ExitCode.RUN_FAILED)


def _evaluate(request: dict[str, Any]) -> dict[str, Any]:
    options = EvaluationOptions(**request["options"])
    found = evaluate(request["run"], checkpoint=request["checkpoint"], options=options, runs_dir=request["runs_dir"])
    if not found.returns:
        raise RlctlError("no episode has ended")
    evaluations = [evaluation.to_json() for evaluation in found.evaluations]
    return {"run": found.what, "path": str(found.path), "step": found.step, "evaluations": evaluations}


def _compare(request: dict[str, Any]) -> dict[str, Any]:
    scores: dict[str, list[float]] = {}
    for name, answers in request["groups"].items():
        for path in answers:
            said = (read_json(Path(path)) or {})["evaluations"]
            returns = [value for line in said for value in Evaluation.from_json(line).returns]
            scores.setdefault(name, []).append(sum(returns) / len(returns))
    return compare(scores, request["confidence"])


def _script(request: dict[str, Any], directory: RunDirectory) -> dict[str, Any]:
    process = subprocess.Popen(request["argv"], stdin=subprocess.DEVNULL, env={**os.environ, **request["environment"]})
    try:
        code = process.wait()
    except KeyboardInterrupt:
        _end_group(process)
        raise
    if code != 0:
        write_json(directory.path / "answer.json", {"exit_code": code})
        tail = next((line for line in reversed(directory.log_tail(50).splitlines()) if line.strip()), "")
        raise RlctlError(f"{request['argv'][0]} ended with code {code}" + (f": {tail.strip()}" if tail else ""))
    return {"exit_code": code}


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Tell a script to end, and all that it waits for: a shell dies of SIGTERM at once, a training saves what it has first.

    Ctrl-C's SIGINT would have a shell begin its next line. The host, or the end of our own grace, kills who stays.
    """
    if os.getpgrp() != os.getpid():
        process.send_signal(signal.SIGTERM)
        process.wait()
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # we are in that group, too
    os.killpg(os.getpid(), signal.SIGTERM)
    process.wait()
    while _others_in_group():
        time.sleep(_LOOK_SECONDS)


def _others_in_group() -> bool:
    """Return whether something lives in our process group beside us, zombies aside."""
    with subprocess.Popen(["ps", "-A", "-o", "pid=,pgid=,stat="], stdout=subprocess.PIPE, text=True) as listing:
        rows = [line.split() for line in listing.communicate()[0].splitlines()]
    ours = (str(os.getpid()), str(listing.pid))
    return any(group == ours[0] and pid not in ours and state[0] != "Z" for pid, group, state in rows)


def _watch_stdin(grace: float, stage: Path | None) -> None:
    while os.read(0, 4096):
        pass
    if stage is not None:
        leave()  # another process begins it again, and must not meet this one
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(grace)
    kill_own_group()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
