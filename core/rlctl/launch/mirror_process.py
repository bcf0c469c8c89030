"""The process that mirrors a run while it trains, `python -m rlctl.launch.mirror_process DIRECTORY URI`.

It sends at the start, after each checkpoint and at the end. A store that fails is asked again; the training never waits.
Its stdin is a pipe of the host's: a byte says that the run has ended. An end without it means that the host is dead; then
the worker will end soon, too, and what it leaves is sent.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from attrs import define, field

from rlctl.errors import ExitCode
from rlctl.runs.directory import RunDirectory, is_alive
from rlctl.runs.files import read_json, write_json
from rlctl.runs.mirror import LOCK_FILE, STATE_FILE, Mirror
from rlctl.runs.remote import open_remote

_LOOK_SECONDS = 0.25
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 300.0
"""Seconds until a store that failed is asked again: twice as many each time."""
_LAST_TRIES, _LAST_PAUSE = 3, 1.0
_BESIDE_GRACE = 10.0
"""Seconds that a worker may take to end after its host has died, beside its grace."""


@contextlib.contextmanager
def locked(directory: RunDirectory) -> Iterator[bool]:
    """Be the only one who mirrors this run; False when somebody else does. The system lets go when this process dies."""
    with (directory.path / LOCK_FILE).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@define
class Sender:
    """Sends one run again and again, and says in a file how that fares."""

    directory: RunDirectory
    uri: str
    failures: int = 0
    _mirror: Mirror | None = None
    _bundle: str | None = None
    _sent_once: bool = False
    _again_at: float = 0.0
    _said_at: float = 0.0
    _state: dict[str, object] = field(factory=dict)

    def is_due(self) -> bool:
        """Return whether there is a new checkpoint, or a try that failed is to be made again."""
        if self.failures:
            return time.monotonic() >= self._again_at
        return not self._sent_once or self._latest() != self._bundle

    def try_to_send(self) -> bool:
        """Send what is new; return whether it is all there now."""
        latest = self._latest()
        self._say("sending")
        try:
            if self._mirror is None:
                remote = open_remote(f"{self.uri.rstrip('/')}/{self.directory.run_id}")
                self._mirror = Mirror(self.directory, remote, self._tick)
            index = self._mirror.send()
        except Exception as error:  # noqa: BLE001 - whatever a store's library raises must not end this
            self.failures += 1
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (self.failures - 1))
            self._again_at = time.monotonic() + pause
            text = " ".join(str(error).split())
            self._say("failing", error=f"{type(error).__name__}: {text}", tries=self.failures)
            return False
        self.failures, self._bundle, self._sent_once = 0, latest, True
        files = index["files"].values()
        self._say("whole", error=None, step=index["step"], files=len(files), bytes=sum(said["bytes"] for said in files))
        return True

    def try_to_the_last(self) -> bool:
        """Send what the run has left at its end."""
        for number in range(_LAST_TRIES):
            time.sleep(_LAST_PAUSE * number)
            if self.try_to_send():
                return True
        return False

    def _latest(self) -> str | None:
        try:
            return (self.directory.path / "checkpoints" / "latest").readlink().name
        except OSError:
            return None

    def _tick(self, _: int) -> None:
        if time.monotonic() - self._said_at > 1.0:
            self._say("sending")

    def _say(self, state: str, **more: object) -> None:
        self._said_at = time.monotonic()
        sent = self._mirror.sent if self._mirror else 0
        self._state |= {"uri": self.uri, "state": state, "at": time.time(), "sent_bytes": sent, **more}
        with contextlib.suppress(OSError):  # a full disk here is not the store's fault
            write_json(self.directory.path / STATE_FILE, self._state, durable=False)


def main(path: Path, uri: str) -> int:
    """Mirror the run until it has ended; returns 0 when all of it is there."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # what stops a run must not cost its last version; the host ends us
    with contextlib.suppress(OSError):
        os.nice(10)  # the training comes first
    directory = RunDirectory(path.resolve())
    while True:
        with locked(directory) as alone:
            if alone:
                return _mirror(Sender(directory, uri), directory)
        time.sleep(_LOOK_SECONDS)  # that of a host that was killed still sends its last version


def _mirror(sender: Sender, directory: RunDirectory) -> int:
    while True:
        if sender.is_due():
            sender.try_to_send()
        said = _heard(_LOOK_SECONDS)
        if said == b"":
            _wait_for_the_worker(directory)
        if said is not None:
            return ExitCode.DONE if sender.try_to_the_last() else ExitCode.RUN_FAILED


def _heard(seconds: float) -> bytes | None:
    """Return what the host says, b"" when it is gone, None when it says nothing."""
    return os.read(0, 1) if select.select([0], [], [], seconds)[0] else None


def _wait_for_the_worker(directory: RunDirectory) -> None:
    config = (read_json(directory.config) or {}).get("config") or {}
    deadline = time.monotonic() + float(config.get("grace", 30.0)) + _BESIDE_GRACE
    while time.monotonic() < deadline and not directory.result.exists():
        if not is_alive((read_json(directory.status) or {}).get("process")):
            return
        time.sleep(_LOOK_SECONDS)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
