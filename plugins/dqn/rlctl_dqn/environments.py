"""The training environments, side by side: what all ways to step them have in common, and one after the other."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlctl import RlctlError, Run
from rlctl.gym.curriculum import stage_of
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
        # As the space samples them: a Discrete looks up the limits of its dtype for each number of Python.
        self._actions = [actions.dtype.type(self.first_action + index) for index in range(self.num_actions)]  # type: ignore[union-attr]
        self.layout = layout_of(observations, frames)
        self.observations: NDArray[Any] = np.zeros((num_envs, *self.layout.shape), self.layout.dtype)
        self.nonfinite: list[tuple[int, str]] = []
        """The steps in the last `play` in which something was no finite number, and what, in words."""
        self.says_what_is_allowed = False
        """Whether any of them has said which actions are allowed."""
        self._masks: list[Mask] = [None] * num_envs
        self._sound = [True] * num_envs
        """Whether all numbers of the observations are finite."""
        self._returns = np.zeros(num_envs)
        self._lengths = np.zeros(num_envs, np.int64)
        self._stages: list[int | None] = [None] * num_envs
        """In a curriculum, the stage of the episode that has ended last in each."""

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

    def enter_stage(self, stage: int) -> None:
        """Tell all of them of the stage of a curriculum; those that can have one do."""
        raise NotImplementedError(f"{self.way} environments have no curriculum")

    def state(self) -> dict[str, Any]:
        """Return everything as data."""
        counts = {"returns": self._returns, "lengths": self._lengths}
        return {"observations": self.observations, "masks": self._masks, **counts}

    def set_state(self, state: dict[str, Any]) -> None:
        """Become what `state` returned."""
        self.observations, self._masks = state["observations"], state["masks"]
        self.says_what_is_allowed = any(mask is not None for mask in self._masks)
        self._returns, self._lengths = state["returns"], state["lengths"]
        self._sound = [_finite(observation) for observation in self.observations]

    @abc.abstractmethod
    def close(self) -> None:
        """Close all of them."""

    # ---- for those that step ---------------------------------------------------------------------------------------

    def _begin(self, index: int, observation: Any, info: dict[str, Any]) -> None:
        """Note with what an episode of one environment begins."""
        self.observations[index] = observation
        self._sound[index] = _finite(observation)
        self._masks[index] = mask_of(info, self.num_actions) if info else None
        self.says_what_is_allowed = self.says_what_is_allowed or self._masks[index] is not None

    def _take(
        self,
        index: int,
        action: int,
        result: tuple[Any, SupportsFloat, bool, bool, Any],
        buffer: ReplayBuffer,
        step: int,
    ) -> bool:
        """Store what an action led to in one environment; returns whether its episode has ended."""
        observation, said, terminated, truncated, info = result
        reward, ended = float(said), terminated or truncated
        mask, next_mask = self._masks[index], mask_of(info, self.num_actions, ended=ended) if info else None
        if (mask is not None or next_mask is not None) and not buffer.has_masks:
            raise RlctlError(f'info["{ACTION_MASK}"] must be there from the first reset on, or never.')
        before = self.observations[index]
        if self._checked and not (math.isfinite(reward) and _finite(observation) and self._sound[index]):
            self._note(before, reward, observation, index, step)
            self._sound[index] = _finite(observation)
            buffer.drop(index)
        else:
            buffer.add(before, action, reward, observation, terminated, truncated, index, mask, next_mask)
        self._returns[index] += reward
        self._lengths[index] += 1
        if ended:
            self._stages[index] = stage_of(info) if info else None
        else:
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
            self._note(before, reward, after, indices[place % count], first_step + place // count * count)
            for place, (before, reward, after) in enumerate(rows)
        ]
        buffer.add_many(steps.part(np.array(good)))

    def _report(self, index: int, step: int) -> None:
        """Report the episode that has ended in one environment."""
        total, length = float(self._returns[index]), int(self._lengths[index])
        self._run.record_episode(total, length, env_index=index, step=step, stage=self._stages[index])
        self._returns[index], self._lengths[index] = 0.0, 0

    def _note(self, before: Any, reward: float, after: Any, index: int, step: int) -> bool:
        """Note what is no finite number in a transition; returns whether all are."""
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
        for reason in inexact(envs):
            run.limit_resume(reason)
        for index, env in enumerate(envs):
            self._begin(index, *env.reset(seed=run.seed + index))

    def play(self, act: Act, buffer: ReplayBuffer, before: int, until: int) -> int:
        """Act as `Environments.play` says."""
        self.nonfinite.clear()
        step, ended = before, False
        while step == before or (step < until and not ended):
            actions = act(self.observations, step)
            step += len(actions)
            for index, action in enumerate(actions):
                if self._take(index, action, self._envs[index].step(self._actions[action]), buffer, step):
                    ended = True
                    self._report(index, step)
                    self._begin(index, *self._envs[index].reset())
        return step

    def enter_stage(self, stage: int) -> None:
        """Tell all of them of the stage of a curriculum."""
        for env in self._envs:
            env.get_wrapper_attr("enter_stage")(stage)

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
