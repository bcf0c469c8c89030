"""Environments that are stepped together: a vectorised class of their own, or a process for each."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv

from rlctl import NotAvailableError, Run
from rlctl.gym.curriculum import STAGE
from rlctl.gym.env_state import env_state, inexact, set_env_state
from rlctl.gym.environments import import_environments
from rlctl.gym.observing import Observable, StepObservers
from rlctl.worker.observing import EnvObserver
from rlctl_dqn.environments import Act, Environments, SyncEnvironments
from rlctl_dqn.observations import ACTION_MASK, frames_of, make_observed
from rlctl_dqn.replay_buffer import ReplayBuffer
from rlctl_dqn.storage import Steps

Vector = VectorEnv[Any, Any, Any]


def native(env: Mapping[str, Any], num_envs: int, *, required: bool) -> Vector | None:
    """Return gymnasium's vectorised class of this environment, `num_envs` of them; None if there is none that fits.

    It fits if it takes the environment's arguments, observes float32 vectors, and resets an ended one in the next step, and
    if there are no wrappers and no curriculum, which are for single ones. Raises NotAvailableError, if it is `required`, with
    what does not fit.
    """
    import_environments(env)
    reason = f"{env['id']} has no vectorised class of its own"
    if env.get("wrappers") or env.get("curriculum"):
        reason = "env.wrappers and env.curriculum are for single environments"
    elif env["id"] in gymnasium.registry and gymnasium.spec(env["id"]).vector_entry_point is not None:
        arguments = dict(env.get("kwargs") or {})
        if env.get("max_episode_steps") is not None:
            arguments["max_episode_steps"] = env["max_episode_steps"]
        try:
            vector = gymnasium.make_vec(
                env["id"], num_envs=num_envs, vectorization_mode="vector_entry_point", **arguments
            )
        except TypeError as error:
            reason = f"the vectorised class of {env['id']} does not take these arguments: {error}"
        else:
            if _fits(vector):
                return vector
            reason = f"the vectorised class of {env['id']} has other observations or another way to reset"
            vector.close()
    if required:
        raise NotAvailableError(f"hyperparameters.vectorization: {reason}.", hint="Leave it at auto.")
    return None


def _fits(vector: Vector) -> bool:
    space = vector.single_observation_space
    is_vector = isinstance(space, gymnasium.spaces.Box) and space.dtype == np.float32 and len(space.shape) == 1
    return is_vector and vector.metadata.get("autoreset_mode") == AutoresetMode.NEXT_STEP


class NativeEnvironments(Environments):
    """Steps all of them in one call of a vectorised class, which takes a step to reset one that has ended."""

    way = "native"

    def __init__(self, run: Run, vector: Vector, *, checked: bool) -> None:
        super().__init__(
            run, vector.single_observation_space, vector.single_action_space, vector.num_envs, checked=checked
        )
        self._vector = vector
        for reason in inexact([vector]):
            run.limit_resume(reason)
        self.observations, infos = vector.reset(seed=run.seed)
        self._had_ended = np.zeros(len(self), bool)
        space = Observable(vector.single_observation_space, vector.single_action_space)
        seen = run.env_observers
        self._observers = [StepObservers(seen, index, space) for index in range(len(self))] if seen else []
        for index, observers in enumerate(self._observers):
            observers.begin(self.observations[index], _all_of(infos, index))  # one seed for all of them is none of each

    def play(self, act: Act, buffer: ReplayBuffer, before: int, until: int) -> int:
        """Take one action in each that is not being reset, as `Environments.play` says; a reset is no step."""
        self.nonfinite.clear()
        actions = np.asarray(act(self.observations, before))
        taken = actions + self.first_action
        following, rewards, terminated, truncated, infos = self._vector.step(taken)
        took = ~self._had_ended
        for index, observers in enumerate(self._observers):
            info = _all_of(infos, index)
            if took[index]:
                result = (following[index], rewards[index], terminated[index], truncated[index], info)
                observers.step(taken[index], result)
            else:
                observers.begin(following[index], info)
        after = before + int(np.count_nonzero(took))
        steps = Steps(self.observations, actions, rewards, following, terminated)
        if took.all():
            self._add(steps, buffer, after, range(len(self)))
        else:
            self._add(steps.part(took), buffer, after, np.flatnonzero(took).tolist())
        self._returns += rewards * took
        self._lengths += took
        self.observations, self._had_ended = following, terminated | truncated
        for index in np.flatnonzero(self._had_ended).tolist():
            self._report(index, after)
        return after

    def state(self) -> dict[str, Any]:
        """Return everything as data."""
        own = {"had_ended": self._had_ended, "observers": [observers.state() for observers in self._observers]}
        return {**super().state(), **own, "vector": env_state(self._vector)}  # type: ignore[arg-type]

    def set_state(self, state: dict[str, Any]) -> None:
        """Become what `state` returned."""
        set_env_state(self._vector, state["vector"])  # type: ignore[arg-type]
        self._had_ended = state["had_ended"]
        for observers, saved in zip(self._observers, state.get("observers", ()), strict=False):
            observers.set_state(saved)
        super().set_state(state)

    def close(self) -> None:
        """Close all of them."""
        for observers in self._observers:
            observers.close()
        self._vector.close()


class AsyncEnvironments(Environments):
    """Steps each in a process of its own, all at the same time: for environments that take milliseconds."""

    way = "async"

    def __init__(self, run: Run, num_envs: int, *, checked: bool) -> None:
        factories = [functools.partial(_in_process, run.env, run.env_observers, index) for index in range(num_envs)]
        # Forking a process in which PyTorch has threads can lock it up.
        self._vector = AsyncVectorEnv(factories, context="forkserver", autoreset_mode=AutoresetMode.SAME_STEP)
        spaces = self._vector.single_observation_space, self._vector.single_action_space
        super().__init__(run, *spaces, num_envs, checked=checked, frames=self._vector.call("frames")[0])
        for reason in self._vector.call("inexact")[0]:
            run.limit_resume(reason)
        observations, infos = self._vector.reset(seed=[run.seed + index for index in range(num_envs)])
        for index in range(num_envs):
            self._begin(index, observations[index], _of(infos, index))

    def play(self, act: Act, buffer: ReplayBuffer, before: int, until: int) -> int:
        """Take one action in each, as `Environments.play` says."""
        self.nonfinite.clear()
        actions = act(self.observations, before)
        observations, rewards, terminated, truncated, infos = self._vector.step(np.asarray(actions) + self.first_action)
        after = before + len(self)
        for index, action in enumerate(actions):
            ended = bool(terminated[index] or truncated[index])
            info = _of(infos["final_info"] if ended else infos, index)
            following = infos["final_obs"][index] if ended else observations[index]
            result = (following, rewards[index], bool(terminated[index]), bool(truncated[index]), info)
            if self._take(index, action, result, buffer, after):
                self._report(index, after)
                self._begin(index, observations[index], _of(infos, index))
        return after

    def enter_stage(self, stage: int) -> None:
        """Tell all of them of the stage of a curriculum."""
        self._vector.call("enter_stage", stage)

    def state(self) -> dict[str, Any]:
        """Return everything as data."""
        return {**super().state(), "envs": list(self._vector.call("state"))}

    def set_state(self, state: dict[str, Any]) -> None:
        """Become what `state` returned."""
        self._vector.call("set_state", state["envs"])
        super().set_state(state)

    def close(self) -> None:
        """Close all of them, and their processes."""
        self._vector.close()


class _Remote(gymnasium.Wrapper[Any, Any, Any, Any]):
    """What the training's process asks of an environment in another one."""

    def __init__(self, env: gymnasium.Env[Any, Any], index: int) -> None:
        super().__init__(env)
        self._index = index

    def inexact(self) -> list[str]:
        return list(inexact([self.env]))

    def frames(self) -> int | None:
        return frames_of(self.env)

    def state(self) -> dict[str, Any]:
        return env_state(self.env)

    def set_state(self, states: list[dict[str, Any]]) -> None:
        """Take one's own of the states of all: a call hands the same to each."""
        set_env_state(self.env, states[self._index])


def _in_process(env: Mapping[str, Any], observers: Sequence[EnvObserver], index: int) -> gymnasium.Env[Any, Any]:
    return _Remote(make_observed(env, observers, index), index)


def _of(infos: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return what batched infos say of one environment: `_name` says for which of them there is a `name`."""
    return {name: infos[name][index] for name in (ACTION_MASK, STAGE) if name in infos and infos[f"_{name}"][index]}


def _all_of(infos: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return everything that batched infos say of one environment."""
    return {name: infos[name][index] for name in infos if f"_{name}" in infos and infos[f"_{name}"][index]}


def make_environments(run: Run, vectorization: str, *, checked: bool, one_by_one: bool) -> Environments:
    """Return the environments of a run, in the way that the setting `vectorization` says.

    `auto`: several of an environment that has a vectorised class of its own are of that class, all others are stepped one
    by one; so are all if transitions are needed `one_by_one`. Raises NotAvailableError for what the environment has not.
    """
    num_envs = run.env.get("num_envs") or 1
    made: Environments | None = None
    if vectorization == "async":
        made = AsyncEnvironments(run, num_envs, checked=checked)
    elif vectorization == "native" or (vectorization == "auto" and num_envs > 1 and not one_by_one):
        vector = native(run.env, num_envs, required=vectorization == "native")
        made = None if vector is None else NativeEnvironments(run, vector, checked=checked)
    if made is None:
        made = SyncEnvironments(
            run, [make_observed(run.env, run.env_observers, index) for index in range(num_envs)], checked=checked
        )
    if num_envs > 1:
        print(f"rlctl: vectorization: {made.way}", file=sys.stderr, flush=True)
    return made
