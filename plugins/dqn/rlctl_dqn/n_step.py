"""Returns over n steps, added up environment by environment as transitions come in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Transition(NamedTuple):
    """What happened from one observation to another; `bootstrap` is the factor of the value of what comes after.

    It is gamma, gamma**k if `reward` is of k steps, and 0 where the episode terminated. `mask` and `next_mask` say which
    actions were allowed in both, None where the environment does not say.
    """

    observation: NDArray[Any]
    action: int
    reward: float
    next_observation: NDArray[Any]
    bootstrap: float
    mask: NDArray[np.bool_] | None = None
    next_mask: NDArray[np.bool_] | None = None


class NStepReturns:
    """Turns transitions of one step into those of up to `steps` (Sutton 1988); no window reaches across an episode's end."""

    def __init__(self, steps: int, gamma: float) -> None:
        self._steps = steps
        self._gamma = gamma
        self._pending: dict[int, deque[Transition]] = {}

    def add(self, transition: Transition, env_index: int, *, ended: bool) -> Iterator[Transition]:
        """Take in one step of an environment; yields what is complete with it: at an episode's end all that is pending.

        What is pending at an end bootstraps from the last observation, over the steps there were; if the episode was
        truncated, that has a value.
        """
        window = self._pending.setdefault(env_index, deque())
        # Copies: what the caller holds may be overwritten while it waits here.
        before, after = np.array(transition.observation), np.array(transition.next_observation)
        window.append(transition._replace(observation=before, next_observation=after))
        if len(window) == self._steps:
            yield self._sum(window)
            window.popleft()
        while ended and window:
            yield self._sum(window)
            window.popleft()

    def drop(self, env_index: int) -> None:
        """Forget what is pending of an environment."""
        self._pending.pop(env_index, None)

    def _sum(self, window: deque[Transition]) -> Transition:
        first, last = window[0], window[-1]
        reward, discount = 0.0, 1.0
        for transition in window:
            reward += discount * transition.reward
            discount *= self._gamma
        bootstrap = discount if last.bootstrap else 0.0
        return last._replace(
            observation=first.observation, action=first.action, mask=first.mask, reward=reward, bootstrap=bootstrap
        )

    def state(self) -> list[list[Any]]:
        """Return what is pending as data."""
        return [[env_index, [tuple(item) for item in window]] for env_index, window in self._pending.items()]

    def set_state(self, state: list[list[Any]]) -> None:
        """Become what `state` returned."""
        self._pending = {index: deque(Transition(*item) for item in window) for index, window in state}
