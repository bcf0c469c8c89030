"""The training environments, side by side, with their state."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlctl import Run
from rlctl.gym.env_state import env_state, inexact, set_env_state
from rlctl_dqn.observations import layout_of, make_observed, mask_of, stacked_masks
from rlctl_dqn.replay_buffer import ReplayBuffer


class Environments:
    """Steps `num_envs` environments; an ended one is reset at once, and no transition crosses a reset.

    With `checked` it says of each transition whether all of its numbers are finite, and stores none that are not.
    """

    def __init__(self, run: Run, *, checked: bool = False) -> None:
        self._run = run
        self._checked = checked
        self._envs: list[gymnasium.Env[Any, Any]] = [
            make_observed(run.env) for _ in range(run.env.get("num_envs") or 1)
        ]
        for reason in inexact(self._envs):
            run.limit_resume(reason)
        self.first_action = int(self._envs[0].action_space.start)  # type: ignore[attr-defined]
        self.num_actions = int(self._envs[0].action_space.n)  # type: ignore[attr-defined]
        self.layout = layout_of(self._envs[0].observation_space)
        first = [env.reset(seed=run.seed + index) for index, env in enumerate(self._envs)]
        self.observations: NDArray[Any] = np.stack([observation for observation, _ in first]).astype(self.layout.dtype)
        self._masks = [mask_of(info, self.num_actions) for _, info in first]
        self._returns = [0.0] * len(self)
        self._lengths = [0] * len(self)
        self.nonfinite: list[str] = []
        """What was no finite number in the last step, in words."""
        self._sound = [self._is_sound(observation) for observation in self.observations]

    def __len__(self) -> int:
        return len(self._envs)

    @property
    def masks(self) -> NDArray[np.bool_] | None:
        """Which actions are allowed now, (num_envs, num_actions); None if all are."""
        return stacked_masks(self._masks, self.num_actions)

    @property
    def says_what_is_allowed(self) -> bool:
        """Whether the environments say which actions are allowed."""
        return any(mask is not None for mask in self._masks)

    def step(self, actions: NDArray[np.int64], buffer: ReplayBuffer, step: int) -> None:
        """Take one action in each environment, store the transitions, report episodes that ended at `step`."""
        self.nonfinite.clear()
        for index, env in enumerate(self._envs):
            action = int(actions[index])
            observation, reward, terminated, truncated, info = env.step(action + self.first_action)
            ended = terminated or truncated
            mask, next_mask = self._masks[index], mask_of(info, self.num_actions, ended=ended)
            if self._checked and not self._is_finite(observation, float(reward), index):
                buffer.drop(index)
            else:
                buffer.add(
                    self.observations[index], action, float(reward), observation, terminated,
                    truncated=truncated, env_index=index, mask=mask, next_mask=next_mask,
                )  # fmt: skip
            self._returns[index] += float(reward)
            self._lengths[index] += 1
            if ended:
                self._run.record_episode(self._returns[index], self._lengths[index], env_index=index, step=step)
                self._returns[index], self._lengths[index] = 0.0, 0
                observation, info = env.reset()
                next_mask = mask_of(info, self.num_actions)
                if self._checked:
                    self._sound[index] = self._is_sound(observation)
            self.observations[index] = observation
            self._masks[index] = next_mask

    def _is_finite(self, observation: Any, reward: float, index: int) -> bool:
        """Return whether all numbers of a transition are, those of its first observation too; note it if not."""
        was_sound, is_sound = self._sound[index], self._is_sound(observation)
        self._sound[index] = is_sound
        if not (was_sound and is_sound):
            self.nonfinite.append(f"an observation of environment {index} has a number that is not finite")
        if not math.isfinite(reward):
            self.nonfinite.append(f"the reward of environment {index} is {reward}")
        return was_sound and is_sound and math.isfinite(reward)

    def _is_sound(self, observation: Any) -> bool:
        return self.layout.dtype == "uint8" or bool(np.isfinite(observation).all())

    def state(self) -> dict[str, Any]:
        """Return everything as data."""
        return {
            "envs": [env_state(env) for env in self._envs],
            "observations": self.observations,
            "masks": self._masks,
            "returns": self._returns,
            "lengths": self._lengths,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Become what `state` returned."""
        for env, saved in zip(self._envs, state["envs"], strict=True):
            set_env_state(env, saved)
        self.observations, self._masks = state["observations"], state["masks"]
        self._returns, self._lengths = state["returns"], state["lengths"]
        self._sound = [self._is_sound(observation) for observation in self.observations]

    def close(self) -> None:
        """Close all of them."""
        for env in self._envs:
            env.close()
