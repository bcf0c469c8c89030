"""Saves a run's checkpoints at its safe points: when they are due, when it ends, and only what is whole."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

from rlctl.distributions import version_of
from rlctl.errors import RlctlError
from rlctl.runs.checkpoints import MILESTONE, Checkpoint, CheckpointFolder
from rlctl.runs.directory import RunDirectory
from rlctl.runs.lease import leave_if_fenced
from rlctl.worker.protocol import Resumable

_VERSIONED = ("rlctl", "torch", "numpy", "gymnasium", "stable-baselines3", "mujoco", "ale-py")
HUGE = 2 << 30
"""Bytes from which on a checkpoint is worth a remark."""
CUT_BACK = ("episodes.jsonl", "metrics.jsonl")
"""Files whose length is part of a checkpoint: a resumed run cuts them back to it, so that its curve is one."""


@define
class Saver:
    """Knows when a checkpoint is due and how one is made. `every_*` None: not for that reason."""

    directory: RunDirectory
    description: Mapping[str, Any]
    every_steps: int | None = None
    every_seconds: float | None = None
    keep_last: int | None = None
    milestones: Sequence[int] = ()
    on_error: str = "continue"
    on_saved: Callable[[Checkpoint, str], None] = lambda _, __: None
    report: Callable[[str], None] = print
    stage: Path | None = None
    """The folder of the lease under which the run is trained, if it is."""
    state: Resumable | None = None
    last: Checkpoint | None = None
    keep: set[int] = field(factory=set)
    """Steps whose checkpoints are kept besides the last ones."""
    _said_huge: bool = False
    _missed_milestone: bool = False
    _last_step: int = 0
    _last_seconds: float = 0.0
    _folder: CheckpointFolder = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._folder = CheckpointFolder(self.directory.path / "checkpoints", self.stage)
        self._folder.sweep()

    def resumed_from(self, checkpoint: Checkpoint, seconds: float) -> None:
        """Count from a checkpoint, which was restored."""
        self.last, self._last_step = checkpoint, checkpoint.step
        self._last_seconds = seconds

    def saved_at(self, step: int) -> Checkpoint | None:
        """Return the checkpoint of this step, if it is the last one."""
        return self.last if self.last is not None and self.last.step == step else None

    def is_due(self, step: int, seconds: float) -> bool:
        """Return whether so many steps or seconds have passed since the last one, or a milestone."""
        if self.state is None or self.saved_at(step) is not None:
            return False
        by_steps = self.every_steps is not None and step // self.every_steps > self._last_step // self.every_steps
        by_seconds = self.every_seconds is not None and seconds - self._last_seconds >= self.every_seconds
        return by_steps or by_seconds or self._passes_milestone(step)

    def _passes_milestone(self, step: int) -> bool:
        # Asked at every step, and mostly there are none.
        return bool(self.milestones) and any(self._last_step < milestone <= step for milestone in self.milestones)

    def save(self, counters: Mapping[str, Any], seconds: float, reason: str) -> Checkpoint | None:
        """Save the attached state as of now, if it is not saved already; None when there is nothing to save.

        A failing disk is reported and leaves the checkpoints before it whole; with `on_error: stop` it is raised.
        """
        step = int(counters["step"])
        if self.state is None or self.saved_at(step) is not None:
            return self.saved_at(step)
        reason = MILESTONE if self._passes_milestone(step) or self._missed_milestone else reason
        self._missed_milestone = reason == MILESTONE  # until it is saved
        self._last_step, self._last_seconds = step, seconds
        try:
            saved = self._write(counters, reason)
        except OSError as error:
            leave_if_fenced(self.stage)  # what it would sweep is another process's by now
            self._folder.sweep()
            message = f"checkpoint at step {step} could not be saved: {error.strerror or error}"
            if self.on_error == "stop":
                raise RlctlError(message) from error
            self.report(message)
            return None
        except BaseException:
            leave_if_fenced(self.stage)
            self._folder.sweep()
            raise
        leave_if_fenced(self.stage)
        self.last, self._missed_milestone = saved, False
        self._mind_the_size(saved)
        self._folder.prune(self.keep_last, self.keep)
        self.on_saved(saved, reason)
        return saved

    def _mind_the_size(self, saved: Checkpoint) -> None:
        """Say once that checkpoints are huge, which those of buffers of images are."""
        size = sum(member["bytes"] for member in saved.data["members"].values())
        if size >= HUGE and not self._said_huge:
            self._said_huge = True
            self.report(
                f"a checkpoint has {size / 1e9:.1f} GB. Fewer: checkpoint.keep_last, rarer: checkpoint.every_seconds, smaller: "
                "checkpoint.replay_buffer=false, with which a resumed run begins with an empty buffer."
            )

    def _write(self, counters: Mapping[str, Any], reason: str) -> Checkpoint:
        assert self.state is not None
        temporary = self._folder.begin(int(counters["step"]))
        self.state.write_state(temporary)
        data = {
            "run_id": self.directory.run_id,
            "reason": reason,
            **self.description,
            **counters,
            "versions": versions(),
            "positions": positions(self.directory.path),
        }
        return self._folder.commit(temporary, data)


def versions() -> dict[str, str]:
    """Return the versions that a state depends on."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        module = name.replace("-", "_")
        if name == "rlctl" or module in sys.modules:  # only what this process really uses
            version = version_of(name)
            if version is not None:  # otherwise it is imported from a folder of sources
                found[name] = version
    return found


def positions(folder: Path) -> dict[str, int]:
    """Return the lengths of the files that grow with the training."""
    return {name: (folder / name).stat().st_size for name in CUT_BACK if (folder / name).exists()}
