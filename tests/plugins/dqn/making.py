"""Small agents, batches and trainings for the tests of the DQN worker."""

from __future__ import annotations

import numpy as np
import torch

from rlctl.testing import fake_run
from rlctl_dqn.agent import DqnAgent
from rlctl_dqn.algorithms import ALGORITHMS
from rlctl_dqn.config import DqnHyperparameters, hyperparameters
from rlctl_dqn.storage import Batch
from rlctl_dqn.worker import Training

CPU = torch.device("cpu")
SMALL = {"hidden_sizes": [16], "batch_size": 16, "learning_starts": 60, "train_frequency": 5, "buffer_size": 400}


def settings_of(algo="dqn", **changes):
    """The settings of an algorithm with a small network."""
    return DqnHyperparameters(**{"hidden_sizes": [16], **ALGORITHMS[algo].defaults, **changes})


def agent_of(algo="dqn", *, seed=0, actions=3, shape=4, horizon=100, dtype="float32", **changes):
    """An agent, made from a seed."""
    torch.manual_seed(seed)
    return DqnAgent(shape, actions, settings_of(algo, **changes), CPU, horizon, dtype=dtype)


def batch_of(size=8, *, actions=3, seed=0, **changes):
    """Random transitions of vectors of four numbers; `changes` replace fields."""
    drawn = torch.Generator().manual_seed(seed)
    fields = {
        "observations": torch.randn(size, 4, generator=drawn),
        "actions": torch.randint(0, actions, (size, 1), generator=drawn),
        "rewards": torch.randn(size, generator=drawn),
        "next_observations": torch.randn(size, 4, generator=drawn),
        "bootstrap": torch.where(torch.rand(size, generator=drawn) < 0.3, 0.0, 0.99),
    }
    return Batch(**{**fields, **changes})


def training_of(root, algo="dqn", *, env="CartPole-v1", seed=1, steps=1000, **changes):
    """A training in this process, and its run."""
    given = {**SMALL, **changes}
    run = fake_run(
        root, parameters=hyperparameters(algo), hyperparameters=given, env=env, seed=seed, total_timesteps=steps
    )
    run.info.config["checkpoint"] = {"replay_buffer": True}
    return Training(run), run


def train_to(training, step):
    """Train until so many steps have been taken."""
    while training.step < step:
        training.iterate()


def parameters(network):
    """All parameters of a network as one array."""
    return np.concatenate([tensor.detach().numpy().ravel() for tensor in network.parameters()])


def differences(one, other, rows=None):
    """The fields in which batches of two buffers differ: of the rows that are given, or of all that are held."""
    rows = np.arange(one.size) if rows is None else rows
    first, second = (buffer.storage.batch(rows, CPU, None) for buffer in (one, other))
    return [
        name
        for name, mine, its in zip(first._fields, first, second, strict=True)
        if (mine is None) != (its is None)
        or (mine is not None and not (mine.dtype == its.dtype and torch.equal(mine, its)))
    ]
