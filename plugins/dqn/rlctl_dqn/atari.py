"""Atari games as DQN has played them since Mnih et al. 2015: registers `rlctl/Atari-v0`, whose argument `game` says which.

Up to 30 steps of nothing after a reset, every action for four frames, the maximum of the last two of them, in grey, 84 by 84,
four in a stack; a life is an episode, and rewards are their signs. Light: nothing is imported before a game is made.
"""

from __future__ import annotations

from typing import Any

import gymnasium


def make(game: str = "Breakout", **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """Return a game with Stable-Baselines3's wrappers, as CleanRL has it; `kwargs` go to ale-py's environment.

    The statistics stand below what changes the rewards, so that evaluations count whole games and true scores. Raises
    DependencyNotInstalled without what it needs.
    """
    from gymnasium.wrappers import FrameStackObservation, RecordEpisodeStatistics

    try:
        import ale_py  # noqa: F401 - registers the games
        import cv2  # noqa: F401 - the wrappers would only say so at the first frame
        from stable_baselines3.common.atari_wrappers import AtariWrapper
    except ImportError as error:
        raise gymnasium.error.DependencyNotInstalled(f"{error}; pip install 'rlctl-dqn[atari]'") from error
    env = gymnasium.make(f"ALE/{game}-v5", frameskip=1, repeat_action_probability=0.0, **kwargs)
    return FrameStackObservation(AtariWrapper(RecordEpisodeStatistics(env)), 4)


gymnasium.register("rlctl/Atari-v0", entry_point="rlctl_dqn.atari:make")
