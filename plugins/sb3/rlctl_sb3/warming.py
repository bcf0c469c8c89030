"""Imports and tries out what trainings need, in the warm process from which `rlctl` forks many of them."""

from __future__ import annotations

import io

import rlctl_sb3.worker  # noqa: F401 - first: it imports SB3 without what rlctl does not need of it

# isort: split
from stable_baselines3 import DQN, PPO

from rlctl.gym.environments import import_environments
from rlctl.torch.devices import limit_threads
from rlctl.torch.random_state import preserved_random_states


def warm_up() -> None:
    """Learn a few steps and save, as PyTorch imports a part of itself, and makes more ready, when that is first needed."""
    import_environments({})
    limit_threads(1)
    with preserved_random_states(0):
        PPO("MlpPolicy", "CartPole-v1", n_steps=16, batch_size=16, n_epochs=1, device="cpu").learn(16).save(
            io.BytesIO()
        )
        DQN("MlpPolicy", "CartPole-v1", learning_starts=8, batch_size=8, buffer_size=100, device="cpu").learn(16)
