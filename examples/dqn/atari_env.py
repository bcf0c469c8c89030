"""Registers `AtariGame-v0`: a game of ale-py with the wrappers of Stable-Baselines3 and four frames stacked.

Needed are ale-py, stable-baselines3 and opencv-python-headless. A configuration names this module in `env.imports`.
"""

from __future__ import annotations

from typing import Any

import ale_py
import gymnasium
from gymnasium.wrappers import FrameStackObservation, RecordEpisodeStatistics
from stable_baselines3.common.atari_wrappers import AtariWrapper


def make(game: str = "ALE/Breakout-v5", **arguments: Any) -> gymnasium.Env[Any, Any]:
    """Return the game: four grey frames of 84 x 84, the signs of its rewards, and each life as an episode.

    The statistics stand below what changes the rewards, so that rlctl's evaluations count whole games and true scores.
    """
    env = gymnasium.make(game, frameskip=1, repeat_action_probability=0.0, **arguments)
    return FrameStackObservation(AtariWrapper(RecordEpisodeStatistics(env)), 4)


gymnasium.register_envs(ale_py)
gymnasium.register("AtariGame-v0", entry_point=f"{__name__}:make")
