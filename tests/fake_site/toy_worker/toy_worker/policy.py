"""What the toy is evaluated with: a game in which the right action is always 1, and a policy that takes it by its skill."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

LENGTH = 10


class ToyEnv(gymnasium.Env[Any, Any]):
    """Shows how hard the next step is, from 0 to 1; a return of 10 is the most."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length: int) -> None:
        self._length = length

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._steps = 0
        return self._hardness(), {}

    def step(self, action: Any) -> Any:
        self._steps += 1
        return self._hardness(), float(action), self._steps == self._length, False, {}

    def _hardness(self) -> Any:
        return self.np_random.random((1,), dtype=np.float32)


class ToyPolicy:
    """Masters what is less hard than its skill; when it is not greedy, by chance."""

    def __init__(self, skill: float) -> None:
        self._skill = skill

    def make_env(self, env: Mapping[str, Any], **kwargs: Any) -> ToyEnv:
        return ToyEnv(env["max_episode_steps"] or LENGTH)

    def act(self, observations: Any, *, greedy: bool, started: Any) -> Any:
        if greedy:
            return (observations[:, 0] < self._skill).astype(int)
        return np.array([random.random() < self._skill for _ in observations], dtype=int)
