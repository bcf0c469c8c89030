"""Networks from a configuration: what becomes of them, what the extractors compute, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rlctl_sb3.checks import problems_in
from rlctl_sb3.network import EXTRACTORS, policy_kwargs

# ---- what is said and what SB3 gets --------------------------------------------------------------------------------


def test_nothing_said_is_nothing_given():
    """SB3's own networks then."""
    assert policy_kwargs({"network": None, "policy_kwargs": None}) is None


def test_each_part_of_the_network_becomes_sb3s_argument():
    """And what `policy_kwargs` says besides stays."""
    network = {
        "pi": [64], "vf": [32, 32], "activation": "gelu", "share_features_extractor": False,
        "features_extractor": {"use": "ResnetMLP", "kwargs": {"features_dim": 16}},
    }  # fmt: skip
    assert policy_kwargs({"network": network, "policy_kwargs": {"ortho_init": False}}) == {
        "ortho_init": False,
        "net_arch": {"pi": [64], "vf": [32, 32]},
        "activation_fn": "gelu",
        "share_features_extractor": False,
        "features_extractor_class": "rlctl_sb3.extractors:ResnetMLP",
        "features_extractor_kwargs": {"features_dim": 16},
    }


def test_one_list_of_sizes_is_for_all_networks():
    """An extractor may be said by its name alone."""
    said = policy_kwargs({"network": {"hidden_sizes": [8], "features_extractor": "mine:Net"}})
    assert said == {"net_arch": [8], "features_extractor_class": "mine:Net", "features_extractor_kwargs": {}}


REFUSED = {
    ("ppo", '{"qf": [8], "pi": [8], "vf": [8]}'): {"qf": "ppo has no such thing"},
    ("sac", '{"pi": [8]}'): {"qf": "is required beside pi"},
    ("sac", '{"qf": [8]}'): {"pi": "is required beside qf"},
    ("dqn", '{"share_features_extractor": true}'): {"share_features_extractor": "dqn has no such thing"},
    ("ppo", '{"hidden_sizes": [8], "pi": [8], "vf": [8]}'): {"hidden_sizes": "pi and vf as well"},
    ("ppo", '{"hidden_size": [8]}'): {"hidden_size": "unknown key"},
    ("ppo", '{"hidden_sizes": [8, 0]}'): {"hidden_sizes": "whole numbers above 0"},
    ("ppo", '{"activation": "rellu"}'): {"activation": "expected relu"},
    ("ppo", '{"features_extractor": "ResNetMLP"}'): {"features_extractor": "expected ResnetMLP"},
    ("ppo", '{"features_extractor": {"kwargs": {}}}'): {"features_extractor.use": "is required"},
    ("ppo", '{"features_extractor": {"use": "SmalCNN", "arguments": 1}}'): {
        "features_extractor.use": "expected ResnetMLP", "features_extractor.arguments": "unknown key",
    },
    ("ppo", '{"share_features_extractor": 1}'): {"share_features_extractor": "true or false"},
}  # fmt: skip


@pytest.mark.parametrize(("algorithm", "said"), REFUSED, ids=[f"{algo} {said}" for algo, said in REFUSED])
def test_what_means_nothing_is_refused(algorithm, said):
    """With the path of each key, all at once."""
    found = {problem.path: problem.message for problem in problems_in({"network": json.loads(said)}, algorithm)}
    expected = REFUSED[algorithm, said]
    assert set(found) == {f"hyperparameters.network.{path}" for path in expected}
    assert all(words in found[f"hyperparameters.network.{path}"] for path, words in expected.items())


def test_what_is_said_twice_is_refused():
    """`policy_kwargs` may not say the same thing otherwise."""
    said = {"network": {"hidden_sizes": [8]}, "policy_kwargs": {"net_arch": [16]}}
    assert [problem.path for problem in problems_in(said, "ppo")] == ["hyperparameters.network.hidden_sizes"]


def test_an_unknown_extractor_is_refused_before_anything_starts(cli, tmp_path):
    """Exit code 2, the nearest name, no run directory."""
    setting = "hyperparameters.network={features_extractor: {use: ResnetMPL}}"
    answer = cli("run", "sb3/ppo", "--set", setting, "--runs-dir", tmp_path / "none")

    assert answer.code == 2
    assert "hyperparameters.network.features_extractor.use" in answer.err
    assert 'Did you mean "ResnetMLP"?' in answer.err
    assert not (tmp_path / "none").exists()


# ---- the extractors ------------------------------------------------------------------------------------------------


def test_every_name_is_of_a_features_extractor():
    """Of SB3's kind."""
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

    from rlctl.descriptors import resolve

    assert all(issubclass(resolve(path), BaseFeaturesExtractor) for path in EXTRACTORS.values())


@pytest.mark.parametrize("shape", [(5,), (2, 3)])
@pytest.mark.parametrize("hidden_dim", [None, 7])
def test_the_residual_network_computes_what_it_says(shape, hidden_dim):
    """Against its formula, written with matrices, for observations of any shape."""
    import torch
    from gymnasium.spaces import Box

    from rlctl_sb3.extractors import ResnetMLP

    torch.manual_seed(3)
    network = ResnetMLP(Box(-1, 1, shape), features_dim=4, hidden_dim=hidden_dim)
    seen = torch.randn(6, *shape)
    weights = [parameter.detach().numpy().astype(np.float64) for parameter in network.parameters()]
    matrices = list(zip(weights[::2], weights[1::2], strict=True))

    def leaky(values):
        return np.where(values > 0, values, 0.01 * values)

    def linear(index, values):
        matrix, bias = matrices[index]
        return values @ matrix.T + bias

    values = leaky(linear(0, seen.numpy().reshape(6, -1).astype(np.float64)))
    for block in (1, 3):
        values = leaky(values + linear(block + 1, leaky(linear(block, values))))
    values = leaky(linear(5, values))
    assert matrices[0][0].shape[0] == (hidden_dim or 4)
    assert network(seen).detach().numpy() == pytest.approx(values, abs=1e-6)


def test_the_small_cnn_takes_small_grids_and_says_which_are_too_small():
    """Seven by seven with three channels, four by four; not three by three."""
    import torch
    from gymnasium.spaces import Box

    from rlctl_sb3.extractors import SmallCNN

    for size in (7, 4):
        network = SmallCNN(Box(0, 255, (3, size, size), np.uint8), features_dim=10)
        assert network(torch.rand(2, 3, size, size)).shape == (2, 10)
    with pytest.raises(ValueError, match="at least 4x4"):
        SmallCNN(Box(0, 255, (3, 3, 3), np.uint8))


# ---- in a run ------------------------------------------------------------------------------------------------------

GRID = """
import gymnasium
import numpy as np

class Grid(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 255, (7, 7, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._left = 10
        return self._seen(), {}
    def step(self, action):
        self._left -= 1
        return self._seen(), float(action), self._left == 0, False, {}
    def _seen(self):
        return self.np_random.integers(0, 255, (7, 7, 3), dtype=np.uint8)

gymnasium.register("Grid-v0", Grid)
"""


def test_a_grid_trains_with_the_small_cnn(cli):
    """Its channels are last; SB3 lays them first."""
    (cli.folder / "grids.py").write_text(GRID)
    setting = (
        "hyperparameters.network={features_extractor: {use: SmallCNN, kwargs: {features_dim: 8}}, hidden_sizes: [8]}"
    )
    env = ["--set", "env.imports=[grids]"]
    answer = cli("run", "sb3/dqn", "Grid-v0", *env, "-n", "200", "--set", setting, "--run-id", "g")
    assert answer.code == 0, answer.err


OWN = """
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

class Scaled(BaseFeaturesExtractor):
    def __init__(self, observation_space, features_dim=6):
        super().__init__(observation_space, features_dim)
        self.linear = torch.nn.Linear(observation_space.shape[0], features_dim)
    def forward(self, observations):
        return torch.tanh(self.linear(observations))
"""


def test_a_class_of_ones_own_folder_trains_and_resumes(cli):
    """Without being registered anywhere; its weights are in the checkpoint."""
    (cli.folder / "my_networks.py").write_text(OWN)
    setting = "hyperparameters.network={features_extractor: {use: 'my_networks:Scaled', kwargs: {features_dim: 5}}}"
    sizes = ["--set", "hyperparameters.n_steps=64"]
    stopped = cli("run", "sb3/ppo", "-n", "512", "--stop-at", "192", "--set", setting, *sizes, "--run-id", "own")
    assert stopped.code == 75, stopped.err
    resumed = cli("resume", "own")
    assert resumed.code == 0, resumed.err
    from safetensors.numpy import load_file

    last = cli("runs", "checkpoints", "own", "--json").json()[-1]
    weights = load_file(Path(last["path"]) / "weights.safetensors")
    assert last["step"] == 512
    assert any(tensor.shape == (5, 4) for tensor in weights.values())
