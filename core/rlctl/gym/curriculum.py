"""One environment that becomes another when its run reaches the next stage of a curriculum.

The run counts and decides, as only it knows what all environments have done; each of them is told, by `enter_stage`, and
changes when its episode has ended: at its next reset. So none needs to know of the others, in whichever process it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from rlctl.errors import NotAvailableError

STAGE = "rlctl.stage"
"""Key, in the info of an episode's last step, of the stage that the episode was played in."""


class CurriculumEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Stands around the environments of all stages, which are made and alike, and is one of them at a time.

    `stage` is the one being played, `next_stage` the one from the next reset on. A stage's environment is seeded, when it is
    entered, by a number that follows from this one's own seed and the stage. Raises NotAvailableError for spaces that differ.
    """

    def __init__(self, envs: Sequence[gymnasium.Env[Any, Any]]) -> None:
        super().__init__(envs[0])
        self._envs = tuple(envs)
        self.stage = 0
        self.next_stage = 0
        self._seed: int | None = None
        for index, env in enumerate(envs):
            different = different_spaces(env, envs[0])
            if different is not None:
                name, mine, other = different
                raise NotAvailableError(
                    f"env.curriculum[{index}] has another {name} space than the first: {mine}, {other}."
                )
        # The same objects in all stages: a library may have seeded them, and draws from them.
        self.action_space, self.observation_space = envs[0].action_space, envs[0].observation_space

    @property
    def spec(self) -> Any:  # type: ignore[override]
        """The spec of the stage being played."""
        return self.env.spec

    @property
    def stages(self) -> tuple[gymnasium.Env[Any, Any], ...]:
        """The environments of all stages."""
        return self._envs

    def enter_stage(self, stage: int) -> None:
        """Play this stage from the next reset on."""
        self.next_stage = stage

    def restore_stage(self, stage: int) -> None:
        """Be in a stage, as a saved state says or a reset asks for; those before it are closed, as nothing leads back."""
        for env in self._envs[self.stage : stage]:
            env.close()
        self.stage = self.next_stage = stage
        self.env = self._envs[stage]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            self._seed = int(seed)
        if self.next_stage != self.stage:
            self.restore_stage(self.next_stage)
            if seed is None and self._seed is not None:
                seed = int(np.random.SeedSequence([self._seed, self.stage]).generate_state(1)[0])
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        if result[2] or result[3]:
            result[4][STAGE] = self.stage
        return result

    def close(self) -> None:
        for env in self._envs[self.stage :]:
            env.close()


def stage_of(info: Mapping[str, Any]) -> int | None:
    """Return the stage of the episode that `info` ends; None without a curriculum."""
    stage = info.get(STAGE)
    return None if stage is None else int(stage)


def different_spaces(env: gymnasium.Env[Any, Any], first: gymnasium.Env[Any, Any]) -> tuple[str, str, str] | None:
    """Return "observation" or "action", and that space of both as text, where they differ; None if they are the same."""
    for name in ("observation", "action"):
        mine, other = getattr(env, f"{name}_space"), getattr(first, f"{name}_space")
        if mine != other:
            return name, str(mine), str(other)
    return None
