"""How fast a run is: seconds of training over all its processes, the recent rate, and what is left."""

from __future__ import annotations

import time
from collections import deque


class Pace:
    """A clock that a resumed run sets forward, and the last few moments at which somebody looked at it."""

    def __init__(self) -> None:
        self._beats: deque[tuple[float, int]] = deque([(0.0, 0)], maxlen=11)
        self.start()

    def start(self) -> None:
        """Begin at zero, now."""
        self._started = self._launched = time.perf_counter()

    def resume(self, seconds: float, step: int) -> None:
        """Go on after `seconds` of training in earlier processes."""
        self._started -= seconds
        self._beats = deque([(self.seconds(), step)], maxlen=11)

    def seconds(self) -> float:
        """Return the seconds of training, over all processes of the run."""
        return time.perf_counter() - self._started

    def seconds_here(self) -> float:
        """Return the seconds of training in this process."""
        return time.perf_counter() - self._launched

    def look(self, seconds: float, step: int) -> None:
        """Remember where the run is, for its rate."""
        self._beats.append((seconds, step))

    def rate(self, seconds: float, step: int) -> float | None:
        """Return steps per second over the last few seconds; None before anything is known."""
        then, before = self._beats[0]
        return (step - before) / (seconds - then) if seconds > then and step > before else None

    def left(self, total: int | None, done: int) -> float | None:
        """Return the estimated seconds left, from the overall rate; None before anything is known."""
        return None if not total or not done else max(0.0, (total - done) * self.seconds() / done)
