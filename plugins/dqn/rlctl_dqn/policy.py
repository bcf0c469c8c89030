"""The agent as a policy for evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlctl.gym.environments import make_env
from rlctl_dqn.agent import DqnAgent


class DqnPolicy:
    """Takes the action of highest value or, where asked not to be greedy, explores as the training does at `step`."""

    def __init__(self, agent: DqnAgent, first_action: int, step: int, seed: int) -> None:
        self._agent = agent
        self._first_action = first_action
        self._step = step
        self._generator = np.random.default_rng(seed)

    def make_env(self, env: Mapping[str, Any], **kwargs: Any) -> gymnasium.Env[Any, Any]:
        """Return the environment as it is."""
        return make_env(env, **kwargs)

    def act(self, observations: Any, *, greedy: bool, started: Any) -> NDArray[np.int64]:
        """Return actions for observations (num_envs, size)."""
        values = np.asarray(observations, np.float32)
        actions = self._agent.greedy(values) if greedy else self._agent.act(values, self._step, self._generator)
        return actions + self._first_action
