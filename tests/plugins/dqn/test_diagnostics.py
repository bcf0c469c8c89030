"""Diagnostics: what they say of a network and a batch, and that a training cannot tell whether they were asked for."""

import copy

import numpy as np
import pytest
import torch
from tests.end_to_end.lifecycle import DQN, train
from tests.plugins.dqn.making import CPU, agent_of, batch_of, parameters, settings_of, train_to, training_of
from torch import nn

from rlctl.runs.files import read_lines
from rlctl_dqn.diagnostics import DORMANT, diagnose, dormant_share
from rlctl_dqn.fast_agent import FastAgent
from rlctl_dqn.networks import QNetwork
from rlctl_dqn.replay_buffer import Drawn, ReplayBuffer

NAMES = {
    f"diagnostics/{name}"
    for name in (
        "td_error_mean", "td_error_std", "td_error_max", "q_value_mean", "q_value_std", "q_value_min", "q_value_max",
        "gradient_norm", "dormant_share",
    )
}  # fmt: skip
VARIANTS = {
    "dqn": {},
    "rainbow": {"atoms": 11},
    "qr_dqn": {"quantiles": 5},
    "double_dqn": {"hidden_sizes": [9, 7]},
    "dueling_dqn": {"munchausen": True},
}


def fast_agent(**changes):
    """The fast agent for batches of eight."""
    torch.manual_seed(0)
    return FastAgent(4, 3, settings_of(batch_size=8, **changes), CPU, 100)


def apart(agent):
    """The agent with a target network that differs from the online one."""
    torch.manual_seed(9)
    with torch.no_grad():
        for tensor in agent.target.parameters():
            tensor.add_(torch.randn(tensor.shape) * 0.3)
    return agent


# ---- what they say -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [agent_of, fast_agent], ids=["reference", "fast"])
def test_errors_and_values_are_those_of_the_batch(make):
    """Mean, deviation (n in the denominator) and ends of the objective's errors and of the taken actions' values."""
    agent, batch = apart(make()), batch_of()
    errors = agent.objective.learn(agent.online, agent.target, batch).errors.detach().abs().numpy()
    values = agent.online(batch.observations).detach().numpy()[np.arange(8), batch.actions[:, 0]]

    found = diagnose(agent, batch)

    expected = {
        "td_error_mean": errors.mean(), "td_error_std": errors.std(), "td_error_max": errors.max(),
        "q_value_mean": values.mean(), "q_value_std": values.std(), "q_value_min": values.min(),
        "q_value_max": values.max(),
    }  # fmt: skip
    assert set(found) == NAMES
    assert len(set(expected.values())) == len(expected), "numbers that could be taken for each other show nothing"
    for name, value in expected.items():
        assert found[f"diagnostics/{name}"] == pytest.approx(float(value), rel=1e-5), name


@pytest.mark.parametrize("algo", VARIANTS)
def test_the_gradients_norm_is_that_of_a_backward_pass(algo):
    """The square root of the sum of the squares of everything that `backward` leaves in a copy of the network."""
    agent, batch = apart(agent_of(algo, max_grad_norm=1e-3, **VARIANTS[algo])), batch_of()
    online, target = copy.deepcopy(agent.online).eval(), copy.deepcopy(agent.target).eval()
    agent.objective.learn(online, target, batch).loss.backward()
    squares = [float((tensor.grad.double() ** 2).sum()) for tensor in online.parameters() if tensor.grad is not None]

    found = diagnose(agent, batch)

    assert set(found) == NAMES
    assert found["diagnostics/gradient_norm"] == pytest.approx(np.sqrt(sum(squares)), rel=1e-5)


def test_the_fast_agents_gradient_is_the_references():
    """Its network lies in a flat memory, and says the same, also after updates of its own."""
    plain, fast = agent_of(batch_size=8), fast_agent()
    buffer = ReplayBuffer(20, 4, CPU, gamma=0.99)
    for observation in np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32):
        buffer.add(observation, 1, 1.0, observation[::-1], False)
    for number in range(5):
        for agent in (plain, fast):
            agent.learn(buffer, Drawn(np.arange(number, number + 8)))

    assert diagnose(fast, batch_of(seed=9)) == pytest.approx(diagnose(plain, batch_of(seed=9)), rel=1e-4)


def test_the_importance_of_a_transition_is_part_of_its_gradient():
    """Half the weight, half the gradient, and the same errors."""
    agent = apart(agent_of())
    whole, half = (diagnose(agent, batch_of(weights=torch.full((8,), weight))) for weight in (1.0, 0.5))

    assert half["diagnostics/gradient_norm"] == pytest.approx(whole["diagnostics/gradient_norm"] / 2)
    assert half["diagnostics/td_error_mean"] == whole["diagnostics/td_error_mean"]


# ---- dormant units -------------------------------------------------------------------------------------------------


def set_biases(layer, biases):
    """Let a layer give the same numbers whatever it sees."""
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor(biases).float())


def test_a_unit_that_is_never_active_is_dormant():
    """One of the four units of the first layer is dead, none of the second: one of six."""
    agent = agent_of(hidden_sizes=[4, 2])
    set_biases(agent.online.layers[0], [1, 2, 3, -1])
    set_biases(agent.online.layers[2], [1, 1])

    assert diagnose(agent, batch_of())["diagnostics/dormant_share"] == pytest.approx(1 / 6)


@pytest.mark.parametrize(("activity", "dormant"), [(0.99 * DORMANT, 1), (1.01 * DORMANT, 0)])
def test_a_unit_is_dormant_by_its_share_of_its_layers_mean(activity, dormant):
    """Beside one whose mean is 2 minus its own, so that the mean of both is 1; the scale of the layer has no part in it."""
    for scale in (1.0, 1000.0):
        network = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
        set_biases(network[0], [scale * activity, scale * (2 - activity)])

        assert dormant_share(network, torch.zeros(3, 4)) == dormant / 2


def test_activity_has_no_sign():
    """A unit of tanh that is always negative is as active as a positive one, and one that changes its sign too."""
    network = nn.Sequential(nn.Linear(1, 3), nn.Tanh())
    set_biases(network[0], [-1, 1, 0])
    network[0].weight.data[2] = 1

    assert dormant_share(network, torch.tensor([[-1.0], [1.0]])) == 0


def test_a_unit_that_is_active_once_is_not_dormant():
    """The mean over the batch counts: one observation of four that wakes it is enough."""
    network = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    set_biases(network[0], [1, 0])
    network[0].weight.data[1] = 1

    assert dormant_share(network, torch.tensor([[-1.0], [-1.0], [-1.0], [1.0]])) == 0
    assert dormant_share(network, torch.tensor([[-1.0], [-1.0], [-1.0], [-1.0]])) == 0.5


def test_a_layer_in_which_nothing_is_active_is_dormant_as_a_whole():
    """Where the mean is 0 no unit is above it, and nothing is divided by it."""
    network = nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 6), nn.ReLU())
    set_biases(network[0], [-1, -1])
    set_biases(network[2], [1] * 6)

    assert dormant_share(network, torch.zeros(3, 4)) == 2 / 8


def test_a_channel_of_a_convolution_is_one_unit():
    """With the mean over all of its places: of 32 + 64 + 64 channels and 5 units, three channels are dead."""
    settings = settings_of(extractor="nature", features=5)
    network = QNetwork((36, 36, 1), 3, settings, dtype="uint8").eval()
    first = network.extractor.layers[0]
    with torch.no_grad():
        for layer in (*network.extractor.layers, *network.layers):
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                layer.weight.zero_()
                layer.bias.fill_(1)
        first.bias[:3] = -1

    images = torch.zeros(2, 36, 36, 1, dtype=torch.uint8)
    assert dormant_share(network, images) == pytest.approx(3 / 165)


def test_the_residual_blocks_of_impala_have_hidden_units():
    """Two activations in each of six blocks, one behind the last, and the features: 4 * (16 + 32 + 32) + 32 + 5 units."""
    network = QNetwork((36, 36, 1), 3, settings_of(extractor="impala", features=5), dtype="uint8")
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.fill_(0)
        network.layers[0].bias.fill_(1)

    share = dormant_share(network, torch.zeros(2, 36, 36, 1, dtype=torch.uint8))
    assert share == pytest.approx(1 - 5 / (4 * (16 + 32 + 32) + 32 + 5))


def test_both_streams_of_a_dueling_network_have_hidden_units():
    """Four shared units and three in each stream; the stream of the values is dead."""
    agent = agent_of("dueling_dqn", hidden_sizes=[4, 3])
    head = agent.online.layers[-1]
    for layer, bias in ((agent.online.layers[0], 1.0), (head.value[0], -1.0), (head.advantage[0], 1.0)):
        set_biases(layer, [bias] * layer.out_features)

    assert diagnose(agent, batch_of())["diagnostics/dormant_share"] == pytest.approx(3 / 10)


def test_without_hidden_units_there_is_no_share_of_them():
    """The other diagnostics are there."""
    assert set(diagnose(agent_of(hidden_sizes=[]), batch_of())) == NAMES - {"diagnostics/dormant_share"}


# ---- what they change ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algo", VARIANTS)
def test_nothing_is_changed_by_a_diagnosis(algo):
    """Parameters, their gradients, modes of modules, hooks and the generator are as before, and a second look says the same."""
    agent, batch = agent_of(algo, **VARIANTS[algo]), batch_of()
    agent.update(batch)
    agent.online.layers[-1].eval()  # a mode of its own

    def everything():
        networks = (agent.online, agent.target)
        grads = [None if p.grad is None else p.grad.clone() for net in networks for p in net.parameters()]
        modes = [(module.training, len(module._forward_hooks)) for net in networks for module in net.modules()]
        return [parameters(net) for net in networks], grads, modes, torch.get_rng_state()

    before = everything()
    first, second = diagnose(agent, batch), diagnose(agent, batch)
    after = everything()

    assert first == second
    assert before[2] == after[2]
    for old, new in zip((*before[0], *before[1], before[3]), (*after[0], *after[1], after[3]), strict=True):
        assert (old is None and new is None) or np.array_equal(old, new)


@pytest.mark.parametrize(
    ("algo", "changes"),
    [
        ("dqn", {"path": "fast"}),
        ("dqn", {"path": "reference"}),
        ("rainbow", {"atoms": 11}),
        ("qr_dqn", {}),
        ("c51", {}),
    ],
    ids=str,
)
def test_a_training_is_the_same_with_diagnostics_and_without(algo, changes, tmp_path):
    """To the last bit of weights and generators, by either agent, with noise and priorities too."""

    def traces(every):
        training, _ = training_of(tmp_path / str(every), algo, diagnostics_every=every, **changes)
        train_to(training, 300)
        assert training.updates > 40
        drawn = training._exploring.row(), training._replaying.row(), torch.rand(4).numpy()
        return [
            parameters(training.agent.online),
            parameters(training.agent.target),
            training.envs.observations,
            *drawn,
        ]

    for alone, watched in zip(traces(None), traces(1), strict=True):
        assert np.array_equal(alone, watched)


# ---- when they are reported ----------------------------------------------------------------------------------------


def reports(run):
    """Step → names of the diagnostics in the metrics.jsonl of a run."""
    lines = read_lines(run / "metrics.jsonl")
    found = {line["step"]: {name for name in line["values"] if name.startswith("diagnostics/")} for line in lines}
    return {step: names for step, names in found.items() if names}


def test_a_run_reports_them_as_often_as_it_is_told(cli, tmp_path):
    """At every fifth update: an update every tenth step after 200 steps is the fifth at 250."""
    run = train(cli, tmp_path, "watched", [*DQN, "--set", "hyperparameters.diagnostics_every=5"], "-n", 400)

    assert reports(run) == {250: NAMES, 300: NAMES, 350: NAMES, 400: NAMES}


def test_a_run_reports_none_unless_it_is_told(cli, tmp_path):
    """They are off by default."""
    assert reports(train(cli, tmp_path, "plain", DQN, "-n", 400)) == {}
