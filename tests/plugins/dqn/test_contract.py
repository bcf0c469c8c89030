"""Our own DQN keeps what every worker promises."""

import pytest

from rlctl.testing import WorkerContract


class TestDqn(WorkerContract):
    """DQN on CartPole, learning after 500 steps."""

    worker = "dqn"
    algo = "dqn"
    env = "CartPole-v1"
    total_timesteps = 2000
    hyperparameters = {"learning_starts": 500}


@pytest.mark.slow
class TestRainbow(WorkerContract):
    """Everything at once: priorities, windows over three steps, noise and distributions are resumed too."""

    worker = "dqn"
    algo = "rainbow"
    env = "CartPole-v1"
    total_timesteps = 2000
    hyperparameters = {"learning_starts": 500}


@pytest.mark.slow
class TestDqnWithSeveralEnvironments(WorkerContract):
    """Four environments at once: a step of all of them is four."""

    worker = "dqn"
    env = {"id": "CartPole-v1", "num_envs": 4}
    total_timesteps = 1998
    hyperparameters = {"learning_starts": 500}
    max_overshoot = 3
