"""Episodes and metrics as JSON lines, written in blocks by a thread of their own, so that the training only hands them over.

A kill -9 costs what was reported in the last `WRITE_EVERY` seconds and has not been written yet, and at most one torn line.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import jsonlines
import orjson

from rlctl import Episode, Metrics, Result, RunInfo, hookimpl
from rlctl.events import json_safe
from rlctl_callbacks.writing import WriterThread

Reported = TypeVar("Reported")

WRITE_EVERY = 0.2
"""Seconds from one writing to the next."""


class JsonLines:
    """Writes `episodes.jsonl` and `metrics.jsonl` into the run's directory; NaN and infinities become flagged nulls."""

    def __init__(self, run: RunInfo) -> None:
        self._episodes = _Lines(run.directory / "episodes.jsonl", _episode_line)
        self._metrics = _Lines(run.directory / "metrics.jsonl", _metrics_line)
        self._thread = WriterThread("jsonl", self._write, WRITE_EVERY)

    @hookimpl
    def rlctl_episode_ended(self, episode: Episode) -> None:
        self._thread.check()
        self._episodes.waiting.append((episode, float(episode.episode_return)))

    @hookimpl
    def rlctl_metrics(self, metrics: Metrics) -> None:
        self._thread.check()
        # Numbers now: a tensor may be another one when it is written.
        self._metrics.waiting.append((metrics, {name: float(value) for name, value in metrics.values.items()}))

    @hookimpl
    def rlctl_checkpoint_due(self) -> None:
        """Have everything in the files: how long they are is part of the checkpoint."""
        self._thread.write_now()

    @hookimpl
    def rlctl_training_ended(self, result: Result) -> None:
        self._thread.end()
        self._episodes.close()
        self._metrics.close()

    def _write(self) -> None:
        self._episodes.write()
        self._metrics.write()


def _episode_line(reported: tuple[Episode, float]) -> tuple[dict[str, Any], float]:
    """Return the line of an episode, and a number that is finite only if all of the line's are."""
    episode, episode_return = reported
    return {**episode.to_json(), "return": episode_return}, episode_return


def _metrics_line(reported: tuple[Metrics, dict[str, float]]) -> tuple[dict[str, Any], float]:
    """Return the line of a report, and a number that is finite only if all of the line's are: their sum."""
    metrics, values = reported
    line = metrics.to_json()
    line["values"] = values
    return line, sum(values.values())


class _Lines(Generic[Reported]):
    """An append-only file of JSON lines; `waiting` are those to be written."""

    def __init__(self, path: Path, line_of: Callable[[Reported], tuple[dict[str, Any], float]]) -> None:
        self.waiting: deque[Reported] = deque()
        self._line_of = line_of
        self._file = path.open("ab")
        self._writer = jsonlines.Writer(self._file, dumps=orjson.dumps)

    def write(self) -> None:
        """Hand all that wait to the system."""
        for _ in range(len(self.waiting)):
            line, number = self._line_of(self.waiting.popleft())
            self._writer.write(line if math.isfinite(number) else json_safe(line))
        self._file.flush()

    def close(self) -> None:
        """Close the file; what waits has been written."""
        self._writer.close()
        self._file.close()
