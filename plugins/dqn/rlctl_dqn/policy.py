"""The agent as a policy for evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlctl import Network
from rlctl_dqn.agent import Agent
from rlctl_dqn.export import network_of
from rlctl_dqn.observations import Layout, MaskMemory, make_observed, stacked_masks


class DqnPolicy:
    """Takes the action of highest value or, where asked not to be greedy, explores as the training does at `step`.

    It knows which actions are allowed from the environments that it made, the last so many of them, in their order.
    """

    def __init__(self, agent: Agent, layout: Layout, first_action: int, step: int, seed: int) -> None:
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
        seen = np.asarray(observations, self._layout.dtype)
        masks = self._masks(len(seen))
        if greedy:
            return self._agent.greedy(seen, masks) + self._first_action
        actions = self._agent.act(seen, self._step, self._generator.random(2 * len(seen)), masks)
        return np.array(actions) + self._first_action

    def values(self, observations: Any) -> NDArray[np.float32] | None:
        """Return the values (num_envs,) of the actions that `act` takes greedily.

        None with Munchausen: its values are of the rewards and the log-policy together, so they estimate no return.
        """
        if self._agent.settings.munchausen:
            return None
        seen = np.asarray(observations, self._layout.dtype)
        return self._agent.best_values(seen, self._masks(len(seen)))

    def network(self, env: Mapping[str, Any]) -> Network:
        """Return the greedy policy as one network."""
        return network_of(self._agent, self._layout, self._first_action, env)

    def _masks(self, count: int) -> NDArray[np.bool_] | None:
        """Return which actions are allowed in so many environments, (count, num_actions); None if all are."""
        own = self._memories[-count:]
        return stacked_masks([memory.mask for memory in own], self._agent.num_actions) if own else None
