"""Which of the zoo's algorithms the worker sb3 has, and what is said of the others."""

from __future__ import annotations

from rlctl.errors import Problem, did_you_mean

HERE = ("ppo", "a2c", "dqn", "sac", "td3", "ddpg")
ELSEWHERE = ("ars", "crossq", "ppo_lstm", "ppo_mask", "qrdqn", "tqc", "trpo")
"""Of sb3-contrib, which the worker does not have; one that it has got moves to the line above."""


def problem_with_algorithm(name: str, path: str) -> Problem | None:
    """Return why the algorithm `name` cannot be had here, None when it can."""
    if name in HERE:
        return None
    if name in ELSEWHERE:
        message = f'"{name}" is an algorithm of sb3-contrib, which the worker sb3 does not have.'
        return Problem(path, message, f"It has: {', '.join(HERE)}.")
    return Problem(path, f'there is no algorithm "{name}".', did_you_mean(name, HERE))
