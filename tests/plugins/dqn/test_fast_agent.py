"""The fast agent is the plain PyTorch one, to rounding: same weights after hundreds of updates, same actions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rlctl_dqn.agent import DqnAgent
from rlctl_dqn.config import DqnHyperparameters
from rlctl_dqn.fast_agent import FastAgent, caches_targets, why_not_fast
from rlctl_dqn.replay_buffer import Drawn, ReplayBuffer
from rlctl_dqn.storage import Steps

CPU = torch.device("cpu")
SETTINGS = {
    "defaults": {},
    "huber, double": {"loss": "huber", "double": True},
    "one hidden layer, Polyak": {"hidden_sizes": [64], "tau": 0.05, "learning_rate": 1e-3},
    "linear": {"hidden_sizes": [], "gamma": 0.9},
    "clipped": {"max_grad_norm": 0.5},
    "targets not kept": {"buffer_size": 10**6},
}


def _agents(**said):
    settings = DqnHyperparameters(**{"batch_size": 32, "buffer_size": 500, **said})
    made = []
    for cls in (DqnAgent, FastAgent):
        torch.manual_seed(1)
        made.append(cls(4, 3, settings, CPU, 1000))
    return made


def _buffer(agent):
    """A buffer of random transitions, some of which ended an episode."""
    generator = np.random.default_rng(2)
    kept = caches_targets(agent.settings) and isinstance(agent, FastAgent)
    buffer = ReplayBuffer(500, 4, CPU, gamma=agent.settings.gamma, caches_targets=kept)
    seen = generator.standard_normal((2, 500, 4)).astype(np.float32)
    rewards = generator.standard_normal(500).astype(np.float32)
    buffer.add_many(Steps(seen[0], generator.integers(0, 3, 500), rewards, seen[1], generator.random(500) < 0.1))
    return buffer


def _drawn(generator, weighted=False):
    return Drawn(generator.integers(0, 500, 32), generator.random(32, np.float32) if weighted else None)


def _weights(agent):
    return torch.cat([value.reshape(-1) for value in agent.online.state_dict().values()])


@pytest.mark.parametrize("said", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("weighted", [False, True], ids=["uniform", "weighted"])
def test_hundreds_of_updates_give_the_reference_s_weights(said, weighted):
    """After 300 updates on the same batches, with target updates between them, no weight differs by more than 1e-6."""
    agents = _agents(**said)
    buffers = [_buffer(agent) for agent in agents]
    generator = np.random.default_rng(2)
    for index in range(300):
        drawn = _drawn(generator, weighted)
        theirs, ours = (agent.learn(buffer, drawn) for agent, buffer in zip(agents, buffers, strict=True))
        assert ours.metrics() == pytest.approx(theirs.metrics(), rel=1e-4, abs=1e-6)
        assert np.allclose(np.abs(ours.errors_here()), theirs.errors_here(), atol=1e-4)
        if index % 50 == 49:
            for agent, buffer in zip(agents, buffers, strict=True):
                agent.update_target()
                buffer.storage.forget_targets()
    plain, fast = agents

    assert (_weights(plain) - _weights(fast)).abs().max() < 1e-6


def test_both_act_alike():
    """The greedy action is the reference's, for one observation and for many."""
    plain, fast = _agents()
    generator = np.random.default_rng(3)
    for count in (1, 7, 64):
        seen = generator.standard_normal((count, 4)).astype(np.float32)
        assert (plain.greedy(seen) == fast.greedy(seen)).all()
        assert plain.best(seen[:1]) == fast.best(seen[:1])


def test_the_optimizer_s_state_comes_back():
    """What was saved goes on as what was not: weights, target, and Adam's averages."""
    _, fast = _agents()
    _, other = _agents()
    buffer = _buffer(fast)
    generator = np.random.default_rng(4)
    for _ in range(20):
        fast.learn(buffer, _drawn(generator))
    other.online.load_state_dict(fast.online.state_dict())
    other.target.load_state_dict(fast.target.state_dict())
    other.optimizer.load_state_dict(fast.optimizer.state_dict())
    drawn = _drawn(generator)
    fast.learn(buffer, drawn)
    other.learn(buffer, drawn)

    assert torch.equal(_weights(fast), _weights(other))


@pytest.mark.parametrize(
    "said",
    [
        {"dueling": True},
        {"noisy": True},
        {"distribution": "quantile"},
        {"optimizer": "rmsprop"},
        {"activation": "tanh"},
    ],
)
def test_what_it_does_not_do_is_said(said):
    """Each option outside of it names itself; the defaults do not."""
    assert why_not_fast(DqnHyperparameters(**said), CPU, "float32", masked=False) is not None
    assert why_not_fast(DqnHyperparameters(), CPU, "float32", masked=False) is None


def test_targets_are_kept_where_transitions_are_drawn_often_enough():
    """An update every step does; one in ten, a large buffer, and double learning, whose targets always change, do not."""
    assert caches_targets(DqnHyperparameters(train_frequency=1))
    assert not caches_targets(DqnHyperparameters())
    assert not caches_targets(DqnHyperparameters(train_frequency=1, buffer_size=100_000))
    assert not caches_targets(DqnHyperparameters(train_frequency=1, double=True))


def test_a_transition_that_took_the_place_of_another_has_a_target_of_its_own():
    """What was worked out for the old one is forgotten."""
    _, fast = _agents()
    buffer = _buffer(fast)
    everywhere = Drawn(np.arange(32))
    fast.learn(buffer, everywhere)
    assert np.isfinite(buffer.storage.rows[:32, buffer.storage.target]).all()
    zero = np.zeros(4, np.float32)
    buffer.add(zero, 0, 7.0, zero, True)
    reward = np.array([7.0], np.float32)
    buffer.add_many(Steps(zero[None], np.array([1]), reward, zero[None], np.array([True])))
    assert np.isnan(buffer.storage.rows[:2, buffer.storage.target]).all()
    fast.learn(buffer, everywhere)
    assert buffer.storage.rows[:2, buffer.storage.target].tolist() == [7.0, 7.0]
