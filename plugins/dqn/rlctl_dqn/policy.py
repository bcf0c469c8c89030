"""The agent as a policy for evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlctl_dqn.agent import DqnAgent
from rlctl_dqn.observations import Layout, MaskMemory, make_observed, stacked_masks


class DqnPolicy:
    """Takes the action of highest value or, where asked not to be greedy, explores as the training does at `step`.

    It knows which actions are allowed from the environments that it made, the last so many of them, in their order.
    """

    def __init__(self, agent: DqnAgent, layout: Layout, first_action: int, step: int, seed: int) -> None:
        self._agent = agent
        self._layout = layout
        self._first_action = first_action
        self._step = step
        self._generator = np.random.default_rng(seed)
        self._memories: list[MaskMemory] = []

    def make_env(self, env: Mapping[str, Any], **kwargs: Any) -> gymnasium.Env[Any, Any]:
        """Return the environment as the training sees it."""
        self._memories.append(MaskMemory(make_observed(env, **kwargs)))
        return self._memories[-1]

    def act(self, observations: Any, *, greedy: bool, started: Any) -> NDArray[np.int64]:
        """Return actions for observations (num_envs, *shape)."""
        values = np.asarray(observations, self._layout.dtype)
        own = self._memories[-len(values) :]
        masks = stacked_masks([memory.mask for memory in own], self._agent.num_actions) if own else None
        if greedy:
            return self._agent.greedy(values, masks) + self._first_action
        actions = self._agent.act(values, self._step, self._generator.random(2 * len(values)), masks)
        return np.array(actions) + self._first_action
