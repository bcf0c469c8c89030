"""Atari games as DQN has played them since Mnih et al. 2015: registers `rlctl/Atari-v0`, whose argument `game` says which.

Up to 30 steps of nothing after a reset, every action for four frames, the maximum of the last two of them, in grey, 84 by 84,
four in a stack; the loss of a life ends the episode, and rewards are their signs. Light: nothing is imported before a game
is made.
"""

from __future__ import annotations

from typing import Any

import gymnasium


def make(game: str = "Breakout", *, frames: int = 4, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """Return a game with the wrappers above; `kwargs` go to ale-py's environment.

    Raises DependencyNotInstalled without ale-py or OpenCV.
    """
    import numpy as np
    from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, TransformReward

    try:
        import ale_py  # noqa: F401 - registers the games
        import cv2  # noqa: F401 - AtariPreprocessing would say less clearly that it needs it
    except ImportError as error:
        raise gymnasium.error.DependencyNotInstalled(f"{error}; pip install 'rlctl-dqn[atari]'") from error
    env = gymnasium.make(f"ALE/{game}-v5", frameskip=1, repeat_action_probability=0.0, **kwargs)
    seen = AtariPreprocessing(env, noop_max=30, frame_skip=4, screen_size=84, terminal_on_life_loss=True)
    return FrameStackObservation(TransformReward(seen, lambda reward: float(np.sign(reward))), frames)


gymnasium.register("rlctl/Atari-v0", entry_point="rlctl_dqn.atari:make")
