"""The environment wrappers of gymnasium 0.29 that CleanRL's scripts use and that gymnasium 1.x changed.

Restores the names and signatures of 0.29 and, to the last bit, its arithmetic: 1.x keeps the normalisation statistics
in float32 and sums episode returns in another type, so returns drift away from the first episode on.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils import RecordConstructorArgs

StepResult = tuple[Any, Any, bool, bool, dict[str, Any]]


class Wrapper(gymnasium.Wrapper, RecordConstructorArgs):
    """A wrapper whose reset takes any arguments, as in 0.29, and which remembers its own for `spec`."""

    def __init__(self, env: Any, **saved: Any) -> None:
        # No deep copy: a saved function may hold an environment.
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, **saved)
        gymnasium.Wrapper.__init__(self, env)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment below."""
        return self.env.reset(**kwargs)


class RecordEpisodeStatistics(Wrapper):
    """Adds `info["episode"]` at the end of an episode: return, length and seconds, as arrays of one element."""

    def __init__(self, env: Any, deque_size: int = 100) -> None:
        super().__init__(env, deque_size=deque_size)
        self.num_envs = 1
        self.is_vector_env = False
        self.episode_count = 0
        self.episode_start_times = np.zeros(1, dtype=np.float32)
        self.episode_returns = np.zeros(1, dtype=np.float32)
        self.episode_lengths = np.zeros(1, dtype=np.int32)
        self.return_queue: deque[Any] = deque(maxlen=deque_size)
        self.length_queue: deque[Any] = deque(maxlen=deque_size)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and start counting anew."""
        result = self.env.reset(**kwargs)
        self._start()
        return result

    def _start(self) -> None:
        self.episode_start_times = np.full(1, time.perf_counter(), dtype=np.float32)
        self.episode_returns = np.zeros(1, dtype=np.float32)
        self.episode_lengths = np.zeros(1, dtype=np.int32)

    def step(self, action: Any) -> StepResult:
        """Step the environment and add up."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        # Adding to an array of one float32, and not to a scalar, keeps numpy's rounding of 0.29 for every reward type.
        self.episode_returns += reward  # type: ignore[call-overload]
        self.episode_lengths += 1
        if terminated or truncated:
            if "episode" in info or "_episode" in info:
                raise ValueError("Attempted to add episode stats when they already exist")
            info["episode"] = self._statistics()
            self.return_queue.append(self.episode_returns[0])
            self.length_queue.append(self.episode_lengths[0])
            self.episode_count += 1
            self._start()
        return observation, reward, terminated, truncated, info

    def _statistics(self) -> dict[str, Any]:
        seconds = np.round(time.perf_counter() - self.episode_start_times, 6)
        return {"r": self.episode_returns.copy(), "l": self.episode_lengths.copy(), "t": seconds}


class RunningMeanStd:
    """Mean and variance of a stream in float64, by the parallel update of Chan et al., as gym 0.23 and 0.29 do."""

    def __init__(self, epsilon: float = 1e-4, shape: tuple[int, ...] = ()) -> None:
        self.mean: Any = np.zeros(shape, "float64")
        self.var: Any = np.ones(shape, "float64")
        self.count: Any = epsilon

    def update(self, x: Any) -> None:
        """Take in a batch; the first axis counts."""
        self.update_from_moments(np.mean(x, axis=0), np.var(x, axis=0), x.shape[0])

    def update_one(self, x: Any) -> None:
        """Take in a single value: the same bits as `update` with a batch of one, several times faster."""
        # The variance of one value is zero, or not a number where the value is not finite.
        self.update_from_moments(x, x - x, 1)

    def update_from_moments(self, batch_mean: Any, batch_var: Any, batch_count: int) -> None:
        """Take in a batch of which mean, variance and size are known."""
        # The order of the operations decides the last bit: leave it.
        delta = batch_mean - self.mean
        total = self.count + batch_count
        own, theirs = self.var * self.count, batch_var * batch_count
        between = delta * delta * self.count * batch_count / total
        self.mean = self.mean + delta * batch_count / total
        self.var = (own + theirs + between) / total
        self.count = total


class NormalizeObservation(Wrapper):
    """Centres and scales each coordinate by running statistics in float64; the observation space stays as it was."""

    def __init__(self, env: Any, epsilon: float = 1e-8) -> None:
        super().__init__(env, epsilon=epsilon)
        self.num_envs = 1
        self.is_vector_env = False
        self.obs_rms = RunningMeanStd(shape=self.observation_space.shape or ())
        self.epsilon = epsilon

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and normalise."""
        observation, info = self.env.reset(**kwargs)
        return self.normalize(observation), info

    def step(self, action: Any) -> StepResult:
        """Step the environment and normalise."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self.normalize(observation), reward, terminated, truncated, info

    def normalize(self, observation: Any) -> Any:
        """Take the observation into the statistics, then scale it by them."""
        if isinstance(observation, np.ndarray) and observation.dtype.kind == "f":
            self.obs_rms.update_one(observation)
        else:
            self.obs_rms.update(np.array([observation]))
        return (observation - self.obs_rms.mean) / np.sqrt(self.obs_rms.var + self.epsilon)


class NormalizeReward(Wrapper):
    """Scales rewards by the running deviation of their discounted sum; the sum is zeroed by termination only."""

    def __init__(self, env: Any, gamma: float = 0.99, epsilon: float = 1e-8) -> None:
        super().__init__(env, gamma=gamma, epsilon=epsilon)
        self.num_envs = 1
        self.is_vector_env = False
        self.return_rms = RunningMeanStd(shape=())
        # Python floats are the float64 of 0.29's arrays of one element, at a fraction of the time.
        self.return_rms.mean, self.return_rms.var = 0.0, 1.0
        self.returns = 0.0
        self.gamma = gamma
        self.epsilon = epsilon

    def step(self, action: Any) -> StepResult:
        """Step the environment and scale the reward."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, self.normalize(float(reward), terminated), terminated, truncated, info

    def normalize(self, reward: float, terminated: bool) -> np.float64:
        """Take the reward into the discounted sum, the sum into the statistics, then scale the reward by them."""
        self.returns = self.returns * self.gamma * (1 - bool(terminated)) + reward
        self.return_rms.update_one(self.returns)
        return np.float64(reward / math.sqrt(self.return_rms.var + self.epsilon))


class ClipAction(Wrapper):
    """Clips actions to the bounds of the action space, and leaves that space as it is."""

    def __init__(self, env: Any) -> None:
        assert isinstance(env.action_space, Box)
        super().__init__(env)

    def step(self, action: Any) -> Any:
        """Step the environment with the clipped action."""
        space: Any = self.env.action_space
        return self.env.step(np.clip(action, space.low, space.high))


class TransformObservation(Wrapper):
    """Passes observations through a function; the observation space stays as it was."""

    def __init__(self, env: Any, f: Callable[[Any], Any]) -> None:
        assert callable(f)
        super().__init__(env, f=f)
        self.f = f

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and transform."""
        observation, info = self.env.reset(**kwargs)
        return self.f(observation), info

    def step(self, action: Any) -> StepResult:
        """Step the environment and transform."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self.f(observation), reward, terminated, truncated, info


class TransformReward(Wrapper):
    """Passes rewards through a function."""

    def __init__(self, env: Any, f: Callable[[Any], Any]) -> None:
        assert callable(f)
        super().__init__(env, f=f)
        self.f = f

    def step(self, action: Any) -> StepResult:
        """Step the environment and transform."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, self.f(reward), terminated, truncated, info
