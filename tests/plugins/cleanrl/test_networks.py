"""A network of one's choice stands for the Agent of a script: built in or one's own, saved, resumed, evaluated, refused in time."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file
from tests.end_to_end.lifecycle import train

from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.files import read_json
from rlctl_cleanrl.agents import NETWORKS
from rlctl_cleanrl.networks import network_class

GRID = spaces.Box(0, 255, (5, 9, 3))
VECTOR = spaces.Box(-1, 1, (4,))
OWN = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, envs):
        super().__init__()
        self.table = nn.Embedding(int(envs.single_observation_space.n), envs.single_action_space.n + 1)

    def get_value(self, x):
        return self.table(x.long())[:, -1:]

    def get_action_and_value(self, x, action=None):
        row = self.table(x.long())
        choice = torch.distributions.Categorical(logits=row[:, :-1])
        action = choice.sample() if action is None else action
        return action, choice.log_prob(action), choice.entropy(), row[:, -1:]

class Mute(nn.Module):
    def get_value(self, x):
        return x

number = 3
"""


def envs_of(observations, actions):
    """What an Agent is made of."""
    return types.SimpleNamespace(single_observation_space=observations, single_action_space=actions)


@pytest.mark.parametrize(("name", "observations"), [("minigrid_cnn", GRID), ("mlp", VECTOR), ("mlp", GRID)])
@pytest.mark.parametrize("actions", [spaces.Discrete(7), spaces.Box(-1, 1, (2,))], ids=["discrete", "box"])
def test_a_built_in_network_has_the_shapes_of_an_agent(name, observations, actions):
    """Grids of any size; the actions that are given are valued, others are drawn."""
    agent = network_class(name)(envs_of(observations, actions))
    x = torch.rand(6, *observations.shape)

    action, log_prob, entropy, value = agent.get_action_and_value(x)

    assert action.shape == ((6,) if isinstance(actions, spaces.Discrete) else (6, 2))
    assert (log_prob.shape, entropy.shape, value.shape) == ((6,), (6,), (6, 1))
    again = agent.get_action_and_value(x, action)
    assert torch.equal(again[0], action) and torch.equal(again[1], log_prob)
    assert torch.equal(agent.get_value(x), value)
    assert all(parameter.grad_fn is None and parameter.requires_grad for parameter in agent.parameters())


def test_the_layers_of_minigrid_cnn_are_those_that_are_documented():
    """On the grid of MiniGrid 64 x 7 x 7 = 3136 numbers become 128."""
    agent = network_class("minigrid_cnn")(envs_of(spaces.Box(0, 255, (7, 7, 3)), spaces.Discrete(7)))
    shapes = {name: tuple(tensor.shape) for name, tensor in agent.named_parameters() if name.endswith("weight")}
    assert list(shapes.values()) == [
        (32, 3, 3, 3), (64, 32, 3, 3), (64, 64, 3, 3), (128, 3136), (128, 128), (7, 128), (128, 128), (1, 128),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "observations"), [("minigrid_cnn", GRID), ("mlp", VECTOR)])
def test_a_built_in_network_begins_orthogonal_and_nearly_indifferent(name, observations):
    """Gain sqrt 2; 0.01 before the actions, 1 before the value; no bias."""
    agent = network_class(name)(envs_of(observations, spaces.Discrete(4)))
    *_, actor = [module for module in agent.actor.modules() if isinstance(module, torch.nn.Linear)]
    *_, critic = [module for module in agent.critic.modules() if isinstance(module, torch.nn.Linear)]
    first = next(module for module in agent.trunk.modules() if hasattr(module, "weight"))
    for layer, gain in ((first, 2**0.5), (actor, 0.01), (critic, 1.0)):
        rows = layer.weight.flatten(1)
        rows = rows if rows.shape[0] <= rows.shape[1] else rows.T
        assert torch.allclose(rows @ rows.T, gain**2 * torch.eye(len(rows)), atol=1e-5)
        assert not layer.bias.any()


REPLACED = """
import sys
from pathlib import Path
from rlctl_cleanrl.launcher import run_script

class StandIn:
    pass

def run(**options):
    hooks = dict(on_iteration=lambda _: True, on_scalar=lambda *_: None, on_episode=lambda *_: None)
    return run_script(Path(sys.argv[1]), [], **hooks, **options)

script = run(agent=StandIn)
assert script["Agent"] is StandIn
assert issubclass(script["Other"], script["Base"]) and script["Other"]().own() == 1
assert run()["Agent"].__name__ == "Agent"
"""


def test_the_agent_of_a_script_is_replaced_and_no_other_class(tmp_path):
    """The file is executed as it is; in a process of its own, as the launcher changes gymnasium."""
    path = tmp_path / "script.py"
    path.write_text(
        "class Base:\n    pass\nclass Agent(Base):\n    pass\n"
        "class Other(Base, metaclass=type):\n    def own(self): return len([1])\n"
        'if __name__ == "__main__":\n    for step in range(2):\n        pass\n'
    )

    command = [sys.executable, "-c", REPLACED, str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


# ---- in runs -------------------------------------------------------------------------------------------------------

MINIGRID = ["cleanrl/ppo", "MiniGrid-Empty-5x5-v0", "--set", "hyperparameters.network=minigrid_cnn"]


@pytest.mark.network
def test_a_grid_is_learned_from_as_it_is_and_the_policy_can_be_used(cli, cleanrl_cache, tmp_path):
    """Nothing is laid flat; the checkpoint has the network's layers, and what evaluates and shows it finds them."""
    pytest.importorskip("minigrid")
    run = train(cli, tmp_path, "r", MINIGRID, "-n", "512")
    log = (run / "logs" / "worker.log").read_text()
    assert "rlctl: observations: the image alone, without direction and mission\n" in log
    bundle = CheckpointFolder(run / "checkpoints").find("latest")
    assert load_file(bundle.path / "weights.safetensors")["agent/trunk.8.weight"].shape == (128, 3136)

    measured = cli("evaluate", run, "--episodes", "2", "--json")
    assert measured.code == 0, measured.err
    assert all(0 <= value <= 1 for value in measured.json()["evaluations"][0]["returns"])
    played = cli("play", run, "--render", "rgb_array", "--episodes", "1", "--json")
    assert played.code == 0, played.err


@pytest.mark.network
def test_a_training_with_another_network_resumes_exactly(cli, cleanrl_cache):
    """On MiniGrid, whose objects are saved."""
    pytest.importorskip("minigrid")
    answer = cli("verify", "resume", *MINIGRID, "-n", "1024", "--json", timeout=280)
    assert answer.code == 0, answer.err
    assert (answer.json()["declared"], answer.json()["differences"]) == ("exact", [])


@pytest.mark.network
def test_a_class_of_ones_own_folder_takes_the_states_as_they_are(cli, cleanrl_cache, tmp_path):
    """A table of FrozenLake's sixteen states, which nobody lays flat."""
    (cli.folder / "own.py").write_text(OWN)
    words = ["cleanrl/ppo", "FrozenLake-v1", "--set", "hyperparameters.network=own:Tiny"]
    run = train(cli, tmp_path, "r", words, "-n", "512")
    assert "observations:" not in (run / "logs" / "worker.log").read_text()
    assert cli("evaluate", run, "--episodes", "2").code == 0


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own:Mute", "own:Mute has no get_action_and_value."),
        ("own:Tny", 'there is no "Tny" in own. Did you mean "Tiny"?'),
        ("own:number", "own:number is no class of torch.nn.Module."),
        ("nowhere:Net", 'cannot import "nowhere": ModuleNotFoundError'),
    ],
)
def test_a_class_that_is_no_agent_fails_before_the_first_step(name, said, tmp_path, monkeypatch):
    """With what it lacks."""
    from rlctl import RlctlError

    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RlctlError) as caught:
        network_class(name)
    assert said in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.network
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ppo", "CartPole-v1", "minigrid_cn"], 'expected minigrid_cnn, mlp or package.module:Class, got "minigrid_cn".'),
        (["ppo", "CartPole-v1", "minigrid_cnn"], "takes grids of shape (height, width, 3), and these are of shape (4,)"),
        (["dqn", "CartPole-v1", "mlp"], "hyperparameters.network: cleanrl/dqn has no such setting."),
        (["rpo_continuous_action", "Pendulum-v1", "mlp"], "cleanrl/rpo_continuous_action has no such setting."),
        (["ppo_continuous_action", "Pendulum-v1", "minigrid_cnn"], "lays observations flat, and minigrid_cnn takes grids"),
    ],
    ids=["unknown", "no grid", "no agent", "more than a network", "flat"],
)  # fmt: skip
def test_what_cannot_be_is_said_before_anything_starts(words, said, fast_cli, cleanrl_cache, rlctl_env):
    """With the script, the reason, and what would do."""
    algo, env, network = words
    outcome = fast_cli("run", f"cleanrl/{algo}", env, "--set", f"hyperparameters.network={network}")
    assert (outcome.code, said in outcome.err) == (2, True), outcome.err


@pytest.mark.network
def test_a_mlp_stands_for_the_network_of_continuous_actions(cli, cleanrl_cache, tmp_path):
    """Its deviations are learned, too."""
    words = ["cleanrl/ppo_continuous_action", "Pendulum-v1", "--set", "hyperparameters.network=mlp"]
    run = train(cli, tmp_path, "r", [*words, "--set", "hyperparameters.num_steps=256"], "-n", "512")
    assert read_json(run / "config.json")["config"]["hyperparameters"]["network"] in NETWORKS
    assert cli("evaluate", run, "--episodes", "1").code == 0


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.timeout(1800)
def test_ppo_with_the_minigrid_cnn_solves_the_empty_room(cli, cleanrl_cache, tmp_path):
    """A mean return of 0.9, of the last hundred episodes, within 200,000 steps; the best that can be had is 0.955."""
    pytest.importorskip("minigrid")
    words = [*MINIGRID, "--num-envs", "8", "--set", "hyperparameters.learning_rate=0.001"]
    stop = ["--set", "early_stopping.metric=training", "--set", "early_stopping.threshold=0.9"]
    outcome = cli("run", *words, *stop, "-n", "200000", "--run-id", "r", "--runs-dir", tmp_path, timeout=1700)
    assert outcome.code == 0, outcome.err
    assert (read_json(tmp_path / "r" / "result.json") or {})["return_mean"] >= 0.9
