"""What wrappers of scripts do is folded into the network; what cannot be is refused."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from rlctl import NotAvailableError
from rlctl_cleanrl.export import network_of, steps_of
from rlctl_cleanrl.policy import _Frozen
from rlctl_cleanrl.shims.wrappers import ClipAction, NormalizeObservation, TransformObservation


def wrapped(env, function=lambda seen: np.clip(seen, -2, 2)):
    """Return an environment as ppo_continuous_action wraps it."""
    made = NormalizeObservation(ClipAction(gymnasium.make(env["id"])))
    made.obs_rms = _Frozen(np.array([0.5, -0.5, 1.0]), np.array([0.1, 0.2, 3.0]), 100.0)
    return TransformObservation(made, function)


def test_wrappers_are_folded_into_the_network():
    """Normalised and clipped observations go in, actions are clipped; the environment is without these wrappers."""
    network = nn.Linear(3, 1)

    def act(seen):
        return network(torch.as_tensor(seen, dtype=torch.float32)).detach().numpy() * 10

    made = network_of("actor", network, lambda _, inner, seen: inner(seen) * 10, wrapped, act, {"id": "Pendulum-v1"})
    raw = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)

    with torch.no_grad():
        actions = made.module(torch.from_numpy(raw)).numpy()
    assert actions == pytest.approx(made.act(raw), abs=1e-6)
    assert np.abs(actions).max() == 2.0
    env = made.make_env({"id": "Pendulum-v1"})
    assert type(env.env).__name__ != "ClipAction"
    assert env.reset(seed=0)[0].tolist() == gymnasium.make("Pendulum-v1").reset(seed=0)[0].tolist()


def test_a_function_that_does_more_than_clip_is_refused():
    """Which one it is cannot be seen."""
    with pytest.raises(NotAvailableError, match="a function that does more than to clip"):
        steps_of(wrapped({"id": "Pendulum-v1"}, function=np.tanh))


def test_a_network_with_a_memory_is_refused():
    """As that of ppo_atari_lstm."""
    agent = nn.Module()
    agent.lstm = nn.LSTM(2, 2)
    with pytest.raises(NotAvailableError, match="its policy remembers"):
        network_of("agent", agent, None, wrapped, None, {"id": "Pendulum-v1"})
