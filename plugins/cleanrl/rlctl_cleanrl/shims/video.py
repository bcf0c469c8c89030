"""RecordVideo as gym 0.23 took it, and without moviepy a run that goes on.

Restores filming an environment that was made without a render mode: gym 0.23 chose the mode at each call of render().
gymnasium 1.x refuses to start without moviepy; as the scripts film their evaluation whether asked or not, a long
training would fail at its very end. It is warned of instead.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import gymnasium

_Original = gymnasium.wrappers.RecordVideo


def record_video(env: Any, *args: Any, **kwargs: Any) -> Any:
    """Wrap the environment in gymnasium's own RecordVideo, or not at all where moviepy is missing."""
    if importlib.util.find_spec("moviepy") is None:
        warnings.warn("No video is recorded: moviepy is not installed.", stacklevel=2)
        return env
    if env.render_mode is None:
        env.unwrapped.render_mode = "rgb_array"
    return _Original(env, *args, **kwargs)
