"""Our DQN is CleanRL's `dqn.py`: given its random numbers, in its order, the same episodes to the last step."""

import random

import gymnasium
import numpy as np
import pytest
import torch
from tests.end_to_end.lifecycle import episodes, train
from tests.plugins.dqn.making import train_to, training_of

SEED, BATCH = 26, 128


class Exploring:
    """Who takes a random action, and which, from the generators that the script asks."""

    def __init__(self, horizon):
        self._horizon, self._step = horizon, 0
        self._actions = gymnasium.spaces.Discrete(2)
        self._actions.seed(SEED)

    def row(self):
        """Below every probability or above it, and where the action lies in [0, 1)."""
        probability = max((0.05 - 1.0) / (0.5 * self._horizon) * self._step + 1.0, 0.05)
        self._step += 1
        if random.random() < probability:
            return np.array([-1.0, (self._actions.sample() + 0.5) / 2])
        return np.array([2.0, 0.0])


class Replaying:
    """The rows that SB3's replay buffer draws; it also draws the environment of each, of which there is one."""

    def __init__(self, buffer):
        self._buffer, self._generator = buffer, np.random.RandomState(SEED)

    def row(self):
        """In [0, 1), as the buffer's share."""
        rows = self._generator.randint(0, self._buffer.size, size=BATCH)
        self._generator.randint(0, high=1, size=(BATCH,))
        return (rows + 0.5) / self._buffer.size


def trained_with_its_numbers(root, steps, **changes):
    """Train ours with the numbers of the script; returns (step, return) of each episode, the steps counted as it does."""
    network = {"hidden_sizes": [120, 84], "batch_size": BATCH, "train_frequency": 10}
    training, run = training_of(root, seed=SEED, steps=steps, path="reference", **network, **changes)
    agent = training.agent
    agent.optimizer = torch.optim.Adam(agent.online.parameters(), lr=2.5e-4)  # the fused one rounds differently
    random.seed(SEED)
    training._exploring, training._replaying = Exploring(steps), Replaying(training.buffer)
    training.step = -1  # the script counts its steps from 0
    train_to(training, steps - 1)
    return [(episode.step + 1, episode.episode_return) for episode in run.recorded_episodes]


@pytest.mark.network
@pytest.mark.parametrize(
    ("steps", "changes"),
    [
        (15_000, {"learning_starts": 1000, "buffer_size": 5000}),
        pytest.param(250_000, {"learning_starts": 10_000, "buffer_size": 10_000}, marks=pytest.mark.slow),
    ],
)
def test_a_training_has_the_episodes_of_the_script(steps, changes, cli, cleanrl_cache, tmp_path):
    """CartPole with one environment; 1,400 updates, or so many steps that a time limit ends episodes."""
    sets = [word for name, value in changes.items() for word in ("--set", f"hyperparameters.{name}={value}")]
    script = train(cli, tmp_path, "script", ["cleanrl/dqn", "CartPole-v1"], *sets, "-n", steps, "--seed", SEED)

    ours = trained_with_its_numbers(tmp_path / "ours", steps, **changes)

    assert ours == [(episode["step"], episode["return"]) for episode in episodes(script)]
    assert len(ours) > 100
