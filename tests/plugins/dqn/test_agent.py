"""The agent: what it does in a state, what an update changes, and that each option changes something."""

import copy
import math

import numpy as np
import pytest
import torch
from tests.plugins.dqn.making import agent_of, batch_of, parameters
from torch import nn

from rlctl_dqn.storage import Batch

OBSERVATIONS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def updated(batch=None, *, times=3, algo="dqn", **changes):
    """The parameters after some updates; the target network differs from the online one."""
    agent = agent_of(algo, **changes)
    torch.manual_seed(9)
    with torch.no_grad():
        for tensor in agent.target.parameters():
            tensor.add_(torch.randn(tensor.shape) * 0.3)
    for _ in range(times):
        agent.update(batch or batch_of())
    return parameters(agent.online)


# ---- acting --------------------------------------------------------------------------------------------------------


def test_epsilon_falls_in_a_line_and_stays():
    """From 1 to 0.1 over half of the horizon."""
    agent = agent_of(exploration_final=0.1, exploration_fraction=0.5, horizon=200)
    assert [round(agent.epsilon(step), 6) for step in (0, 50, 100, 150)] == [1.0, 0.55, 0.1, 0.1]


def test_epsilon_can_fall_exponentially():
    """Its distance to the last is 1/e of the first one after the share of the budget that is set."""
    agent = agent_of(exploration_final=0.1, exploration_schedule="exponential", exploration_decay=0.2, horizon=200)
    assert agent.epsilon(0) == 1.0
    assert agent.epsilon(40) == pytest.approx(0.1 + 0.9 / math.e)
    assert agent.epsilon(100_000) == pytest.approx(0.1)


@pytest.mark.parametrize("algo", ["dqn", "dueling_dqn", "c51", "qr_dqn", "rainbow"])
def test_the_greedy_action_is_the_one_of_highest_value(algo):
    """For distributions that is the highest mean, and noise has no part in it."""
    agent = agent_of(algo)
    values = agent.objective.values(agent.online.eval()(torch.as_tensor(OBSERVATIONS)))
    agent.online.train()
    assert agent.greedy(OBSERVATIONS).tolist() == values.argmax(dim=1).tolist()
    assert agent.online.training


def test_means_of_distributions_are_values():
    """Of atoms weighted by probability, and of quantiles."""
    categorical = agent_of("c51", atoms=3, v_min=-1.0, v_max=1.0).objective
    assert torch.allclose(categorical.values(torch.tensor([0.2, 0.3, 0.5]).log()), torch.tensor(0.3))
    assert agent_of("qr_dqn", quantiles=2).objective.values(torch.tensor([1.0, 4.0])).item() == 2.5


def test_a_forbidden_action_is_never_taken():
    """Neither exploring nor greedily."""
    agent = agent_of(actions=5)
    masks = np.random.default_rng(1).random((6, 5)) < 0.4
    masks[:, 2] = True
    generator = np.random.default_rng(2)
    for step in [0] * 30 + [10**6] * 10:
        taken = agent.act(OBSERVATIONS, step, generator.random(12), masks)
        assert masks[np.arange(6), taken].all()
    assert masks[np.arange(6), agent.greedy(OBSERVATIONS, masks)].all()


def test_exploring_takes_every_allowed_action_equally_often():
    """Of four allowed actions each is taken about a quarter of the time."""
    agent = agent_of(actions=6)
    masks = np.tile(np.array([True, False, True, True, False, True]), (4000, 1))
    taken = agent.act(np.zeros((4000, 4), np.float32), 0, np.random.default_rng(0).random(8000), masks)
    assert np.bincount(taken, minlength=6).tolist() == pytest.approx([1000, 0, 1000, 1000, 0, 1000], abs=100)


def test_noise_explores():
    """Without random actions the same state leads to different ones."""
    agent = agent_of("rainbow", actions=8)
    generator = np.random.default_rng(0)
    assert len({int(agent.act(OBSERVATIONS[:1], 0, generator.random(2))[0]) for _ in range(60)}) > 1


# ---- updates -------------------------------------------------------------------------------------------------------


def test_the_plain_update_is_gradient_descent_on_the_td_error():
    """One transition, one linear layer, and Adam's first step, which is the learning rate against the gradient's sign."""
    agent = agent_of(hidden_sizes=[], actions=2, shape=1, learning_rate=0.1, gamma=0.5)
    with torch.no_grad():
        for network, weight in ((agent.online, 1.0), (agent.target, 3.0)):
            network.layers[0].weight.fill_(weight)
            network.layers[0].bias.zero_()
    two = torch.tensor([[2.0]])
    update = agent.update(Batch(two, torch.tensor([[1]]), torch.tensor([1.0]), two, torch.tensor([0.5])))

    # q = 1 * 2, the target 1 + 0.5 * 3 * 2: the error is 2 and its square 4.
    assert update.metrics() == pytest.approx({"train/loss": 4.0, "train/q_value": 2.0})
    assert update.errors.tolist() == pytest.approx([2.0])
    assert agent.online.layers[0].weight.flatten().tolist() == pytest.approx([1.0, 1.1])
    assert agent.online.layers[0].bias.tolist() == pytest.approx([0.0, 0.1])
    assert agent.target.layers[0].weight.flatten().tolist() == [3.0, 3.0]


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_plain_dqn_is_these_few_lines_to_the_last_bit(loss):
    """Whatever else the agent can do costs plain DQN not one rounding; with a batch size that is no power of two."""
    agent = agent_of(loss=loss, tau=0.7, max_grad_norm=0.5)
    torch.manual_seed(0)
    online = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    target = copy.deepcopy(online)
    optimizer = torch.optim.Adam(online.parameters(), lr=agent.settings.learning_rate, fused=True)
    for number in range(30):
        batch = batch_of(7, seed=number)
        with torch.no_grad():
            goal = batch.rewards + batch.bootstrap * target(batch.next_observations).amax(dim=1)
        values = online(batch.observations).gather(1, batch.actions).squeeze(1)
        optimizer.zero_grad()
        {"mse": nn.functional.mse_loss, "huber": nn.functional.smooth_l1_loss}[loss](values, goal).backward()
        nn.utils.clip_grad_norm_(online.parameters(), 0.5)
        optimizer.step()
        with torch.no_grad():
            for old, new in zip(target.parameters(), online.parameters(), strict=True):
                old.lerp_(new, 0.7)
        agent.update(batch)
        agent.update_target()
    assert np.array_equal(parameters(agent.online), parameters(online))
    assert np.array_equal(parameters(agent.target), parameters(target))


def test_double_learning_values_the_online_networks_action():
    """The online network prefers action 0, which the target network values at 5 and not at its own best, 9."""
    for double, error in ((True, 5.0), (False, 9.0)):
        agent = agent_of(hidden_sizes=[], actions=2, shape=1, gamma=1.0, double=double)
        with torch.no_grad():
            for network, biases in ((agent.online, [1.0, 0.0]), (agent.target, [5.0, 9.0])):
                network.layers[0].weight.zero_()
                network.layers[0].bias.copy_(torch.tensor(biases))
        zero = torch.zeros(1, 1)
        batch = Batch(zero, torch.tensor([[1]]), torch.zeros(1), zero, torch.ones(1))
        assert agent.update(batch).errors.item() == pytest.approx(error)


@pytest.mark.parametrize("algo", ["dqn", "double_dqn", "c51", "qr_dqn"])
def test_what_is_forbidden_next_is_in_no_target(algo):
    """Forbidding the best next action changes what is learned; forbidding another one does not."""
    agent = agent_of(algo)
    batch = batch_of(16, bootstrap=torch.full((16,), 0.99))
    chooser = agent.online if algo == "double_dqn" else agent.target
    best = agent.objective.values(chooser(batch.next_observations)).argmax(dim=1)
    without_best = torch.ones(16, 3, dtype=torch.bool)
    without_best[torch.arange(16), best] = False
    without_other = torch.ones(16, 3, dtype=torch.bool)
    without_other[torch.arange(16), (best + 1) % 3] = False
    assert np.array_equal(updated(batch, algo=algo, times=0), parameters(agent.online))

    def loss(mask):
        changed = batch._replace(next_masks=mask)
        return agent.objective.learn(agent.online, agent.target, changed).loss.item()

    assert loss(without_other) == loss(None)
    assert loss(without_best) != loss(None)


@pytest.mark.parametrize("algo", ["dqn", "double_dqn", "dueling_dqn", "c51", "qr_dqn", "rainbow"])
def test_updates_make_the_errors_of_their_batch_smaller(algo):
    """Towards a target network that stands still, every algorithm learns what it is shown."""
    agent = agent_of(algo, learning_rate=1e-2)
    batch = batch_of(32, weights=torch.ones(32), bootstrap=torch.full((32,), 0.9))
    errors = [agent.update(batch).errors.mean().item() for _ in range(60)]
    assert np.mean(errors[-5:]) < 0.8 * np.mean(errors[:5])


def test_a_transition_without_weight_teaches_nothing():
    """Importance weights scale the losses one by one."""
    for algo in ("dqn", "c51", "qr_dqn"):
        batch = batch_of(2, weights=torch.tensor([1.0, 0.0]))
        other = batch._replace(rewards=batch.rewards + torch.tensor([0.0, 50.0]))
        assert np.array_equal(updated(batch, algo=algo), updated(other, algo=algo)), algo


def test_errors_are_small_where_nothing_is_left_to_learn():
    """A categorical network whose atoms are right already has no divergence, though its cross entropy is not 0."""
    agent = agent_of("c51", gamma=1.0)
    same = torch.randn(4, 4)
    best = torch.as_tensor(agent.greedy(same.numpy())).unsqueeze(1)
    batch = Batch(same, best, torch.zeros(4), same, torch.ones(4))
    learned = agent.objective.learn(agent.online, agent.target, batch)
    assert learned.loss.item() > 1.0
    assert learned.errors.abs().max().item() < 1e-3


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 1e-3}, {"optimizer": "adamw", "weight_decay": 0.1}, {"optimizer": "rmsprop"},
        {"optimizer_epsilon": 1e-2}, {"weight_decay": 0.1}, {"loss": "huber"}, {"max_grad_norm": 1e-6},
        {"double": True}, {"dueling": True}, {"noisy": True}, {"distribution": "categorical"},
        {"distribution": "quantile"}, {"munchausen": True}, {"hidden_sizes": [8]}, {"activation": "tanh"},
    ],
    ids=str,
)  # fmt: skip
def test_each_setting_of_learning_changes_what_is_learned(changes):
    """After three updates from the same start the parameters are others."""
    plain, changed = updated(), updated(**changes)
    assert plain.shape != changed.shape or not np.allclose(plain, changed, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("owner", "changes"),
    [
        ({"distribution": "categorical", "atoms": 11}, {"atoms": 13}),
        ({"distribution": "categorical"}, {"v_min": -3.0}),
        ({"distribution": "categorical"}, {"v_max": 3.0}),
        ({"distribution": "quantile"}, {"quantiles": 7}),
        ({"distribution": "categorical"}, {"double": True}),
        ({"distribution": "quantile"}, {"double": True}),
        ({"munchausen": True}, {"munchausen_alpha": 0.1}),
        ({"munchausen": True}, {"munchausen_tau": 0.5}),
        ({"munchausen": True}, {"munchausen_clip": -0.01}),
    ],
    ids=str,
)
def test_each_detail_of_an_option_changes_what_is_learned(owner, changes):
    """The same for settings that belong to another one."""
    plain, changed = updated(**owner), updated(**{**owner, **changes})
    assert plain.shape != changed.shape or not np.allclose(plain, changed, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("tau", "expected"), [(1.0, 4.0), (0.25, 1.0)])
def test_the_target_network_moves_by_tau(tau, expected):
    """From 0 towards 4."""
    agent = agent_of(tau=tau)
    with torch.no_grad():
        for target, online in zip(agent.target.parameters(), agent.online.parameters(), strict=True):
            target.zero_()
            online.fill_(4.0)
    agent.update_target()
    assert {value.item() for tensor in agent.target.parameters() for value in tensor.unique()} == {expected}


# ---- what is no number ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_nan", ["stop", "skip"])
def test_a_loss_that_is_no_number_changes_nothing(on_nan):
    """The update is left out, and says so."""
    agent = agent_of(on_nan=on_nan)
    before = parameters(agent.online)
    assert not agent.update(batch_of(rewards=torch.full((8,), math.nan))).is_finite
    assert np.array_equal(before, parameters(agent.online))
    assert agent.update(batch_of()).is_finite


def test_a_loss_that_is_no_number_can_be_ignored():
    """Then it does what it does."""
    agent = agent_of(on_nan="ignore")
    assert agent.update(batch_of(rewards=torch.full((8,), math.nan))).is_finite
    assert np.isnan(parameters(agent.online)).any()
