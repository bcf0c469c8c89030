"""Stable-Baselines3's algorithms keep what every worker promises."""

from rlctl.testing import WorkerContract


class TestPpo(WorkerContract):
    """An on-policy algorithm with discrete actions: it advances by rollouts of 256 steps."""

    worker = "sb3"
    algo = "ppo"
    env = "CartPole-v1"
    total_timesteps = 2048
    hyperparameters = {"n_steps": 256}


class TestSac(WorkerContract):
    """An off-policy algorithm with continuous actions: it learns at each step and reports at every fourth episode."""

    worker = "sb3"
    algo = "sac"
    env = {"id": "Pendulum-v1", "max_episode_steps": 50}
    total_timesteps = 400
    hyperparameters = {"learning_starts": 100}
