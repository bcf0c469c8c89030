"""Atari games as DQN plays them: `rlctl/Atari-v0` and the algorithm that is made for it."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from tests.plugins.dqn.making import train_to, training_of

import rlctl_dqn.atari  # noqa: F401 - registers the environment
from rlctl_dqn.config import hyperparameters

PONG = {"id": "rlctl/Atari-v0", "kwargs": {"game": "Pong"}}


def pong():
    """A game; skips the test where one cannot be made."""
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    return gymnasium.make(PONG["id"], **PONG["kwargs"])


def test_observations_are_four_grey_frames():
    """Bytes, 84 by 84, the latest one last."""
    env = pong()
    first, _ = env.reset(seed=1)
    second, *_ = env.step(0)
    assert env.observation_space.shape == (4, 84, 84)
    assert second.dtype == np.uint8
    assert np.array_equal(first[1:], second[:-1])


def test_rewards_are_signs():
    """Breakout's upper bricks are worth 4 and 7."""
    env = pong()
    env = gymnasium.make(PONG["id"], game="Breakout")
    env.reset(seed=1)
    env.action_space.seed(1)
    rewards = set()
    for _ in range(600):
        _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        rewards.add(float(reward))
        if terminated or truncated:
            env.reset()
    assert rewards == {0.0, 1.0}


def test_the_algorithm_has_cleanrls_settings_for_images():
    """Those of its dqn_atari.py."""
    defaults = {item.name: item.default for item in hyperparameters("dqn_atari")}
    assert defaults["learning_rate"] == 1e-4
    assert (defaults["buffer_size"], defaults["batch_size"], defaults["train_frequency"]) == (1_000_000, 32, 4)
    assert (defaults["learning_starts"], defaults["target_update_frequency"]) == (80_000, 1000)
    assert (defaults["exploration_fraction"], defaults["exploration_final"]) == (0.1, 0.01)
    assert defaults["loss"] == "mse"


def test_it_trains_on_a_game(tmp_path):
    """With the network for images, on bytes."""
    pong().close()
    changes = {"buffer_size": 200, "batch_size": 4, "learning_starts": 20, "train_frequency": 10, "features": 8}
    training, _ = training_of(tmp_path, "dqn_atari", env=PONG, steps=60, **changes)
    train_to(training, 40)
    assert training.updates == 2
    assert training.envs.layout.dtype == "uint8"
