"""The training environments, side by side, with their state."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlctl import Run
from rlctl.gym.env_state import env_state, inexact, set_env_state
from rlctl.gym.environments import make_env
from rlctl_dqn.replay_buffer import ReplayBuffer


class Environments:
    """Steps `num_envs` environments; an ended one is reset at once, and no transition crosses a reset."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._envs: list[gymnasium.Env[Any, Any]] = [make_env(run.env) for _ in range(run.env.get("num_envs") or 1)]
        for reason in inexact(self._envs):
            run.limit_resume(reason)
        self.first_action = int(self._envs[0].action_space.start)  # type: ignore[attr-defined]
        self.num_actions = int(self._envs[0].action_space.n)  # type: ignore[attr-defined]
        (self.observation_size,) = self._envs[0].observation_space.shape or (0,)
        first = [env.reset(seed=run.seed + index)[0] for index, env in enumerate(self._envs)]
        self.observations: NDArray[np.float32] = np.stack(first).astype(np.float32)
        self._returns = [0.0] * len(self)
        self._lengths = [0] * len(self)

    def __len__(self) -> int:
        return len(self._envs)

    def step(self, actions: NDArray[np.int64], buffer: ReplayBuffer, step: int) -> None:
        """Take one action in each environment, store the transitions, report episodes that ended at `step`."""
        for index, env in enumerate(self._envs):
            action = int(actions[index])
            observation, reward, terminated, truncated, _ = env.step(action + self.first_action)
            buffer.add(self.observations[index], action, float(reward), observation, terminated)
            self._returns[index] += float(reward)
            self._lengths[index] += 1
            if terminated or truncated:
                self._run.record_episode(self._returns[index], self._lengths[index], env_index=index, step=step)
                self._returns[index], self._lengths[index] = 0.0, 0
                observation, _ = env.reset()
            self.observations[index] = observation

    def state(self) -> dict[str, Any]:
        """Return everything as data."""
        return {
            "envs": [env_state(env) for env in self._envs],
            "observations": self.observations,
            "returns": self._returns,
            "lengths": self._lengths,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Become what `state` returned."""
        for env, saved in zip(self._envs, state["envs"], strict=True):
            set_env_state(env, saved)
        self.observations = state["observations"]
        self._returns, self._lengths = state["returns"], state["lengths"]

    def close(self) -> None:
        """Close all of them."""
        for env in self._envs:
            env.close()
