"""Requests to stop a worker process: from signals, from the first moment on, and from the end of its supervisor."""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from types import FrameType

from rlctl.errors import ExitCode
from rlctl.runs.lease import leave, stage_of_process
from rlctl.worker.run import Run
from rlctl.worker.stopping import Stop

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_REPEAT_SECONDS = 0.5
"""Two signals closer than this are one request: a terminal and a supervisor often send it both."""


class StopRequests:
    """Holds the stop requests that arrive before there is a run to tell, and then passes them on."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._waiting: list[Stop] = []
        self._first: float | None = None
        self.abandoned = False

    def catch_signals(self) -> None:
        """Make SIGINT, SIGTERM and SIGUSR1 requests; a second one kills the process and all that it started."""
        os.environ.setdefault("SDL_NO_SIGNAL_HANDLERS", "1")  # SDL would swallow SIGTERM after the first rendering
        for number in _STOP_SIGNALS:
            signal.signal(number, self._handle)

    def deliver_to(self, run: Run) -> None:
        """Pass requests on to `run` from now on, and watch the pipe that the supervisor holds open."""
        self._run = run
        for stop in self._waiting:
            run.request_stop(stop.reason, signal=stop.signal)
        if stat.S_ISFIFO(os.fstat(0).st_mode):
            threading.Thread(target=self._watch_stdin, name="rlctl-stdin", daemon=True).start()

    def _handle(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is not None and now - self._first > _REPEAT_SECONDS:
            kill_own_group()
        self._first = self._first or now
        name = signal.Signals(number).name
        if self._run is None:
            self._waiting.append(Stop("request", f"stopped by {name}", name))
        else:
            self._run.request_stop(f"stopped by {name}", signal=name)

    def _watch_stdin(self) -> None:
        """Nobody waits for a run whose supervisor is dead: end it, and after its grace kill what is left."""
        assert self._run is not None
        while os.read(0, 4096):
            pass
        if stage_of_process() is not None:
            leave()  # another process goes on from the last checkpoint, and must not wait for this one
        self.abandoned = True
        self._run.request_stop("the process that started the run is gone")
        time.sleep(self._run.info.config.get("grace", 30.0))
        kill_own_group()


def kill_own_group() -> None:
    """End this process and all that it started, if it leads its own group (the launcher sees to that)."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(ExitCode.TERMINATED)
