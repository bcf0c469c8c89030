"""A model of SB3 as a policy for evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DQN, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from rlctl import Network, RlctlError
from rlctl.gym.environments import make_env
from rlctl_sb3.masks import ActionMasks


class Sb3Policy:
    """Acts by SB3's own `predict`, on observations that are normalised as in training, by statistics that stand still.

    With `masked` it asks the environments that it made what they allow; `masks` says it once and for all.
    """

    def __init__(self, model: BaseAlgorithm, *, masked: bool = False, masks: NDArray[np.bool_] | None = None) -> None:
        self._model = model
        self._memory: Any = None
        self._masked = masked
        self._said = masks
        self._masks: list[ActionMasks] = []

    def make_env(self, env: Mapping[str, Any], **kwargs: Any) -> gymnasium.Env[Any, Any]:
        """Return the environment as it is, but for one that is asked which actions are allowed."""
        made = make_env(env, **kwargs)
        if not self._masked:
            return made
        self._masks.append(ActionMasks(made))
        return self._masks[-1]

    def act(self, observations: Any, *, greedy: bool, started: Any) -> Any:
        """Return actions for observations (num_envs, ...)."""
        if not greedy and isinstance(self._model, TD3):
            raise RlctlError(f"the policy of {type(self._model).__name__} is deterministic: it has nothing to sample.")
        asks = self._masked or self._said is not None
        allowed = {"action_masks": self._allowed(len(started))} if asks else {}
        actions, self._memory = self._model.predict(
            self._normalized(observations), state=self._memory, episode_start=started, deterministic=greedy, **allowed
        )
        return actions

    @torch.no_grad()
    def values(self, observations: Any) -> Any:
        """Return the highest action values (num_envs,) of DQN and QRDQN.

        None for other algorithms, and where rewards are normalised, as the values then are of these.
        """
        model: Any = self._model
        normalized = model.get_vec_normalize_env()
        has_quantiles = hasattr(model, "quantile_net")
        if not (isinstance(model, DQN) or has_quantiles) or (normalized is not None and normalized.norm_reward):
            return None
        model.policy.set_training_mode(False)
        seen, _ = model.policy.obs_to_tensor(self._normalized(observations))
        values = model.quantile_net(seen).mean(dim=1) if has_quantiles else model.q_net(seen)
        return values.amax(dim=1).cpu().numpy()

    def network(self, env: Mapping[str, Any]) -> Network:
        """Return the policy as one network, normalisation and the bounds of actions included."""
        from rlctl_sb3.export import network_of  # which needs this class

        return network_of(self._model, masked=self._masked)

    def _allowed(self, count: int) -> NDArray[np.bool_]:
        """Return which actions are allowed in the last so many of the environments that were made, (count, num_actions)."""
        if self._said is not None:
            return self._said
        return np.stack([masks.action_masks() for masks in self._masks[-count:]])

    def _normalized(self, observations: Any) -> Any:
        normalized = self._model.get_vec_normalize_env()
        return observations if normalized is None else normalized.normalize_obs(observations)
