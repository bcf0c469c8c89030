"""Episodes and metrics as JSON lines, each handed to the system at once: a kill -9 costs at most the line being written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jsonlines
import orjson

from rlctl import Episode, Metrics, Result, RunInfo, hookimpl
from rlctl.events import json_safe


class JsonLines:
    """Writes `episodes.jsonl` and `metrics.jsonl` into the run's directory; NaN and infinities become flagged nulls."""

    def __init__(self, run: RunInfo) -> None:
        self._episodes = _Lines(run.directory / "episodes.jsonl")
        self._metrics = _Lines(run.directory / "metrics.jsonl")

    @hookimpl
    def rlctl_episode_ended(self, episode: Episode) -> None:
        line = episode.to_json()
        line["return"] = float(line["return"])
        self._episodes.write(line, line["return"])

    @hookimpl
    def rlctl_metrics(self, metrics: Metrics) -> None:
        line = metrics.to_json()
        line["values"] = values = {name: float(value) for name, value in metrics.values.items()}
        self._metrics.write(line, sum(values.values()))

    @hookimpl
    def rlctl_training_ended(self, result: Result) -> None:
        self._episodes.close()
        self._metrics.close()


class _Lines:
    """An append-only file of JSON lines; each is flushed to the system when it is written."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self._writer = jsonlines.Writer(self._file, dumps=orjson.dumps, flush=True)

    def write(self, line: dict[str, Any], total: float) -> None:
        """Write a line; a `total` of its numbers that is finite says that all are: it is quicker than to look at each."""
        self._writer.write(line if math.isfinite(total) else json_safe(line))

    def close(self) -> None:
        self._writer.close()
        self._file.close()
