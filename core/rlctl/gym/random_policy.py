"""Actions by chance, as a baseline: uniform over the action space, the same ones for the same seed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rlctl.gym.env_state import links
from rlctl.gym.evaluation import stacked


class RandomPolicy:
    """Acts by chance in environments that `make` makes; nothing is learned and nothing else is drawn from."""

    def __init__(self, make: Callable[..., gymnasium.Env[Any, Any]]) -> None:
        self._make = make
        self._envs: list[_Chance] = []

    def make_env(self, env: Mapping[str, Any], **kwargs: Any) -> gymnasium.Env[Any, Any]:
        """Return an environment as `make` makes it."""
        self._envs.append(_Chance(self._make(env, **kwargs)))
        return self._envs[-1]

    def act(self, observations: Any, *, greedy: bool, started: Any) -> Any:
        """Return an action for each of the environments, the last so many that were made."""
        envs = self._envs[-len(started) :]
        return stacked([env.sample() for env in envs], envs[0].action_space)


class _Chance(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Draws an episode's actions by the seed of its reset, of those that `info["action_mask"]` allows."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._space = copy.deepcopy(_space_of(env))  # a copy: the environment may draw from its own
        self._mask: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            # Not the seed itself: the environment's generator has that, and would draw the very same numbers.
            self._space.seed(int(np.random.SeedSequence([seed, 1]).generate_state(1)[0]))
        observation, info = self.env.reset(seed=seed, options=options)
        self._mask = info.get("action_mask")
        return observation, info

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self._mask = result[4].get("action_mask")
        return result

    def sample(self) -> Any:
        """Return an action."""
        if isinstance(self._space, spaces.Discrete) and self._mask is not None:
            return self._space.sample(mask=np.asarray(self._mask, np.int8))
        return self._space.sample()


def _space_of(env: gymnasium.Env[Any, Any]) -> spaces.Space[Any]:
    """Return the action space, or where a wrapper that clips takes any number, the bounded one below it.

    Of an unbounded space nothing can be drawn evenly.
    """
    outer: spaces.Space[Any] = env.action_space
    if isinstance(outer, spaces.Box) and not outer.is_bounded():
        for link in links(env):
            inner = link.action_space
            if isinstance(inner, spaces.Box) and inner.is_bounded() and inner.shape == outer.shape:
                return inner
    return outer
