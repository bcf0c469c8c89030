"""TensorBoard event files, written with the `tensorboard` package alone: neither torch nor TensorFlow is imported."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

from rlctl import CheckpointSaved, Episode, Metrics, Result, RunInfo, hookimpl
from rlctl_callbacks.event_file import EventFile
from rlctl_callbacks.resuming import Ledger

_SUMMARIES = ("episode/", "evaluation/")
"""Metrics whose names begin so sum something up already: they are written at once, and as they are."""


class TensorBoardBasic:
    """Writes each episode as `episode/return` and `episode/length`, and each metric under its name, against the step."""

    def __init__(self, run: RunInfo, flush_seconds: float = 10.0) -> None:
        self._folder = run.directory / "tensorboard"
        self._ledger = Ledger(run, "tensorboard")
        resumed = self._ledger.resumed
        if resumed is not None:
            _cut_back(self._folder, (resumed.noted or {}).get("bytes"))
        self._file = EventFile(self._folder, flush_seconds)
        if resumed is not None:  # who reads along has points that are not there any more
            start = SessionLog(status=SessionLog.START)
            self._file.add(Event(wall_time=time.time(), step=resumed.step + 1, session_log=start))

    @hookimpl
    def rlctl_episode_ended(self, episode: Episode) -> None:
        self.write(episode.step, {"episode/return": episode.episode_return, "episode/length": episode.length})

    @hookimpl
    def rlctl_metrics(self, metrics: Metrics) -> None:
        self.write(metrics.step, metrics.values)

    @hookimpl
    def rlctl_checkpoint_saved(self, checkpoint: CheckpointSaved) -> None:
        self.flush()
        sizes = {path.name: path.stat().st_size for path in _event_files(self._folder)}
        self._ledger.note(checkpoint, {"bytes": sizes})

    @hookimpl
    def rlctl_training_ended(self, result: Result) -> None:
        self.flush()
        self._file.close()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Hand scalars to the file's thread."""
        self._file.add_scalars(step, values)

    def flush(self) -> None:
        """Have all that was handed over in the file."""
        self._file.flush()

    def _add(self, step: int, summary: Summary) -> None:
        self._file.add(Event(wall_time=time.time(), step=step, summary=summary))


class TensorBoard(TensorBoardBasic):
    """The same, but of the metrics one point for each `flush_every` steps: their mean, or the last; and the tab HPARAMS.

    A point is at the last step that it is of. Episodes and evaluations are written at once, each as it is.
    """

    def __init__(
        self, run: RunInfo, flush_every: int = 1000, aggregate: str = "mean", flush_seconds: float = 10.0
    ) -> None:
        super().__init__(run, flush_seconds)
        self._every = flush_every
        self._mean = aggregate == "mean"
        self._stretch = 0
        self._buffer: dict[str, tuple[float, int, int]] = {}
        """Name → sum (or last value), number of values in it, step of the last."""
        self._write_hyperparameters(run)

    @hookimpl
    def rlctl_metrics(self, metrics: Metrics) -> None:
        self.log(metrics.step, metrics.values)

    @hookimpl
    def rlctl_training_ended(self, result: Result) -> None:
        self._write_buffer()
        self._write_result(result)
        super().rlctl_training_ended(result)

    def log(self, step: int, values: Mapping[str, float], *, force: bool = False) -> None:
        """Take scalars; with `force` they are written at once, as are those that sum something up by their name."""
        buffer, mean, stretch = self._buffer, self._mean, step // self._every
        if stretch != self._stretch:
            self._stretch = stretch
            self._write_buffer()
        for name, value in values.items():
            if force or name.startswith(_SUMMARIES):
                self.write(step, {name: value})
            else:
                total, number, _ = buffer.get(name, (0.0, 0, 0)) if mean else (0.0, 0, 0)
                buffer[name] = (total + value, number + 1, step)

    def flush(self) -> None:
        """Write what is waiting, and wait until it is in the file."""
        self._write_buffer()
        super().flush()

    def _write_buffer(self) -> None:
        by_step: dict[int, dict[str, float]] = {}
        for name, (total, number, step) in self._buffer.items():
            by_step.setdefault(step, {})[name] = total / number
        self._buffer.clear()
        for step, values in by_step.items():
            self.write(step, values)

    def _write_hyperparameters(self, run: RunInfo) -> None:
        settings = {"worker": run.worker, "algo": run.algo, "env": run.env_id, "seed": run.seed}
        settings |= {f"hyperparameters.{name}": value for name, value in _plain(run.config.get("hyperparameters"))}
        returns = [hparams.Metric("result/return_mean", display_name="mean return at the end")]
        self._add(0, hparams.hparams_config_pb(hparams=[hparams.HParam(name) for name in settings], metrics=returns))
        self._add(0, hparams.hparams_pb(settings, trial_id=run.run_id))

    def _write_result(self, result: Result) -> None:
        values = {"result/return_mean": result.return_mean, "result/best_return": result.best_return}
        self.write(result.step, {name: value for name, value in values.items() if value is not None})
        status = STATUS_FAILURE if result.status == "failed" else STATUS_SUCCESS
        end = SessionEndInfo(status=status, end_time_secs=time.time())
        self._add(result.step, _session_end(HParamsPluginData(session_end_info=end)))


def _session_end(data: HParamsPluginData) -> Summary:
    from tensorboard.plugins.hparams import metadata

    value = Summary.Value(tag=metadata.SESSION_END_INFO_TAG)
    value.metadata.CopyFrom(metadata.create_summary_metadata(data))
    value.tensor.CopyFrom(metadata.NULL_TENSOR)
    return Summary(value=[value])


def _plain(settings: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    """Return settings as the tab can show them: truth values, numbers and texts; anything else as a text."""
    return [
        (name, value if isinstance(value, (bool, int, float, str)) else str(value))
        for name, value in (settings or {}).items()
    ]


def _event_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("events.out.tfevents.*"))


def _cut_back(folder: Path, sizes: Mapping[str, int] | None) -> None:
    """Shorten event files to what they were at the checkpoint; without such a note, TensorBoard drops later steps itself."""
    if sizes is None:
        return
    for path in _event_files(folder):
        if path.name not in sizes:
            path.unlink()
        elif path.stat().st_size > sizes[path.name]:
            os.truncate(path, sizes[path.name])
