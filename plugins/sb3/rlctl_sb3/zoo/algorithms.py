"""What the zoo calls the algorithms of the worker sb3, and what is said of those that cannot be had."""

from __future__ import annotations

from importlib.machinery import PathFinder

from rlctl.errors import Problem, did_you_mean
from rlctl_sb3.algorithms import ALGORITHMS, CONTRIB

_OTHERWISE = {"ppo_lstm": "recurrent_ppo", "ppo_mask": "maskable_ppo"}
"""The zoo's names → the worker's, where they differ."""
IN_THE_ZOO = (*(name for name in ALGORITHMS if name not in _OTHERWISE.values()), *_OTHERWISE)


def name_here(name: str) -> str:
    """Return what the worker calls an algorithm of the zoo."""
    return _OTHERWISE.get(name, name)


def problem_with_algorithm(name: str, path: str) -> Problem | None:
    """Return why the algorithm `name`, the zoo's or the worker's, cannot be had here, None when it can."""
    algorithm = ALGORITHMS.get(name_here(name))
    if algorithm is None:
        return Problem(path, f'there is no algorithm "{name}".', did_you_mean(name, IN_THE_ZOO))
    if algorithm.package == CONTRIB and PathFinder.find_spec(CONTRIB) is None:
        message = f'"{name}" is an algorithm of sb3-contrib, which is not installed.'
        return Problem(path, message, "pip install 'rlctl-sb3[contrib]'")
    return None
