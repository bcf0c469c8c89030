"""Where a run is in its curriculum: what has been done in the stage that it has reached, and when the next one begins."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from rlctl.config.conditions import Condition, what_holds
from rlctl.config.curriculum import WINDOW, end_of, expanded, stage_envs
from rlctl.errors import RlctlError
from rlctl.events import Episode, StageChanged
from rlctl.worker.eventlog import append_event


@frozen
class Stage:
    """One stage: its environment, when it is over, and over how many episodes `episode_return` is a mean."""

    env_id: str
    end: Condition
    window: int


@define
class CurriculumProgress:
    """Counts within the stage. It is the run's, and all of its environments follow it."""

    stages: Sequence[Stage]
    index: int = 0
    first_step: int = 0
    """Steps that the run had taken when the stage began."""
    episodes: int = 0
    returns: deque[float] = field(factory=deque)

    def after(self, episode: Episode) -> str | None:
        """Count an episode; returns why the stage is over with it, or None.

        Those that began in an earlier stage are passed over: another environment may still have been playing one.
        """
        stage = self.stages[self.index]
        if episode.stage not in (None, self.index):
            return None
        self.episodes += 1
        self.returns.append(episode.episode_return)
        if len(self.returns) > stage.window:
            self.returns.popleft()
        values = {"steps": float(episode.step - self.first_step), "episodes": float(self.episodes)}
        if len(self.returns) == stage.window:  # of fewer, a mean would be a matter of luck
            values["episode_return"] = sum(self.returns) / stage.window
        return what_holds(stage.end, values)

    @property
    def is_last(self) -> bool:
        """Whether no stage comes after this one."""
        return self.index == len(self.stages) - 1

    def advance(self, step: int) -> Stage:
        """Begin the next stage, and return it; the counts begin anew."""
        self.index, self.first_step, self.episodes = self.index + 1, step, 0
        self.returns.clear()
        return self.stages[self.index]

    def state(self) -> dict[str, Any]:
        """Return everything as data."""
        return {
            "stage": self.index, "first_step": self.first_step, "episodes": self.episodes,
            "returns": [repr(value) for value in self.returns],  # as text: NaN is no JSON
        }  # fmt: skip

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Become what `state` returned."""
        self.index, self.first_step, self.episodes = state["stage"], state["first_step"], state["episodes"]
        self.returns = deque(map(float, state["returns"]))


class Curriculum:
    """The curriculum of a run, which may have none: follows its episodes, tells its environments, writes the event."""

    def __init__(self, env: Mapping[str, Any], events: Path) -> None:
        self._progress = progress_of(env)
        self._events = events
        self.tell: Callable[[int], object] | None = None
        """How the environments are told of a stage; the backend says it."""

    @property
    def stage(self) -> int | None:
        """The stage that the run has reached; None without a curriculum."""
        return None if self._progress is None else self._progress.index

    def require_followed(self, worker: str) -> None:
        """Raise RlctlError where nobody has said how the environments are told."""
        if self._progress is not None and self.tell is None:
            raise RlctlError(f"{worker} does not follow a curriculum: it does not call `run.follow_curriculum`")

    def after(self, episode: Episode) -> tuple[str, StageChanged | None] | None:
        """Begin the next stage if one is over with this episode: why, and what began; nothing after the last one."""
        progress = self._progress
        reason = None if progress is None else progress.after(episode)
        if progress is None or self.tell is None or reason is None:
            return None
        if progress.is_last:
            return reason, None
        stage = progress.advance(episode.step)
        self.tell(progress.index)
        changed = StageChanged(step=episode.step, stage=progress.index, env_id=stage.env_id, reason=reason)
        append_event(
            self._events, "stage_changed", step=changed.step, stage=changed.stage, env_id=changed.env_id, reason=reason
        )
        words = f"step {changed.step}: {reason}; env.curriculum[{changed.stage}], {stage.env_id}"
        print(f"rlctl: {words}", file=sys.stderr, flush=True)
        return reason, changed

    def counters(self) -> dict[str, Any]:
        """Return what a checkpoint says of it: nothing without a curriculum."""
        return {} if self._progress is None else {"curriculum": self._progress.state()}

    def restore(self, counters: Mapping[str, Any]) -> None:
        """Be where a checkpoint was, the environments too."""
        if self._progress is not None and self.tell is not None:
            self._progress.set_state(counters["curriculum"])
            self.tell(self._progress.index)


def progress_of(env: Mapping[str, Any]) -> CurriculumProgress | None:
    """Return the beginning of the curriculum of an `env` mapping; None if it has none."""
    said = expanded(env.get("curriculum") or [])
    stages = [
        Stage(str(made["id"]), end_of(stage), stage.get("window") or WINDOW)
        for stage, made in zip(said, stage_envs(env), strict=True)
    ]
    return CurriculumProgress(stages) if stages else None
