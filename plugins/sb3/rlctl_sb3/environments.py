"""The training environments: made, monitored, stepped one by one or each in a process, normalised, stacked."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecFrameStack, VecNormalize

from rlctl import RlctlError, Run
from rlctl.gym.env_state import env_state, inexact, set_env_state
from rlctl.gym.evaluation import how_it_goes_on
from rlctl.gym.observing import make_training_env
from rlctl.gym.wrappers import unwrapped_statistics
from rlctl.torch.random_state import random_states, seed_everything, set_random_states
from rlctl_sb3.algorithms import MASKED
from rlctl_sb3.masks import ActionMasks

Make = Callable[[], gymnasium.Env[Any, Any]]
_FAILURE = "rlctl.failure"
"""Key of the info by which an environment's process says what was raised in it."""


def make_environments(run: Run) -> VecEnv:
    """Return the training environments of a run, as `vectorization`, `normalize` and `frame_stack` say.

    Raises RlctlError where frames cannot be stacked.
    """
    masked, num_envs, settings = run.info.algo in MASKED, run.env.get("num_envs") or 1, run.hyperparameters
    envs: VecEnv
    seen = [functools.partial(make_training_env, run.env, run.env_observers, index) for index in range(num_envs)]
    if settings["vectorization"] == "async":
        envs = EnvProcesses(
            [
                functools.partial(_in_process, make, masked=masked, seed=run.seed + index)
                for index, make in enumerate(seen)
            ]
        )
    else:
        envs = DummyVecEnv([functools.partial(_here, make, masked=masked) for make in seen])
    if num_envs > 1:
        print(f"rlctl: vectorization: {settings['vectorization']}", file=sys.stderr, flush=True)
    for reason in envs.env_method("rlctl_inexact", indices=0)[0]:
        run.limit_resume(reason)
    normalize = settings["normalize"]
    if normalize:
        arguments = dict(normalize) if isinstance(normalize, Mapping) else {}
        envs = VecNormalize(envs, **{"gamma": settings["gamma"], **arguments})
    if settings["frame_stack"] > 1:
        envs = _stacked(envs, settings["frame_stack"], run.info.env_id)
    return envs


def _stacked(envs: VecEnv, frames: int, env_id: str) -> VecFrameStack:
    space = envs.observation_space
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    if not all(isinstance(part, spaces.Box) and part.shape for part in parts):
        envs.close()
        raise RlctlError(f"hyperparameters.frame_stack: only arrays can be stacked, and {env_id} observes {space}.")
    return VecFrameStack(envs, frames)


# ---- one of them ---------------------------------------------------------------------------------------------------


class TrainingEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Outermost of all: gives and takes the state of an environment, which may be in another process.

    Inside the wrappers of a configuration SB3's Monitor would miss episodes that these end, and around them it would count
    their rewards. So there an episode is what is counted below them, until they say that it is over; a lost life is no end.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._is_wrapped = unwrapped_statistics(env) is not None

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        if self._is_wrapped and (result[2] or result[3]):
            self._note_episode(result[4], truncated=result[3])
        return result

    def _note_episode(self, info: dict[str, Any], *, truncated: bool) -> None:
        info.pop("episode", None)  # of a wrapper that counts what other wrappers have made of it
        if truncated or how_it_goes_on(self.env) != "reset":
            counted: Any = unwrapped_statistics(self.env)
            info["episode"] = {"r": round(float(counted.episode_returns), 6), "l": counted.episode_lengths}

    def rlctl_inexact(self) -> list[str]:
        """Return why the state of this environment may not be all of it."""
        return list(inexact([self.env]))

    def rlctl_enter_stage(self, stage: int) -> None:
        """Be told of the stage of a curriculum."""
        self.env.get_wrapper_attr("enter_stage")(stage)

    def rlctl_state(self) -> dict[str, Any]:
        """Return the state as data."""
        return {"env": env_state(self.env)}

    def rlctl_set_state(self, state: dict[str, Any]) -> None:
        """Become what `rlctl_state` returned."""
        set_env_state(self.env, state["env"])


def _here(make: Make, *, masked: bool) -> TrainingEnv:
    return TrainingEnv(_monitored(make, masked=masked))


def _monitored(make: Make, *, masked: bool) -> gymnasium.Env[Any, Any]:
    made = make()
    if masked:
        made = ActionMasks(made)
    return made if unwrapped_statistics(made) is not None else Monitor(made)


# ---- each in a process ---------------------------------------------------------------------------------------------


class _RemoteEnv(TrainingEnv):
    """One in a process of its own, with that process's generators; what is raised there is told, not lost."""

    def step(self, action: Any) -> Any:
        try:
            return super().step(action)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's environment raises
            return None, 0.0, False, False, _failure(error)

    def reset(self, **kwargs: Any) -> Any:
        try:
            return self.env.reset(**kwargs)
        except Exception as error:  # noqa: BLE001
            return None, _failure(error)

    def rlctl_state(self) -> dict[str, Any]:
        return {**super().rlctl_state(), "random": random_states()}

    def rlctl_set_state(self, state: dict[str, Any]) -> None:
        super().rlctl_set_state(state)
        set_random_states(state["random"])


def _failure(error: Exception) -> dict[str, Any]:
    traceback.print_exc()
    if isinstance(error, RlctlError):
        return {_FAILURE: (error.message, error.hint)}
    return {_FAILURE: (f"an environment failed in its process: {type(error).__name__}: {error}", None)}


def _in_process(make: Make, *, masked: bool, seed: int) -> TrainingEnv:
    seed_everything(seed)
    return _RemoteEnv(_monitored(make, masked=masked))


class EnvProcesses(SubprocVecEnv):
    """SB3's processes, with what DummyVecEnv does besides: rewards in float32, observations in the dtype of their space.

    So a training is the same in both. Raises RlctlError for what an environment raises, and for one whose process is gone.
    """

    def __init__(self, factories: list[Any]) -> None:
        try:
            # Forking a process in which PyTorch has threads can lock it up.
            super().__init__(factories, start_method="forkserver")
        except EOFError as error:
            raise RlctlError(
                "an environment could not be made in its process; logs/worker.log has its words."
            ) from error
        self.remotes = tuple(
            _Pipe(remote, process) for remote, process in zip(self.remotes, self.processes, strict=True)
        )

    def step_wait(self) -> Any:
        observations, rewards, dones, infos = super().step_wait()
        return self._of_its_dtype(observations), rewards.astype(np.float32), dones, infos

    def reset(self) -> Any:
        return self._of_its_dtype(super().reset())

    def _of_its_dtype(self, observations: Any) -> Any:
        space = self.observation_space
        if isinstance(space, spaces.Dict):
            return {key: values.astype(space[key].dtype, copy=False) for key, values in observations.items()}
        return observations.astype(space.dtype, copy=False)


class _Pipe:
    """A pipe to an environment's process; receiving raises what went wrong at its other end."""

    def __init__(self, connection: Any, process: Any) -> None:
        self._connection = connection
        self._process = process
        self.close = connection.close

    def send(self, message: Any) -> None:
        try:
            self._connection.send(message)
        except BrokenPipeError as error:
            raise self._gone() from error

    def recv(self) -> Any:
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._gone() from error
        for part in answer if isinstance(answer, tuple) else ():
            if isinstance(part, dict) and _FAILURE in part:
                message, hint = part[_FAILURE]
                raise RlctlError(message, hint=hint)
        return answer

    def _gone(self) -> RlctlError:
        self._process.join(1)
        return RlctlError(
            f"the process of an environment has ended with code {self._process.exitcode}.",
            hint="If that is -9, the machine may have had too little memory; logs/worker.log has its last words.",
        )
