"""SyncVectorEnv as gymnasium 0.29 had it: a finished sub-environment is reset in the same step.

Restores what CleanRL's scripts read: `infos["final_info"]` and `infos["final_observation"]` with their masks. gymnasium
1.x resets one step later and reports in another layout; the scripts then never see an episode end, and raise no error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from rlctl_cleanrl.shims import episodes

Infos = dict[str, Any]
_PYTHON_NUMBERS = (int, float, bool)


def _add_info(infos: Infos, info: Infos, index: int, count: int) -> None:
    """Write the info of one sub-environment into the batched one: a value array and a mask `_key` for each key."""
    for key, value in info.items():
        if key not in infos:
            infos[key] = _empty_values(type(value), count)
            infos[f"_{key}"] = np.zeros(count, dtype=bool)
        infos[key][index] = value
        infos[f"_{key}"][index] = True


def _empty_values(kind: type, count: int) -> np.ndarray:
    """Return zeros of a numeric type; for any other type an object array of None."""
    if kind in _PYTHON_NUMBERS or issubclass(kind, np.number):
        return np.zeros(count, dtype=kind)
    return np.full(count, None, dtype=object)


class BatchedEnv(VectorEnv):
    """What the gym 0.23 and the gymnasium 0.29 SyncVectorEnv have in common."""

    is_vector_env = True
    viewer = None

    def __init__(
        self,
        env_fns: Iterable[Callable[[], Any]],
        observation_space: Any = None,
        action_space: Any = None,
        copy: bool = True,
    ) -> None:
        self.env_fns = list(env_fns)
        self.envs = [env_fn() for env_fn in self.env_fns]
        self.num_envs = len(self.envs)
        self.copy = copy
        self.metadata = self.envs[0].metadata
        # The very space objects of the first sub-environment: scripts seed them there and sample them here.
        self.single_observation_space = observation_space or self.envs[0].observation_space
        self.single_action_space = action_space or self.envs[0].action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._check_spaces()
        self.observations: Any = create_empty_array(self.single_observation_space, n=self.num_envs, fn=np.zeros)
        self._rewards = np.zeros(self.num_envs, dtype=np.float64)
        self._actions: Iterable[Any] = ()

    def _check_spaces(self) -> None:
        for env in self.envs:
            if env.observation_space != self.single_observation_space:
                raise RuntimeError(
                    f"Some environment has an observation space other than {self.single_observation_space}"
                )
            if env.action_space != self.single_action_space:
                raise RuntimeError(f"Some environment has an action space other than {self.single_action_space}")

    def _seeds(self, seed: int | Sequence[int | None] | None) -> Sequence[int | None]:
        """Return one seed for each sub-environment; a single number counts up."""
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int):
            return [seed + index for index in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise AssertionError(f"{len(seed)} seeds for {self.num_envs} environments")
        return seed

    def _batch(self, observations: list[Any]) -> Any:
        """Stack the observations, cast to the dtype the space had at the start, and hand out a copy."""
        self.observations = concatenate(self.single_observation_space, observations, self.observations)
        if not self.copy:
            return self.observations
        if type(self.observations) is np.ndarray:
            return self.observations.copy()
        return deepcopy(self.observations)

    def step_async(self, actions: Any) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = iterate(self.action_space, actions)

    def step_wait(self) -> Any:
        """Step every sub-environment."""
        raise NotImplementedError

    def step(self, actions: Any) -> Any:
        """Step every sub-environment and return the batched results."""
        self.step_async(actions)
        return self.step_wait()

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of every sub-environment, or read an attribute of each."""
        found = (env.get_wrapper_attr(name) for env in self.envs)
        return tuple(value(*args, **kwargs) if callable(value) else value for value in found)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Read an attribute of every sub-environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of the sub-environments: a list has one value for each, anything else is for all."""
        if not isinstance(values, (list, tuple)):
            values = [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ValueError(f"{len(values)} values for {self.num_envs} environments")
        for env, value in zip(self.envs, values, strict=True):
            setattr(env, name, value)

    def close_extras(self, **_kwargs: Any) -> None:
        """Close the sub-environments."""
        for env in self.envs:
            env.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_envs})"


class SyncVectorEnv(BatchedEnv):
    """Steps its environments one after the other, with the five-tuple and the info layout of gymnasium 0.29."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._terminateds = np.zeros(self.num_envs, dtype=np.bool_)
        self._truncateds = np.zeros(self.num_envs, dtype=np.bool_)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, Infos]:
        """Reset every sub-environment; only arguments that were given reach them, as in 0.29."""
        self._terminateds[:] = False
        self._truncateds[:] = False
        observations: list[Any] = []
        infos: Infos = {}
        for index, (env, env_seed) in enumerate(zip(self.envs, self._seeds(seed), strict=True)):
            kwargs: dict[str, Any] = {}
            if env_seed is not None:
                kwargs["seed"] = env_seed
            if options is not None:
                kwargs["options"] = options
            observation, info = env.reset(**kwargs)
            observations.append(observation)
            _add_info(infos, info, index, self.num_envs)
        return self._batch(observations), infos

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, Infos]:
        """Step every sub-environment; one that finished is reset at once, and its end is kept under `final_*`."""
        observations: list[Any] = []
        infos: Infos = {}
        for index, (env, action) in enumerate(zip(self.envs, self._actions, strict=False)):
            observation, self._rewards[index], terminated, truncated, info = env.step(action)
            self._terminateds[index] = terminated
            self._truncateds[index] = truncated
            if terminated or truncated:
                episodes.announce(info, index)
                final_observation, final_info = observation, info
                observation, info = env.reset()
                info["final_observation"] = final_observation
                info["final_info"] = final_info
            observations.append(observation)
            if info:
                _add_info(infos, info, index, self.num_envs)
        batch = self._batch(observations)
        return batch, self._rewards.copy(), self._terminateds.copy(), self._truncateds.copy(), infos
