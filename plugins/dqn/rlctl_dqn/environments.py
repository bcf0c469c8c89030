"""The training environments, side by side: what all ways to step them have in common, and one after the other."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlctl import RlctlError, Run
from rlctl.gym.env_state import env_state, inexact, set_env_state
from rlctl_dqn.observations import ACTION_MASK, frames_of, layout_of, mask_of, stacked_masks
from rlctl_dqn.replay_buffer import ReplayBuffer
from rlctl_dqn.storage import Steps

Act = Callable[[NDArray[Any], int], Sequence[int]]
"""Takes observations (num_envs, *shape) and the step, returns an action for each."""
Mask = NDArray[np.bool_] | None

BLOCK = 16
"""The most steps of one environment in one call of `play`: a request to stop has to wait for them."""


class Environments(abc.ABC):
    """Steps environments; an ended one is reset at once, and no transition crosses a reset.

    With `checked` it says of each transition whether all of its numbers are finite, and stores none that are not. `frames`
    is what `frames_of` says of one of them.
    """

    way: str
    """How they are stepped: a value of the setting `vectorization`."""

    def __init__(
        self,
        run: Run,
        observations: gymnasium.spaces.Space[Any],
        actions: gymnasium.spaces.Space[Any],
        num_envs: int,
        *,
        checked: bool,
        frames: int | None = None,
    ) -> None:
        self._run = run
        self._checked = checked
        self.first_action = int(actions.start)  # type: ignore[attr-defined]
        self.num_actions = int(actions.n)  # type: ignore[attr-defined]
        self.layout = layout_of(observations, frames)
        self.observations: NDArray[Any] = np.zeros((num_envs, *self.layout.shape), self.layout.dtype)
        self.nonfinite: list[tuple[int, str]] = []
        """The steps in the last `play` in which something was no finite number, and what, in words."""
        self.says_what_is_allowed = False
        """Whether any of them has said which actions are allowed."""
        self._masks: list[Mask] = [None] * num_envs
        self._returns = np.zeros(num_envs)
        self._lengths = np.zeros(num_envs, np.int64)

    def __len__(self) -> int:
        return len(self.observations)

    @property
    def masks(self) -> Mask:
        """Which actions are allowed now, (num_envs, num_actions); None if all are."""
        return stacked_masks(self._masks, self.num_actions)

    @abc.abstractmethod
    def play(self, act: Act, buffer: ReplayBuffer, before: int, until: int) -> int:
        """Act, store the transitions, report episodes that ended; until so many steps, or at least one more, have been steps.

        `before` steps had been taken before it; returns how many are now. It comes back when an episode has ended.
        """

    def state(self) -> dict[str, Any]:
        """Return everything as data."""
        counts = {"returns": self._returns, "lengths": self._lengths}
        return {"observations": self.observations, "masks": self._masks, **counts}

    def set_state(self, state: dict[str, Any]) -> None:
        """Become what `state` returned."""
        self.observations, self._masks = state["observations"], state["masks"]
        self.says_what_is_allowed = any(mask is not None for mask in self._masks)
        self._returns, self._lengths = state["returns"], state["lengths"]

    @abc.abstractmethod
    def close(self) -> None:
        """Close all of them."""

    # ---- for those that step ---------------------------------------------------------------------------------------

    def _begin(self, index: int, observation: Any, info: dict[str, Any]) -> None:
        """Note with what an episode of one environment begins."""
        self.observations[index] = observation
        self._masks[index] = mask_of(info, self.num_actions) if info else None
        self.says_what_is_allowed = self.says_what_is_allowed or self._masks[index] is not None

    def _take(
        self, index: int, action: int, result: tuple[Any, float, bool, bool, Any], buffer: ReplayBuffer, step: int
    ) -> bool:
        """Store what an action led to in one environment; returns whether its episode has ended."""
        observation, reward, terminated, truncated, info = result
        ended = terminated or truncated
        mask, next_mask = self._masks[index], mask_of(info, self.num_actions, ended=ended) if info else None
        before = self.observations[index]
        if self._checked and not self._is_sound(before, reward, observation, index, step):
            buffer.drop(index)
        else:
            buffer.add(
                before, action, reward, observation, terminated,
                truncated=truncated, env_index=index, mask=mask, next_mask=next_mask,
            )  # fmt: skip
        self._returns[index] += reward
        self._lengths[index] += 1
        if not ended:
            self.observations[index] = observation
            self._masks[index] = next_mask
        return ended

    def _add(self, steps: Steps, buffer: ReplayBuffer, first_step: int, indices: Sequence[int]) -> None:
        """Store steps, moment by moment and at each in the environments `indices`.

        After the first moment `first_step` had been taken.
        """
        if not self._checked or (_finite(steps.observations) and _finite(steps.rewards) and _finite(steps.following)):
            buffer.add_many(steps)
            return
        count = len(indices)
        rows = zip(steps.observations, steps.rewards.tolist(), steps.following, strict=True)
        good = [
            self._is_sound(before, reward, after, indices[place % count], first_step + place // count * count)
            for place, (before, reward, after) in enumerate(rows)
        ]
        buffer.add_many(steps.part(np.array(good)))

    def _report(self, index: int, step: int) -> None:
        """Report the episode that has ended in one environment."""
        total, length = float(self._returns[index]), int(self._lengths[index])
        self._run.record_episode(total, length, env_index=index, step=step)
        self._returns[index], self._lengths[index] = 0.0, 0

    def _is_sound(self, before: Any, reward: float, after: Any, index: int, step: int) -> bool:
        """Return whether all numbers of a transition are finite; note what is not."""
        observed = _finite(before) and _finite(after)
        if not observed:
            words = f"an observation of environment {index} has a number that is not finite"
            self.nonfinite.append((step, words))
        if not math.isfinite(reward):
            self.nonfinite.append((step, f"the reward of environment {index} is {reward}"))
        return observed and math.isfinite(reward)


class SyncEnvironments(Environments):
    """Steps them one by one in this process."""

    way = "sync"

    def __init__(self, run: Run, envs: Sequence[gymnasium.Env[Any, Any]], *, checked: bool) -> None:
        one = envs[0]
        super().__init__(
            run, one.observation_space, one.action_space, len(envs), checked=checked, frames=frames_of(one)
        )
        self._envs = envs
        self._block = np.zeros((BLOCK + 1, *self.observations.shape), self.layout.dtype)
        for reason in inexact(envs):
            run.limit_resume(reason)
        for index, env in enumerate(envs):
            self._begin(index, *env.reset(seed=run.seed + index))

    def play(self, act: Act, buffer: ReplayBuffer, before: int, until: int) -> int:
        """Act as `Environments.play` says."""
        self.nonfinite.clear()
        if buffer.takes_many:
            return self._play_block(act, buffer, before, until)
        after = before + len(self._envs)
        for index, action in enumerate(act(self.observations, before)):
            observation, reward, terminated, truncated, info = self._envs[index].step(action + self.first_action)
            if self._take(index, action, (observation, float(reward), terminated, truncated, info), buffer, after):
                self._report(index, after)
                self._begin(index, *self._envs[index].reset())
        return after

    def _play_block(self, act: Act, buffer: ReplayBuffer, before: int, until: int) -> int:
        """Take several steps and store their transitions together, which costs a fraction of storing each."""
        if self.says_what_is_allowed:
            raise RlctlError(f'info["{ACTION_MASK}"] must be there from the first reset on, or never.')
        block, first_action = self._block, self.first_action
        block[0] = self.observations
        actions: list[int] = []
        rewards: list[float] = []
        terminations: list[bool] = []
        ended: list[int] = []
        step, moment = before, 0
        while moment == 0 or (step < until and moment < BLOCK and not ended):
            chosen = act(block[moment], step)
            moment += 1
            for index, env in enumerate(self._envs):
                block[moment, index], reward, terminated, truncated, _ = env.step(chosen[index] + first_action)
                rewards.append(reward)  # type: ignore[arg-type]
                terminations.append(terminated)
                if terminated or truncated:
                    ended.append(index)
            actions += chosen
            step += len(chosen)
        self._store_block(moment, actions, rewards, terminations, buffer, before)
        for index in ended:
            self._report(index, step)
            self._begin(index, *self._envs[index].reset())
        return step

    def _store_block(
        self,
        moments: int,
        actions: list[int],
        rewards: list[float],
        terminated: list[bool],
        buffer: ReplayBuffer,
        before: int,
    ) -> None:
        block, shape, count = self._block, self.layout.shape, len(self)
        for index in range(count):
            self._returns[index] += sum(rewards[index::count])
            self._lengths[index] += moments
        steps = Steps(
            block[:moments].reshape(-1, *shape), np.array(actions), np.array(rewards, np.float32),
            block[1 : moments + 1].reshape(-1, *shape), np.array(terminated),
        )  # fmt: skip
        self._add(steps, buffer, before + count, range(count))
        self.observations[...] = block[moments]

    def state(self) -> dict[str, Any]:
        """Return everything as data."""
        return {**super().state(), "envs": [env_state(env) for env in self._envs]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Become what `state` returned."""
        for env, saved in zip(self._envs, state["envs"], strict=True):
            set_env_state(env, saved)
        super().set_state(state)

    def close(self) -> None:
        """Close all of them."""
        for env in self._envs:
            env.close()


def _finite(numbers: Any) -> bool:
    """Return whether all numbers are finite."""
    # The sum of squares is finite only where all numbers are; where it is not, it may just be too large.
    return math.isfinite(np.vdot(numbers, numbers)) or bool(np.isfinite(numbers).all())
