"""Follows the process that mirrors a run: starts it, tells it of the end, and tells the user when the store fails."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define

from rlctl.errors import ExitCode
from rlctl.runs.files import read_json
from rlctl.runs.mirror import STATE_FILE

_SILENT_SECONDS = 300.0
"""A store that takes nothing for so long at the end of a run hangs."""


@define
class Mirroring:
    """The mirror of one run, as its host sees it."""

    path: Path
    uri: str
    report: Callable[[str], None]
    _process: subprocess.Popen[bytes] | None = None
    _seen: int = 0
    _failing: bool = False
    _heard_at: float = 0.0
    _given_up: bool = False

    def begin(self) -> None:
        """Start the process, in a session of its own: Ctrl-C in the terminal is not meant for it."""
        with (self.path / "logs" / "mirror.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rlctl.launch.mirror_process", str(self.path), self.uri],
                stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def look(self) -> None:
        """Say it when the store fails, once, and when it works again."""
        state = self._changed()
        if state is None:
            return
        if state.get("state") == "failing" and not self._failing:
            self._failing = True
            self.report(f"{self.uri} cannot be written, and is tried again; the training goes on: {state.get('error')}")
        elif state.get("state") == "whole" and self._failing:
            self._failing = False
            self.report(f"{self.uri} can be written again")

    def ended(self) -> None:
        """Let it send the last version, and end."""
        self._heard_at = time.monotonic()
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it died; its exit code says so
                self._process.stdin.write(b"\n")
                self._process.stdin.close()

    def is_over(self) -> bool:
        """Return whether there is nothing more to wait for; says it when the run is not all there."""
        if self._process is None or self._given_up:
            return True
        if self._process.poll() is None:
            self.look()
            if time.monotonic() - self._heard_at > _SILENT_SECONDS:
                self.give_up(f"it took nothing for {_SILENT_SECONDS:g} s")
            return self._given_up
        if not self.is_whole():
            error = (read_json(self.path / STATE_FILE) or {}).get("error") or f"see {self.path}/logs/mirror.log"
            self.give_up(str(error))
        return True

    def is_whole(self) -> bool:
        """Return whether all that the run left is in the store, also where nothing was to be mirrored."""
        return not self._given_up and (self._process is None or self._process.poll() == ExitCode.DONE)

    def give_up(self, reason: str) -> None:
        """Wait no longer, and say how the rest is sent."""
        self._given_up = True
        self.report(
            f"not all of the run is in {self.uri}: {reason}. To send the rest: rlctl runs push {self.path.name}"
        )
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _changed(self) -> dict[str, Any] | None:
        """Return what the process says of itself, if that is news."""
        try:
            changed = (self.path / STATE_FILE).stat().st_mtime_ns
        except OSError:
            return None
        if changed == self._seen:
            return None
        self._seen, self._heard_at = changed, time.monotonic()
        return read_json(self.path / STATE_FILE)
