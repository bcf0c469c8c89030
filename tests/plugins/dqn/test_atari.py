"""Atari games as DQN plays them: `rlctl/Atari-v0` and the algorithm that is made for it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from tests.plugins.dqn.making import train_to, training_of

from rlctl import NotAvailableError
from rlctl.evaluations import EvaluationRequest
from rlctl.gym.environments import make_env
from rlctl.gym.evaluation import measure
from rlctl_dqn.config import hyperparameters

PONG = {"id": "rlctl/Atari-v0", "kwargs": {"game": "Pong"}}


@pytest.fixture
def games():
    """Skips where no game can be made."""
    for name in ("ale_py", "cv2", "stable_baselines3"):
        pytest.importorskip(name)


class Standing:
    """Does nothing."""

    def make_env(self, env, **kwargs):
        """One of the environments."""
        return make_env(env, **kwargs)

    def act(self, observations, **_):
        """No action."""
        return np.zeros(len(observations), np.int64)


@pytest.mark.usefixtures("games")
def test_a_life_is_an_episode_of_grey_frames_and_signs_of_rewards():
    """Four frames in bytes, the latest one last."""
    env = make_env({"id": "rlctl/Atari-v0", "kwargs": {"game": "MsPacman"}})
    before, _ = env.reset(seed=1)
    assert (before.shape, before.dtype) == ((4, 84, 84, 1), np.uint8)
    rewards, ended, lives = set(), False, env.unwrapped.ale.lives()
    while not ended:
        after, reward, ended, _, _ = env.step(0)
        rewards.add(float(reward))
        assert np.array_equal(before[1:], after[:-1])
        before = after
    assert rewards == {0.0, 1.0}
    assert env.unwrapped.ale.lives() == lives - 1
    env.close()


@pytest.mark.usefixtures("games")
def test_an_evaluation_counts_whole_games_and_true_scores():
    """Three lives, and a dot is ten points."""
    env = {"id": "rlctl/Atari-v0", "kwargs": {"game": "MsPacman"}}
    (whole,) = measure(Standing(), EvaluationRequest(env=env, seeds=(1,), num_envs=1, greedy=True, gamma=None))
    assert whole.episode_return >= 30


def test_without_its_packages_it_says_what_to_install(monkeypatch):
    """As an error about what is not installed, not about a module."""
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(NotAvailableError, match=r"pip install 'rlctl-dqn\[atari\]'"):
        make_env(PONG)


def test_the_algorithm_has_cleanrls_settings_for_images():
    """Those of its dqn_atari.py."""
    defaults = {item.name: item.default for item in hyperparameters("dqn_atari")}
    assert defaults["learning_rate"] == 1e-4
    assert (defaults["buffer_size"], defaults["batch_size"], defaults["train_frequency"]) == (1_000_000, 32, 4)
    assert (defaults["learning_starts"], defaults["target_update_frequency"]) == (80_000, 1000)
    assert (defaults["exploration_fraction"], defaults["exploration_final"]) == (0.1, 0.01)
    assert defaults["loss"] == "mse"


@pytest.mark.usefixtures("games")
def test_it_trains_on_a_game(tmp_path):
    """With the network for images, on bytes."""
    changes = {"buffer_size": 200, "batch_size": 4, "learning_starts": 20, "train_frequency": 10, "features": 8}
    training, _ = training_of(tmp_path, "dqn_atari", env=PONG, steps=60, **changes)
    train_to(training, 40)
    assert training.updates == 2
    assert training.envs.layout.dtype == "uint8"
