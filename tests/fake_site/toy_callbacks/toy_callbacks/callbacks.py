"""The callbacks themselves; imported only in the process in which they live."""

from __future__ import annotations

import json
import os
from typing import Any

from rlctl import CheckpointSaved, Episode, Evaluation, Metrics, Progress, Result, RunInfo, StageChanged, hookimpl
from rlctl.worker.eventlog import append_event


class Recorder:
    """Writes a line per call to `recorded.jsonl`, or `recorded-host.jsonl` where it is not the worker that calls."""

    def __init__(self, run: RunInfo) -> None:
        status = json.loads((run.directory / "status.json").read_text())
        here = os.getpid() == status["supervisor"]["pid"]
        self._file = (run.directory / f"recorded{'-host' if here else ''}.jsonl").open("a", buffering=1)

    def _write(self, hook: str, **values: Any) -> None:
        self._file.write(json.dumps({"hook": hook, "pid": os.getpid(), **values}, default=str) + "\n")

    @hookimpl
    def rlctl_training_started(self, run: RunInfo) -> None:
        self._write("rlctl_training_started", run_id=run.run_id)

    @hookimpl
    def rlctl_step(self, progress: Progress) -> None:
        self._write("rlctl_step", step=progress.step)

    @hookimpl
    def rlctl_episode_ended(self, episode: Episode) -> None:
        self._write("rlctl_episode_ended", episode=episode.index, step=episode.step)

    @hookimpl
    def rlctl_stage_changed(self, stage: StageChanged) -> None:
        self._write("rlctl_stage_changed", step=stage.step, stage=stage.stage, env_id=stage.env_id, reason=stage.reason)

    @hookimpl
    def rlctl_metrics(self, metrics: Metrics) -> None:
        self._write("rlctl_metrics", step=metrics.step, names=sorted(metrics.values))

    @hookimpl
    def rlctl_checkpoint_due(self, progress: Progress) -> None:
        self._write("rlctl_checkpoint_due", step=progress.step)

    @hookimpl
    def rlctl_checkpoint_saved(self, checkpoint: CheckpointSaved) -> None:
        values = {"step": checkpoint.step, "reason": checkpoint.reason, "sha256": checkpoint.sha256}
        self._write("rlctl_checkpoint_saved", path=str(checkpoint.path), **values)

    @hookimpl
    def rlctl_evaluation_ended(self, evaluation: Evaluation) -> None:
        self._write("rlctl_evaluation_ended", **evaluation.to_json())

    @hookimpl
    def rlctl_should_stop(self, progress: Progress) -> None:
        self._write("rlctl_should_stop", step=progress.step)

    @hookimpl
    def rlctl_training_ended(self, result: Result) -> None:
        self._write("rlctl_training_ended", status=result.status, step=result.step)

    @hookimpl
    def rlctl_status_changed(self, run: RunInfo, progress: Progress) -> None:
        self._write("rlctl_status_changed", run_id=run.run_id, step=progress.step)

    @hookimpl
    def rlctl_run_ended(self, run: RunInfo, result: Result) -> None:
        self._write("rlctl_run_ended", run_id=run.run_id, status=result.status)
        self._file.close()


def raising(run: RunInfo, hook: str, at: int) -> object:
    """Return an object that raises in one hook, from step `at` on."""

    class Raising:
        @staticmethod
        def _raise(step: int) -> None:
            if step >= at:
                raise RuntimeError(f"told to raise in {hook}")

    def simple(self: Raising) -> None:
        self._raise(at)

    def with_progress(self: Raising, progress: Progress) -> None:
        self._raise(progress.step)

    takes_progress = hook in ("rlctl_step", "rlctl_should_stop", "rlctl_status_changed")
    setattr(Raising, hook, hookimpl(with_progress if takes_progress else simple))
    return Raising()


class Stopper:
    """Wants the run to end at step `at`."""

    def __init__(self, run: RunInfo, at: int) -> None:
        self._at = at

    @hookimpl
    def rlctl_should_stop(self, progress: Progress) -> str | None:
        return f"seen step {progress.step}" if progress.step >= self._at else None


class Troubled:
    """Says that its service cannot be reached, as those of rlctl-callbacks do, in two lines."""

    def __init__(self, run: RunInfo) -> None:
        self._events = run.directory / "events.jsonl"

    @hookimpl
    def rlctl_training_started(self) -> None:
        message = "cannot begin:\nno server. The training goes on."
        append_event(self._events, "callback_trouble", callback="troubled", message=message)


def unmakeable(run: RunInfo) -> object:
    """Raise, as a logger without its server would."""
    raise ConnectionError("no server at 127.0.0.1:1")


class Misspelt:
    """Implements a hook that does not exist."""

    def __init__(self, run: RunInfo) -> None:
        pass

    @hookimpl
    def rlctl_episode_end(self, episode: Episode) -> None:
        pass
