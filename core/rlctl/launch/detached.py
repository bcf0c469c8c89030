"""An executor over an engine that places processes on other machines: a base for plugins, which bring a few methods.

The engine is asked to start `rlctl.launch.keeper`, and for nothing else. How a task fares, signals to it, its end: all of that
are files below its directory, which the machines share. So the process that has submitted a task may leave.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
from attrs import define, field

from rlctl.errors import ExitCode, UsageError
from rlctl.launch.executor import Demand, Task
from rlctl.runs.directory import host_name, is_alive, process_identity
from rlctl.runs.files import append_line, link_json, read_json, write_json
from rlctl.runs.lease import FOLDER, Attempts, Challenge, lease_seconds, process_name

Command = tuple[Sequence[str], Path]
"""What an engine is to run, and the log that its output is appended to."""
_FOLLOWER = "follower.json"
_SIGNALS = "signals.jsonl"
_MAX_LOSSES = 5
"""So many lost machines a task may cost; what kills machines again and again is not to kill all of them."""


@define
class Placed:
    """A task that was handed to an engine. `folder` has its files.

    `job` is what the engine calls it, None where it does not know it any more. `before` is the last attempt that was not of it.
    """

    folder: Path
    log: Path
    job: Any
    demand: Demand
    challenge: Challenge
    before: int
    next_look: float = 0.0
    losses: int = 0
    lost: tuple[int, float] | None = None
    """The attempt that was lost, and when that was seen."""
    replaced: set[int] = field(factory=set)
    refusal: str | None = None
    """Why it could not be started, where that was tried after it was submitted."""


class DetachedExecutor(ABC):
    """Places tasks on an engine's machines, which have the same folders and the same Python at the same paths as this one."""

    keeper: ClassVar[str] = "rlctl.launch.keeper"
    """The module that the engine is to run with a placement's folder; one of a plugin's own calls this one."""

    @abstractmethod
    def start(self, name: str, argv: Sequence[str], log: Path, demand: Demand) -> Any:
        """Have the engine run a command where `demand` can be had; returns the job, at once. Its output is appended to `log`.

        `name` is a new one each time, by which `find` knows the job. The command's stdin must be a pipe that ends with the
        engine's process there, or no pipe. Raises OSError.
        """

    @abstractmethod
    def find(self, name: str) -> Any | None:
        """Return the job that some process has started under this name; None when the engine does not know it any more."""

    @abstractmethod
    def given_up(self, job: Any) -> str | None:
        """Return why the engine will not run the command any more, None while it runs, may still run, or is done."""

    def withdrawn(self, job: Any) -> str | None:
        """Return why the task is to be placed nowhere any more: somebody has told the engine to end it, say; else None."""
        return None

    def waits(self, job: Any) -> bool:
        """Return whether the engine will start the command by itself, also one that it has cut off, as soon as it can."""
        return False

    def drop(self, job: Any) -> None:
        """Have the engine start the command no more and end it, where it can be told so: another job takes its place."""
        return

    def lacking(self, demand: Demand) -> str | None:
        """Return why a task with this demand could never be placed, None when it can or nobody knows."""
        return None

    def room(self) -> int | None:
        """Return how many small tasks the engine can run at the same time, None when nobody knows."""
        return None

    def submit(self, task: Task) -> Placed:
        """Hand the task to the engine. No placement before it can train this run from now on.

        Raises OSError when the engine cannot be reached, or could never place it.
        """
        self._require(task.demand)
        handle = self._place(task)
        self._start(handle)
        return handle

    def _require(self, demand: Demand) -> None:
        """Raise OSError for a demand that can never be had."""
        refusal = self.lacking(demand)
        if refusal is not None:
            raise OSError(refusal)

    def _place(self, task: Task) -> Placed:
        """Let no placement before it train the run of a task from now on, and return a new one, which is not started."""
        place = task.directory / FOLDER if task.directory else task.log.with_name(f"{task.log.name}.{FOLDER}")
        attempts, seconds = Attempts(place.resolve()), lease_seconds()
        folder = attempts.path / f"placement-{secrets.token_hex(8)}"
        folder.mkdir(parents=True)
        before = attempts.newest()
        write_json(folder / "task.json", {
            "run_id": task.run_id,
            "argv": task.argv,
            "environment": dict(task.environment),
            "log": str(task.log.resolve()),
            "directory": str(task.directory.resolve()) if task.directory else None,
            "folder": str(Path.cwd()),
            "demand": attrs.asdict(task.demand),
            "lease_seconds": seconds,
            "before": before,
        })  # fmt: skip
        attempts.place(folder.name)
        _note_follower(attempts)
        return Placed(folder, task.log, None, task.demand, Challenge(attempts, seconds), before)

    def attach(self, directory: Path) -> Placed | None:
        """Return what a process that has left has placed last for this directory; None when it is over, or was to end.

        Raises UsageError while that process, or another one of this machine, still follows it: after a loss both would place it.
        """
        attempts = Attempts((directory / FOLDER).resolve())
        folder = attempts.placement()
        task = read_json(folder / "task.json") if folder is not None else None
        if folder is None or task is None or any((folder / name).exists() for name in ("exit.json", "kill", _SIGNALS)):
            return None
        _require_unfollowed(attempts)
        _note_follower(attempts)
        name = (read_json(folder / "job.json") or {}).get("name")
        job = self.find(name) if name is not None else None
        challenge = Challenge(attempts, float(task["lease_seconds"]))
        return Placed(folder, Path(task["log"]), job, Demand(**task["demand"]), challenge, task["before"])

    def poll(self, handle: Any) -> int | None:
        """Return the exit code when the task has ended, None while it has not.

        It is 76 when another placement has taken its place, and 75 when it was cut off and can be placed nowhere.
        """
        ended = read_json(handle.folder / "exit.json")
        if ended is not None:
            return int(ended["code"])
        if time.monotonic() < handle.next_look:
            return None
        handle.next_look = time.monotonic() + min(1.0, handle.challenge.seconds / 5)
        if not handle.challenge.attempts.is_placed(handle.folder.name):
            return ExitCode.FENCED
        self._mind(handle)
        return None

    def cancel(self, handle: Any, signal_number: int) -> None:
        """Have the signal sent to the task, wherever it is."""
        append_line(handle.folder / _SIGNALS, {"signal": int(signal_number)})

    def kill(self, handle: Any) -> None:
        """Have the task killed with all that it has started; one that has not begun never will."""
        (handle.folder / "kill").touch()
        handle.next_look = 0.0

    def _start(self, handle: Placed) -> None:
        argv, log = self._named(handle, name := f"{handle.folder.name}-{secrets.token_hex(4)}")
        handle.job = self.start(name, argv, log, handle.demand)

    def _named(self, handle: Placed, name: str) -> Command:
        """Note by which name the engine is about to know a placement; return its keeper's command, and where its output goes."""
        write_json(handle.folder / "job.json", {"name": name, "at": time.time()})
        return (sys.executable, "-m", self.keeper, str(handle.folder)), handle.folder / "keeper.log"

    def _mind(self, handle: Placed) -> None:
        """Put the task elsewhere if its machine is lost; do away with one that is to be killed and that nobody runs."""
        if not handle.challenge.may_claim():
            return  # it runs
        newest = handle.challenge.number  # one that is claimed from now on was not seen to be silent
        if (handle.folder / "kill").exists():
            self._drop(handle)
            self._end(handle, -9)
            return
        reason = self.withdrawn(handle.job) if handle.job is not None else None
        if reason is not None:
            self._say(handle, f"{reason}; it is not placed again")
            self._drop(handle)
            self._end(handle, ExitCode.STOPPED)
            return
        refusal = "the engine does not know it any more" if handle.job is None else self.given_up(handle.job)
        if refusal is None and (self.waits(handle.job) or not self._is_lost(handle, newest)):
            return  # it waits for its turn
        handle.replaced.add(newest)
        handle.losses += 1
        self._place_again(handle, refusal or "the machine that it was on is silent")

    def _place_again(self, handle: Placed, why: str) -> None:
        if handle.losses > _MAX_LOSSES:
            self._say(handle, f"{why}; it is given up after {_MAX_LOSSES} losses")
            self._end(handle, ExitCode.RUN_FAILED)
            return
        self._say(handle, f"{why}; it is placed again")
        self._drop(handle)
        try:
            self._start(handle)
        except OSError as error:
            self._say(handle, f"it cannot be placed again: {error}")
            self._end(handle, ExitCode.STOPPED)

    def _is_lost(self, handle: Placed, newest: int) -> bool:
        """Return whether an attempt of this placement is over, and the engine has had its time to begin another one itself.

        It has had it where the holder fell silent, as nobody could tell that for so long.
        """
        if newest <= handle.before or newest in handle.replaced:
            return False
        if handle.lost is None or handle.lost[0] != newest:
            handle.lost = (newest, time.monotonic())
        has_ended = handle.challenge.attempts.file("ended", newest).exists()
        return not has_ended or time.monotonic() - handle.lost[1] > handle.challenge.seconds

    def _drop(self, handle: Placed) -> None:
        if handle.job is not None:
            self.drop(handle.job)

    def _end(self, handle: Placed, code: int) -> None:
        """Say how a task ended that nobody runs, unless somebody begins it at this moment."""
        lease = handle.challenge.attempts.claim(
            handle.challenge.number, {"who": process_name()}, handle.challenge.seconds
        )
        if lease is not None:
            link_json(handle.folder / "exit.json", {"code": code, "attempt": lease.number, "at": time.time()})
            lease.release()

    def _say(self, handle: Placed, line: str) -> None:
        with handle.log.open("ab") as log:
            log.write(f"rlctl: {line}\n".encode())


def _note_follower(attempts: Attempts) -> None:
    write_json(attempts.path / _FOLLOWER, {"host": host_name(), **process_identity()}, durable=False)


def _require_unfollowed(attempts: Attempts) -> None:
    other = read_json(attempts.path / _FOLLOWER) or {}
    if other.get("host") == host_name() and other["pid"] != os.getpid() and is_alive(other):
        name = attempts.path.parent.name
        raise UsageError(
            f"{name} is followed by process {other['pid']} already.", hint=f"See how it goes: rlctl runs tail {name}"
        )
