"""Where the vector environments of this package announce finished episodes.

Upstream has nothing like it: a CleanRL script logs at most one finished episode a step, however many sub-environments
finish. The launcher listens here, and so learns of every one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

EpisodeListener = Callable[[float, int, int], None]

_listener: EpisodeListener | None = None


def listen(listener: EpisodeListener | None) -> EpisodeListener | None:
    """Make `listener(episode_return, episode_length, env_index)` the only listener; return the one before it."""
    global _listener
    previous, _listener = _listener, listener
    return previous


def announce(info: dict[str, Any], env_index: int) -> None:
    """Tell the listener of the episode that `info` closes, if it carries statistics of RecordEpisodeStatistics."""
    if _listener is None:
        return
    episode = info.get("episode")
    if episode is not None:
        # `.item()`: gymnasium 0.29 puts arrays of one element there, gym 0.23 scalars.
        _listener(float(episode["r"].item()), int(episode["l"].item()), env_index)
