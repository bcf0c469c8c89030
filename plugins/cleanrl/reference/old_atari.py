"""Gives gym 0.23.1 the Atari games of ale-py 0.8.1: `python -m old_atari record.py …`, with this folder on PYTHONPATH.

ale-py 0.7.4, which CleanRL 1.2.0 pins, makes other numbers of a seed than every ale-py since 0.8, and ends a game one
frame late. Both are the game's own affair and not gym's. So the class is that of 0.8.1, which is for gym 0.26, and
answers here in the form of gym 0.23.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

import gym
from ale_py.env.gym import AtariEnv
from gym.utils.seeding import RandomNumberGenerator

seed_of_08, reset_of_08, step_of_08 = AtariEnv.seed, AtariEnv.reset, AtariEnv.step


def seed(env: Any, seed: int | None = None) -> list[int]:
    """Seed as ever; the generator gets the old name `randint`, by which the wrappers draw their no-ops."""
    seeds = seed_of_08(env, seed)
    env.np_random = RandomNumberGenerator(env.np_random.bit_generator)
    return list(seeds)


def reset(env: Any, *, seed: int | None = None, return_info: bool = False, options: Any = None) -> Any:
    """Reset, and return the observation alone unless the info is asked for."""
    observation, info = reset_of_08(env, seed=seed, options=options)
    return (observation, info) if return_info else observation


def step(env: Any, action: int) -> tuple[Any, float, bool, dict[str, Any]]:
    """Step, and say with one word whether the game is over."""
    observation, reward, terminated, truncated, info = step_of_08(env, action)
    return observation, reward, terminated or truncated, info


def main() -> None:
    """Run the program that the command line names, with its arguments."""
    assert gym.__version__ == "0.23.1"
    AtariEnv.seed, AtariEnv.reset, AtariEnv.step = seed, reset, step
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
