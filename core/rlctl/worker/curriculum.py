"""Where a run is in its curriculum: what has been done in the stage that it has reached, and when the next one begins."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from rlctl.config.conditions import Condition, what_holds
from rlctl.config.curriculum import WINDOW, end_of, expanded, stage_envs
from rlctl.events import Episode


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


def progress_of(env: Mapping[str, Any]) -> CurriculumProgress | None:
    """Return the beginning of the curriculum of an `env` mapping; None if it has none."""
    said = expanded(env.get("curriculum") or [])
    stages = [
        Stage(str(made["id"]), end_of(stage), stage.get("window") or WINDOW)
        for stage, made in zip(said, stage_envs(env), strict=True)
    ]
    return CurriculumProgress(stages) if stages else None
