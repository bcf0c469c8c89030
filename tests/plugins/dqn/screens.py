"""A small environment of frames, stacked by gymnasium's wrapper; registered here, so that other processes can import it."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import FrameStackObservation

ID = "RlctlScreens-v0"


class Screens(gymnasium.Env):
    """Random frames of `shape`; episodes of about `length` steps end in termination. Action 1 is worth a point."""

    def __init__(self, shape=(6, 5), length=12):
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.action_space = spaces.Discrete(2)
        self._length = length
        self._elapsed = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._elapsed = 0
        return self._frame(), {}

    def step(self, action):
        self._elapsed += 1
        ended = self._elapsed >= 3 and bool(self.np_random.random() < 1 / self._length)
        return self._frame(), float(action), ended, False, {}

    def _frame(self):
        return self.np_random.integers(0, 256, self.observation_space.shape, np.uint8)


def stacked_screens(frames=3, padding="reset", **kwargs):
    """Return the environment in a stack of frames."""
    return FrameStackObservation(Screens(**kwargs), frames, padding_type=padding)


gymnasium.register(ID, stacked_screens, disable_env_checker=True)


def screens(num_envs=1, *, max_episode_steps=None, **kwargs):
    """Return the configuration of such environments."""
    return {
        "id": ID, "imports": [__name__], "num_envs": num_envs, "max_episode_steps": max_episode_steps,
        "kwargs": kwargs,
    }  # fmt: skip
