"""What a training looks up for about twice a second: its status is written, requests to stop and the time limit are heeded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlctl.runs.files import read_json
from rlctl.runs.lease import leave_if_fenced
from rlctl.worker.pace import Pace
from rlctl.worker.status import StatusFile

if TYPE_CHECKING:
    from rlctl.worker.run import Run

BEAT_SECONDS = 0.5
"""How often; the worst delay of `runs stop`."""


class Heartbeat:
    """The beats of one run; `next_at` is the second of training at which the next one is due."""

    def __init__(self, run: Run, pace: Pace, status: StatusFile | None, time_limit: float | None) -> None:
        self._run = run
        self._pace = pace
        self.status = status
        self._time_limit = time_limit
        self.next_at = 0.0

    def when_due(self) -> float:
        """Beat if it is time to; returns the seconds of training."""
        seconds = self._pace.seconds()
        if seconds >= self.next_at:
            self.beat(seconds)
        return seconds

    def beat(self, seconds: float) -> None:
        """Write the status, and ask the run to stop where that is wanted."""
        run = self._run
        self.next_at = seconds + BEAT_SECONDS
        self._pace.look(seconds, run.step)
        if self.status is not None:
            leave_if_fenced(self.status.stage)
            self.status.write("running", run.progress(), self._seconds_left())
        if self._time_limit is not None and self._pace.seconds_here() >= self._time_limit:
            run.request_stop(f"time_limit = {self._time_limit:g} s reached")
        request = read_json(run.directory.stop_request)
        if request is not None:
            run.request_stop(str(request.get("reason", "requested")), kind=str(request.get("kind", "request")))

    def _seconds_left(self) -> float | None:
        run = self._run
        if run.total_timesteps is not None:
            return self._pace.left(run.total_timesteps, run.step)
        return self._pace.left(run.total_episodes, run.episodes)
