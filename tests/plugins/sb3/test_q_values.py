"""The Q-value that is reported beside what SB3 logs: of the last transitions, and nothing of the training changes."""

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, PPO, SAC

from rlctl_sb3.q_values import mean_q_value

SMALL = {"learning_starts": 20, "batch_size": 16, "buffer_size": 40, "seed": 1, "device": "cpu"}


@pytest.mark.parametrize(("algorithm", "env"), [(DQN, "CartPole-v1"), (SAC, "Pendulum-v1")])
def test_looking_changes_no_generator(algorithm, env):
    """Neither numpy's nor torch's generator has moved, and the same look gives the same value."""
    model = algorithm("MlpPolicy", env, **SMALL).learn(60)
    model.policy.set_training_mode(False)
    before = (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002 - SB3 draws from it
    values = {mean_q_value(model), mean_q_value(model)}
    assert (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before  # noqa: NPY002
    assert len(values) == 1
    assert np.isfinite(values.pop())


def test_it_is_of_the_actions_taken_last():
    """It is the mean of the network's values of the last batch, also where the buffer has begun anew."""
    model = DQN("MlpPolicy", "CartPole-v1", **SMALL).learn(48)
    model.policy.set_training_mode(False)
    buffer = model.replay_buffer
    places = [*range(32, 40), *range(8)]
    with torch.no_grad():
        values = model.q_net(torch.as_tensor(buffer.observations[places, 0]))
    taken = values.numpy()[np.arange(16), buffer.actions[places, 0, 0]]
    assert mean_q_value(model) == pytest.approx(float(taken.mean()), rel=1e-6)


def test_an_algorithm_without_one_has_none():
    """PPO has no Q-value."""
    assert mean_q_value(PPO("MlpPolicy", "CartPole-v1", n_steps=16, batch_size=16, device="cpu")) is None
