"""Replay buffers as scripts fill them, which numpy 2.4 and the stable-baselines3 of today refuse.

Restores, for rainbow_atari.py and its own class, assigning an array of one element to an element of an array; for
c51_atari.py of 1.2.0, a buffer of stable-baselines3 that keeps each frame once and heeds time limits. The latter is
refused today because the last observation before a time limit is then that of the next episode; so it was in 1.2.0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

CLASS = "PrioritizedReplayBuffer"
"""The name of the class in rainbow_atari.py."""


def take_numbers(buffer: type) -> None:
    """Let the method `add` of the class see actions, rewards and ends of a single environment as numbers."""
    add = buffer.add  # type: ignore[attr-defined]

    def add_numbers(self: Any, *values: Any) -> Any:
        return add(self, *(value.item() if np.shape(value) == (1,) else value for value in values))

    buffer.add = add_numbers  # type: ignore[attr-defined]


def install() -> None:
    """Let stable-baselines3's ReplayBuffer have both options at once; it is imported for it."""
    from stable_baselines3.common.buffers import ReplayBuffer

    begin = ReplayBuffer.__init__

    def begin_with_both(self: Any, *values: Any, **options: Any) -> None:
        both = options.get("optimize_memory_usage", False) and options.get("handle_timeout_termination", True)
        begin(self, *values, **(options | {"handle_timeout_termination": False} if both else options))
        if both:
            self.handle_timeout_termination = True

    ReplayBuffer.__init__ = begin_with_both  # type: ignore[method-assign]
