"""A model of SB3 as a policy for evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DQN, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecFrameStack
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

from rlctl import Network, RlctlError
from rlctl.gym.environments import make_env
from rlctl_sb3.masks import ActionMasks


class StackedFrames(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Observes the last frames, as SB3's VecFrameStack has them: zeros where an episode has not had so many."""

    def __init__(self, env: gymnasium.Env[Any, Any], training: VecFrameStack, normalized: Callable[[Any], Any]) -> None:
        super().__init__(env)
        space: Any = training.venv.observation_space
        self._stack: Any = StackedObservations(1, training.stacked_obs.n_stack, space)
        self.observation_space = self._stack.stacked_observation_space
        self._normalized = normalized
        self._has_ended = False

    def reset(self, **kwargs: Any) -> Any:
        observation, info = self.env.reset(**kwargs)
        return self._first(observation), info

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self._has_ended:  # after a lost life, which the training took for an end
            seen = self._first(observation)
        else:
            seen = _only(self._stack.update(self._batch(observation), np.zeros(1, bool), [{}])[0])
        self._has_ended = bool(terminated or truncated)
        return seen, reward, terminated, truncated, info

    def _first(self, observation: Any) -> Any:
        self._has_ended = False
        return _only(self._stack.reset(self._batch(observation)))

    def _batch(self, observation: Any) -> Any:
        frame = self._normalized(observation)
        if isinstance(frame, dict):
            return {key: np.asarray(part)[None] for key, part in frame.items()}
        return np.asarray(frame)[None]


def _only(batch: Any) -> Any:
    """Return a copy of the one observation of a batch: the stack goes on in the same memory."""
    if isinstance(batch, dict):
        return {key: part[0].copy() for key, part in batch.items()}
    return batch[0].copy()


class Sb3Policy:
    """Acts by SB3's own `predict`, on observations that are normalised as in training, by statistics that stand still.

    With `masked` it asks the environments that it made what they allow; `masks` says it once and for all.
    """

    def __init__(
        self,
        model: BaseAlgorithm,
        *,
        masked: bool = False,
        masks: NDArray[np.bool_] | None = None,
        stacked: VecFrameStack | None = None,
    ) -> None:
        self._model = model
        self._stacked = stacked
        self._memory: Any = None
        self._masked = masked
        self._said = masks
        self._masks: list[ActionMasks] = []

    def make_env(self, env: Mapping[str, Any], **kwargs: Any) -> gymnasium.Env[Any, Any]:
        """Return the environment as it is; one that is asked which actions are allowed, or whose frames are stacked, wrapped."""
        made = make_env(env, **kwargs)
        if self._masked:
            made = ActionMasks(made)
            self._masks.append(made)
        return made if self._stacked is None else StackedFrames(made, self._stacked, self._normalized)

    def act(self, observations: Any, *, greedy: bool, started: Any) -> Any:
        """Return actions for observations (num_envs, ...)."""
        if not greedy and isinstance(self._model, TD3):
            raise RlctlError(f"the policy of {type(self._model).__name__} is deterministic: it has nothing to sample.")
        asks = self._masked or self._said is not None
        allowed = {"action_masks": self._allowed(len(started))} if asks else {}
        actions, self._memory = self._model.predict(
            self._seen(observations), state=self._memory, episode_start=started, deterministic=greedy, **allowed
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
        seen, _ = model.policy.obs_to_tensor(self._seen(observations))
        values = model.quantile_net(seen).mean(dim=1) if has_quantiles else model.q_net(seen)
        return values.amax(dim=1).cpu().numpy()

    def network(self, env: Mapping[str, Any]) -> Network:
        """Return the policy as one network, normalisation and the bounds of actions included."""
        from rlctl_sb3.export import network_of  # which needs this class

        return network_of(self._model, masked=self._masked, stacked=self._stacked)

    def _allowed(self, count: int) -> NDArray[np.bool_]:
        """Return which actions are allowed in the last so many of the environments that were made, (count, num_actions)."""
        if self._said is not None:
            return self._said
        return np.stack([masks.action_masks() for masks in self._masks[-count:]])

    def _seen(self, observations: Any) -> Any:
        """Return what the networks get for observations; frames are normalised before they are stacked."""
        return self._normalized(observations) if self._stacked is None else observations

    def _normalized(self, observations: Any) -> Any:
        normalized = self._model.get_vec_normalize_env()
        return observations if normalized is None else normalized.normalize_obs(observations)
