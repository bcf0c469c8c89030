"""What processes share that borrow a saved policy: they build its training, take the weights, use it, and are done.

Such a process is started as `python -m MODULE DIRECTORY`. The directory is one of a run that is never trained, with a
request.json besides; what is told meanwhile goes to told.jsonl, the outcome to answer.json. So every worker that can be
resumed can lend its policy, by the code that it trains with.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rlctl.errors import ExitCode, RlctlError
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import append_line, read_json, write_json
from rlctl.worker.beginning import PolicyLent, Weights
from rlctl.worker.dispatch import Dispatcher
from rlctl.worker.making import make_worker, run_info
from rlctl.worker.protocol import Resumable
from rlctl.worker.run import Run
from rlctl.worker.signals import kill_own_group

_GRACE = 10.0
"""Seconds from the request to end until the process kills itself."""


def answer(argv: list[str], work: Callable[[RunDirectory, dict[str, Any]], dict[str, Any]]) -> int:
    """Have `work(directory, request)` done for the directory `argv[1]`, and leave its answer there, or an error."""
    directory = RunDirectory(Path(argv[1]).resolve())
    _end_with_the_host()
    try:
        outcome = work(directory, read_json(directory.path / "request.json") or {})
    except RlctlError as error:
        outcome = {"error": error.message, "hint": error.hint, "exit_code": int(error.exit_code)}
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - whatever a library raises is the answer
        traceback.print_exc()
        outcome = {"error": f"{type(error).__name__}: {error}", "hint": None}
    write_json(directory.path / "answer.json", outcome)
    return 0


def tell(directory: RunDirectory, line: Mapping[str, Any]) -> None:
    """Tell the host something before the end."""
    append_line(directory.path / "told.jsonl", line)


def lend(directory: RunDirectory, asked: Mapping[str, Any], use: Callable[[Resumable], None]) -> None:
    """Build the training of `directory`, give it the weights of `asked["path"]`, if any, and call `use` with its state."""
    config = (read_json(directory.config) or {})["config"]
    manifest = read_json(directory.manifest) or {}
    path = None if asked["path"] is None else Path(asked["path"])
    run = Run(
        run_info(directory, config),
        directory=directory,
        hyperparameters=config["hyperparameters"],
        horizon=manifest["horizon"],
        dispatcher=Dispatcher(_raise),
        threads=config.get("threads"),
        source=manifest["worker"].get("source"),
        beginning=Weights(path, trust=asked["trust"], use=use),
    )
    with contextlib.suppress(PolicyLent):
        make_worker(directory).train(run)
        raise RlctlError(f"{run.info.worker} trained instead of lending its policy: it does not call `run.restore()`")


def _raise(name: str, hook: str, error: BaseException) -> None:
    raise AssertionError(f"{name} failed in {hook}") from error


def _end_with_the_host() -> None:
    """Be interrupted when the pipe ends that the host holds open: it wants no more, or is dead."""
    # Said anew, as a background job of a shell inherits that it is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=_watch_stdin, name="rlctl-stdin", daemon=True).start()


def _watch_stdin() -> None:
    while os.read(0, 4096):
        pass
    # To the main thread by name: it may be waiting in a read or write, which only its own signal ends.
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    time.sleep(_GRACE)
    kill_own_group()
