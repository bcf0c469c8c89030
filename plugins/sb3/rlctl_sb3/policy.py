"""A model of SB3 as a policy for evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
from stable_baselines3 import TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from rlctl import RlctlError
from rlctl.gym.environments import make_env


class Sb3Policy:
    """Acts by SB3's own `predict`, on observations that are normalised as in training, by statistics that stand still."""

    def __init__(self, model: BaseAlgorithm) -> None:
        self._model = model
        self._memory: Any = None

    def make_env(self, env: Mapping[str, Any], **kwargs: Any) -> gymnasium.Env[Any, Any]:
        """Return the environment as it is."""
        return make_env(env, **kwargs)

    def act(self, observations: Any, *, greedy: bool, started: Any) -> Any:
        """Return actions for observations (num_envs, ...)."""
        if not greedy and isinstance(self._model, TD3):
            raise RlctlError(f"the policy of {type(self._model).__name__} is deterministic: it has nothing to sample.")
        normalized = self._model.get_vec_normalize_env()
        if normalized is not None:
            observations = normalized.normalize_obs(observations)
        actions, self._memory = self._model.predict(
            observations, state=self._memory, episode_start=started, deterministic=greedy
        )
        return actions
