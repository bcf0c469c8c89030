"""Hands a run's events to objects in another process: the worker writes hook calls as lines, the host replays them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

import attrs

from rlctl.errors import PluginError
from rlctl.evaluations import Evaluation
from rlctl.events import (
    CheckpointSaved,
    Episode,
    Failure,
    Metrics,
    Progress,
    Result,
    RunInfo,
    StageChanged,
    json_safe,
    restored,
)
from rlctl.hooks import hookimpl
from rlctl.runs.files import LineReader
from rlctl.worker.dispatch import Dispatcher

RELAYED = (
    "rlctl_training_started",
    "rlctl_step",
    "rlctl_episode_ended",
    "rlctl_stage_changed",
    "rlctl_metrics",
    "rlctl_checkpoint_due",
    "rlctl_checkpoint_saved",
    "rlctl_evaluation_ended",
    "rlctl_training_ended",
)


class RelayWriter:
    """A callback that writes the hook calls named in `wanted` to a file, each line at once."""

    def __init__(self, path: Path, wanted: Iterable[str]) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)
        for hook in set(RELAYED) - set(wanted):
            setattr(self, hook, None)  # pluggy sees no implementation, so the hot loop builds no arguments

    @hookimpl
    def rlctl_training_started(self) -> None:
        self._write("rlctl_training_started", {})

    @hookimpl
    def rlctl_step(self, progress: Progress) -> None:
        self._write("rlctl_step", attrs.asdict(progress))

    @hookimpl
    def rlctl_episode_ended(self, episode: Episode) -> None:
        self._write("rlctl_episode_ended", episode.to_json() | {"seconds": episode.seconds})

    @hookimpl
    def rlctl_stage_changed(self, stage: StageChanged) -> None:
        self._write("rlctl_stage_changed", attrs.asdict(stage))

    @hookimpl
    def rlctl_metrics(self, metrics: Metrics) -> None:
        self._write("rlctl_metrics", metrics.to_json() | {"seconds": metrics.seconds})

    @hookimpl
    def rlctl_checkpoint_due(self, progress: Progress) -> None:
        self._write("rlctl_checkpoint_due", attrs.asdict(progress))

    @hookimpl
    def rlctl_checkpoint_saved(self, checkpoint: CheckpointSaved) -> None:
        self._write("rlctl_checkpoint_saved", {**attrs.asdict(checkpoint), "path": str(checkpoint.path)})

    @hookimpl
    def rlctl_evaluation_ended(self, evaluation: Evaluation) -> None:
        self._write("rlctl_evaluation_ended", evaluation.to_json())

    @hookimpl
    def rlctl_training_ended(self, result: Result) -> None:
        self._write("rlctl_training_ended", attrs.asdict(result))
        self._file.close()

    def _write(self, hook: str, data: dict[str, Any]) -> None:
        self._file.write(json.dumps({"hook": hook, "data": json_safe(data)}) + "\n")


def wanted_by(dispatcher: Dispatcher) -> list[str]:
    """Return the hooks that the worker must relay so that `dispatcher`'s objects see theirs.

    Raises PluginError for an object that wants the policy, which is in the other process.
    """
    if dispatcher.wants("rlctl_safe_point"):
        hint = "Name a callback in the configuration: it lives in the worker process."
        raise PluginError("rlctl_safe_point is not called in the host, where the policy is not.", hint=hint)
    wanted = {hook for hook in RELAYED if dispatcher.wants(hook)}
    if dispatcher.wants("rlctl_should_stop"):
        wanted.add("rlctl_step")
    return sorted(wanted)


def _progress(data: dict[str, Any]) -> Progress:
    return Progress(**restored(data))


def _checkpoint(data: dict[str, Any]) -> CheckpointSaved:
    return CheckpointSaved(**{**data, "path": Path(data["path"])})


def _result(data: dict[str, Any]) -> Result:
    data = restored(data)
    failure = data.pop("failure", None)
    return Result(**data, failure=Failure(**failure) if failure else None)


_ARGUMENTS: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "rlctl_episode_ended": ("episode", Episode.from_json),
    "rlctl_stage_changed": ("stage", lambda data: StageChanged(**data)),
    "rlctl_metrics": ("metrics", Metrics.from_json),
    "rlctl_checkpoint_due": ("progress", _progress),
    "rlctl_checkpoint_saved": ("checkpoint", _checkpoint),
    "rlctl_evaluation_ended": ("evaluation", Evaluation.from_json),
    "rlctl_training_ended": ("result", _result),
}
"""The argument of a hook, and what makes it of a line's data."""


class RelayReader:
    """Replays what a worker relayed on the objects of a dispatcher; `should_stop` is told a reason when one wants an end."""

    def __init__(self, path: Path, info: RunInfo, dispatcher: Dispatcher, should_stop: Callable[[str], None]) -> None:
        self._lines = LineReader(path)
        self._info = info
        self._dispatcher = dispatcher
        self._should_stop = should_stop
        self._asked = False

    def replay(self) -> None:
        """Call the hooks for everything that has been relayed since the last call."""
        for line in self._lines.read():
            hook, data = line["hook"], line["data"]
            if hook == "rlctl_training_started":
                self._dispatcher.call(hook, run=self._info)
            elif hook == "rlctl_step":
                self._step(_progress(data))
            else:
                name, made_of = _ARGUMENTS[hook]
                self._dispatcher.call(hook, **{name: made_of(data)})

    def _step(self, progress: Progress) -> None:
        self._dispatcher.call("rlctl_step", progress=progress)
        answer = None if self._asked else self._dispatcher.first("rlctl_should_stop", progress=progress)
        if answer is not None:
            self._asked = True
            self._should_stop(f"{answer[0]}: {answer[1]}")
