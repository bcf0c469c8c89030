"""The fast agent is the plain PyTorch one, to rounding: same weights after hundreds of updates, same actions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rlctl_dqn.agent import DqnAgent
from rlctl_dqn.config import DqnHyperparameters
from rlctl_dqn.fast_agent import FastAgent, why_not_fast
from rlctl_dqn.replay_buffer import Batch

CPU = torch.device("cpu")
SETTINGS = {
    "defaults": {},
    "huber, double": {"loss": "huber", "double": True},
    "one hidden layer, Polyak": {"hidden_sizes": [64], "tau": 0.05, "learning_rate": 1e-3},
    "linear": {"hidden_sizes": [], "gamma": 0.9},
}


def _agents(**said):
    settings = DqnHyperparameters(batch_size=32, **said)
    made = []
    for cls in (DqnAgent, FastAgent):
        torch.manual_seed(1)
        made.append(cls(4, 3, settings, CPU, 1000))
    return made


def _batch(generator, weighted=False):
    def floats(*shape):
        return torch.from_numpy(generator.standard_normal(shape).astype(np.float32))

    actions = torch.from_numpy(generator.integers(0, 3, (32, 1)))
    terminated = torch.from_numpy((generator.random(32) < 0.1).astype(np.float32))
    weights = torch.from_numpy(generator.random(32).astype(np.float32)) if weighted else None
    return Batch(floats(32, 4), actions, floats(32), floats(32, 4), terminated, weights=weights)


def _weights(agent):
    return torch.cat([value.reshape(-1) for value in agent.online.state_dict().values()])


@pytest.mark.parametrize("said", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("weighted", [False, True], ids=["uniform", "weighted"])
def test_hundreds_of_updates_give_the_reference_s_weights(said, weighted):
    """After 300 updates on the same batches, with target updates between them, no weight differs by more than 1e-6."""
    plain, fast = _agents(**said)
    generator = np.random.default_rng(2)
    for index in range(300):
        batch = _batch(generator, weighted)
        ours, theirs = fast.update(batch), plain.update(batch)
        assert float(ours.metrics["train/loss"]) == pytest.approx(float(theirs.metrics["train/loss"]), rel=1e-4)
        assert np.allclose(ours.errors.numpy(), theirs.errors.detach().abs().numpy(), atol=1e-4)
        if index % 50 == 49:
            plain.update_target()
            fast.update_target()

    assert (_weights(plain) - _weights(fast)).abs().max() < 1e-6


def test_both_act_alike():
    """The greedy action is the reference's, for one observation and for many."""
    plain, fast = _agents()
    generator = np.random.default_rng(3)
    for count in (1, 7, 64):
        seen = generator.standard_normal((count, 4)).astype(np.float32)
        assert (plain.greedy(seen) == fast.greedy(seen)).all()


def test_the_optimizer_s_state_comes_back():
    """What was saved goes on as what was not: weights, target, and Adam's averages."""
    _, fast = _agents()
    _, other = _agents()
    generator = np.random.default_rng(4)
    for _ in range(20):
        fast.update(_batch(generator))
    other.online.load_state_dict(fast.online.state_dict())
    other.target.load_state_dict(fast.target.state_dict())
    other.optimizer.load_state_dict(fast.optimizer.state_dict())
    batch = _batch(generator)
    fast.update(batch)
    other.update(batch)

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
