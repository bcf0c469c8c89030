"""A service in a process of its own, that of the training talks to it by lines of JSON.

    python -m rlctl_callbacks.service_process MODULE:CLASS

Libraries of such services draw random numbers, start threads, register what is to be done at exit, and hang in it. Here
none of that can be felt by the training: not one number of its generators, not a second of its interpreter.

Each request is a line on stdin, {"open": {...}}, {"send": [...]} or {"close": {...}}, and has one line as its answer:
{"ok": value} or {"error": text}. The end of stdin ends the service, too. What a library prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import attrs

from rlctl import Result, RunInfo
from rlctl.descriptors import resolve
from rlctl.runs.files import read_json, write_json
from rlctl_callbacks.background import Row

_GRACE = 60.0
"""Seconds that a library has to end when the training was killed."""


class ServiceFailedError(Exception):
    """What a service said of its failure; or that its process is gone."""


class Library(Protocol):
    """What a service's class implements, in the process of its own; made as `CLASS(run, options)`."""

    def open(self) -> int:
        """Begin, or go on; returns the last step that the service has of this run already, -1 for a new one."""

    def send(self, rows: list[Row]) -> None:
        """Take rows, in the order in which they came."""

    def close(self, status: str, summary: Mapping[str, float]) -> None:
        """End. `status` is finished, stopped or failed; `summary` has `return_mean` and `best_return`, if there are."""


class ServiceProcess:
    """A service of `background` that is a process; `library` names the class, as "module:class"."""

    def __init__(self, library: str, run: RunInfo, options: Mapping[str, Any]) -> None:
        self._library, self._run, self._options = library, run, dict(options)
        self._process: subprocess.Popen[str] | None = None

    def open(self) -> int:
        """Start the process and have it begin; raises ServiceFailedError."""
        command = [sys.executable, "-m", "rlctl_callbacks.service_process", self._library]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so it is not killed with the training, but can write what it has
        )
        run = {**attrs.asdict(self._run), "directory": str(self._run.directory)}
        return int(self._ask({"open": {"run": run, "options": self._options}}))

    def send(self, rows: list[Row]) -> None:
        """Hand rows over and wait until they are taken; raises ServiceFailedError."""
        self._ask({"send": [_row_as_data(row) for row in rows]})

    def close(self, result: Result) -> None:
        """Have the service end, and wait for its process; raises ServiceFailedError."""
        summary = {"return_mean": result.return_mean, "best_return": result.best_return}
        known = {name: value for name, value in summary.items() if value is not None}
        self._ask({"close": {"status": result.status, "summary": known}})
        assert self._process is not None
        self._process.wait()

    def kill(self) -> None:
        """End the process however it is."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _ask(self, request: Mapping[str, Any]) -> Any:
        assert self._process is not None and self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request, default=str) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise ServiceFailedError(f"its process has ended with {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise ServiceFailedError(answer["error"])
        return answer["ok"]


class Mark:
    """What a service has of a run, kept beside it in `logs/NAME.json`: a resumed run adds to it, and tells nothing twice."""

    def __init__(self, run: RunInfo, name: str) -> None:
        self._path: Path = run.directory / "logs" / f"{name}.json"
        self.data: dict[str, Any] = read_json(self._path) or {}

    def save(self, **data: Any) -> None:
        """Add `data`."""
        self.data |= data
        self._path.parent.mkdir(exist_ok=True)
        write_json(self._path, self.data, durable=False)


def _row_as_data(row: Row) -> dict[str, Any]:
    values = {name: float(value) for name, value in row.values.items()}  # also of numpy's and torch's numbers
    return {"step": row.step, "values": values, "films": {k: str(v) for k, v in row.films.items()}, "time": row.time}


def _end_after(parent: int) -> None:
    """End this process some time after the training's has gone, whatever the library is waiting for."""
    while os.getppid() == parent:
        time.sleep(1.0)
    time.sleep(_GRACE)
    os._exit(1)


def main() -> int:
    """Answer requests until stdin or the service ends; returns the exit code."""
    threading.Thread(target=_end_after, args=(os.getppid(),), daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the training, at whose end this ends
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    library: Library | None = None
    for line in sys.stdin:
        ((kind, data),) = json.loads(line).items()
        try:
            if kind == "open":
                run = RunInfo(**{**data["run"], "directory": Path(data["run"]["directory"])})
                library = resolve(sys.argv[1])(run, data["options"])
            assert library is not None
            answer: dict[str, Any] = {"ok": _called(library, kind, data)}
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a library may raise anything
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        if kind == "close":
            return 0
    if library is not None:
        library.close("failed", {})  # the training was killed
    return 0


def _called(library: Library, kind: str, data: Any) -> int | None:
    if kind == "open":
        return library.open()
    if kind == "send":
        library.send([Row(**{**row, "films": {k: Path(v) for k, v in row["films"].items()}}) for row in data])
    else:
        library.close(data["status"], data["summary"])
    return None


if __name__ == "__main__":
    sys.exit(main())
