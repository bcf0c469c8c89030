"""TensorBoard event files, written with the `tensorboard` package alone: neither torch nor TensorFlow is imported."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from rlctl import Episode, Metrics, Result, RunInfo, hookimpl


class TensorBoard:
    """Writes each episode as `episode/return` and `episode/length`, and each metric under its name, against the step."""

    def __init__(self, run: RunInfo, flush_seconds: float = 10.0) -> None:
        # The writer has a queue and a thread of its own, so the training never waits for the disk.
        self._writer = EventFileWriter(str(run.directory / "tensorboard"), flush_secs=flush_seconds)

    @hookimpl
    def rlctl_episode_ended(self, episode: Episode) -> None:
        self._add(episode.step, {"episode/return": episode.episode_return, "episode/length": episode.length})

    @hookimpl
    def rlctl_metrics(self, metrics: Metrics) -> None:
        self._add(metrics.step, metrics.values)

    @hookimpl
    def rlctl_training_ended(self, result: Result) -> None:
        self._writer.close()

    def _add(self, step: int, values: Mapping[str, float]) -> None:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=float(value)) for tag, value in values.items()])
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
