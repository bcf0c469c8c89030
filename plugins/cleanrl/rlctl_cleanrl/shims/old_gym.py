"""A module `gym` that behaves as gym 0.23.1 at the surface a script sees, over today's gymnasium.

Restores `env.seed`, reset() without an info, the four-tuple with one `done`, infos as a list of dicts with
`terminal_observation` and `TimeLimit.truncated`. The old API holds at the vector environment only, which is all that
the scripts of CleanRL 1.2.0 step; below it everything is gymnasium, so stable-baselines3's wrappers fit in between.
"""

from __future__ import annotations

import importlib.machinery
import sys
import time
import types
from typing import Any

import gymnasium
import numpy as np

from rlctl_cleanrl.shims import episodes, images, vector, video, wrappers

_SEED = "_rlctl_pending_seed"


def seed_env(env: Any, seed: int | None = None) -> list[int | None]:
    """`env.seed(n)`: keep the seed at the innermost environment; its next reset by the vector environment uses it."""
    setattr(env.unwrapped, _SEED, seed)
    return [seed]


def _take_seed(env: Any) -> int | None:
    seed: int | None = getattr(env.unwrapped, _SEED, None)
    if seed is not None:
        delattr(env.unwrapped, _SEED)
    return seed


class SyncVectorEnv(vector.BatchedEnv):
    """Steps its environments one after the other, with the four-tuple and the list of infos of gym 0.23."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dones = np.zeros(self.num_envs, dtype=np.bool_)

    def seed(self, seed: Any = None) -> None:
        """Seed every sub-environment; a single number counts up."""
        for env, env_seed in zip(self.envs, self._seeds(seed), strict=True):
            seed_env(env, env_seed)

    def reset(self, *, seed: Any = None, return_info: bool = False, options: dict[str, Any] | None = None) -> Any:
        """Reset every sub-environment and return the observations alone, unless infos are asked for."""
        self._dones[:] = False
        observations: list[Any] = []
        infos: list[dict[str, Any]] = []
        for env, env_seed in zip(self.envs, self._seeds(seed), strict=True):
            pending = _take_seed(env)
            kwargs: dict[str, Any] = {}
            if env_seed is not None or pending is not None:
                kwargs["seed"] = pending if env_seed is None else env_seed
            if options is not None:
                kwargs["options"] = options
            observation, info = env.reset(**kwargs)
            observations.append(observation)
            infos.append(info)
        batch = self._batch(observations)
        return (batch, infos) if return_info else batch

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step every sub-environment; a finished one is reset at once, its info keeps the last observation."""
        observations: list[Any] = []
        infos: list[dict[str, Any]] = []
        for index, (env, action) in enumerate(zip(self.envs, self._actions, strict=False)):
            observation, self._rewards[index], terminated, truncated, info = env.step(action)
            done = terminated or truncated
            self._dones[index] = done
            if done:
                episodes.announce(info, index)
                if truncated:
                    # gym's TimeLimit says here whether the time limit alone ended the episode.
                    info["TimeLimit.truncated"] = not terminated
                info["terminal_observation"] = observation
                observation, _ = env.reset()
            observations.append(observation)
            infos.append(info)
        return self._batch(observations), self._rewards.copy(), self._dones.copy(), infos


class RecordEpisodeStatistics(wrappers.RecordEpisodeStatistics):
    """Adds `info["episode"]` with numpy scalars; `t` counts from the start of the environment, not of the episode."""

    def __init__(self, env: Any, deque_size: int = 100) -> None:
        super().__init__(env, deque_size)
        self.t0 = time.perf_counter()

    def _statistics(self) -> dict[str, Any]:
        seconds = round(time.perf_counter() - self.t0, 6)
        return {"r": self.episode_returns[0], "l": self.episode_lengths[0], "t": seconds}


class Wrapper:
    """Forwards everything to what it wraps, of whatever kind: scripts wrap vector environments of envpool in it."""

    def __init__(self, env: Any) -> None:
        self.env = env

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "env":
            raise AttributeError(f"attempted to get missing private attribute {name!r}")
        return getattr(self.env, name)

    def reset(self, **kwargs: Any) -> Any:
        """Reset what is wrapped."""
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        """Step what is wrapped."""
        return self.env.step(action)


def _module(name: str, *bases: types.ModuleType, **content: Any) -> types.ModuleType:
    """Register a module with the public names of `bases`, overridden by `content`."""
    module = types.ModuleType(name, "gym 0.23 over gymnasium, by rlctl")
    for base in bases:
        vars(module).update({key: value for key, value in vars(base).items() if not key.startswith("_")})
    vars(module).update(content)
    # Without a spec, importlib.util.find_spec("gym") would raise.
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    module.__path__ = []
    sys.modules[name] = module
    return module


def _wrappers_module() -> types.ModuleType:
    normalize = _module("gym.wrappers.normalize", RunningMeanStd=wrappers.RunningMeanStd)
    return _module(
        "gym.wrappers",
        gymnasium.wrappers,
        normalize=normalize,
        RecordEpisodeStatistics=RecordEpisodeStatistics,
        RecordVideo=video.record_video,
        ClipAction=wrappers.ClipAction,
        NormalizeObservation=wrappers.NormalizeObservation,
        NormalizeReward=wrappers.NormalizeReward,
        TransformObservation=wrappers.TransformObservation,
        TransformReward=wrappers.TransformReward,
        GrayScaleObservation=images.GrayScaleObservation,
        ResizeObservation=images.ResizeObservation,
        FrameStack=images.FrameStack,
    )


def install() -> None:
    """Put the module in place of any installed gym."""
    gymnasium.Env.seed = seed_env  # type: ignore[attr-defined]
    # The spaces are gymnasium's own: stable-baselines3's buffers test for them.
    sys.modules["gym.spaces"] = gymnasium.spaces
    wrapped = _wrappers_module()
    vectorized = _module("gym.vector", SyncVectorEnv=SyncVectorEnv, VectorEnv=vector.BatchedEnv)
    _module(
        "gym",
        __version__="0.23.1",
        make=gymnasium.make,
        register=gymnasium.register,
        spec=gymnasium.spec,
        Env=gymnasium.Env,
        Space=gymnasium.Space,
        Wrapper=Wrapper,
        ObservationWrapper=gymnasium.ObservationWrapper,
        RewardWrapper=gymnasium.RewardWrapper,
        ActionWrapper=gymnasium.ActionWrapper,
        spaces=gymnasium.spaces,
        wrappers=wrapped,
        vector=vectorized,
        error=gymnasium.error,
        logger=gymnasium.logger,
    )
