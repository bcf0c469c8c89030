"""The `.cleanrl_model` of a script: written as the script itself would, opened by CleanRL's own code, begun from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.end_to_end.lifecycle import train
from torch import nn

from rlctl import RlctlError
from rlctl.runs.files import read_json
from rlctl_cleanrl.facts import parse
from rlctl_cleanrl.models import saving_statements, write_model
from rlctl_cleanrl.state import ScriptState

DQN = ["cleanrl/dqn", "CartPole-v1", "--set", "hyperparameters.learning_starts=200"]
C51 = ["cleanrl/c51", *DQN[1:]]

OPENED = """
import sys, torch
from pathlib import Path
model, source = map(Path, sys.argv[1:])
from rlctl_cleanrl import shims
shims.install()
sys.path[:0] = [str(source), str(source / "cleanrl")]
import dqn
from cleanrl_utils.evals.dqn_eval import evaluate
returns = evaluate(str(model), dqn.make_env, "CartPole-v1", eval_episodes=3, run_name="e", Model=dqn.QNetwork,
                   device=torch.device("cpu"), capture_video=False)
print(len(returns), min(found.item() for found in returns) >= 8)
"""

ACTOR_AND_CRITIC = """
import torch
if __name__ == "__main__":
    for step in range(args.total_timesteps):
        pass
    if args.save_model:
        model_path = f"runs/{run_name}/{args.exp_name}.cleanrl_model"
        torch.save((actor.state_dict(), qf1.state_dict()), model_path)
        print("saved")
        raise SystemExit("the evaluation that would follow")
"""


@pytest.mark.network
def test_a_run_that_was_stopped_leaves_a_model_that_cleanrls_own_evaluation_opens(cli, cleanrl_cache, tmp_path):
    """It has the weights of the last checkpoint, in the form that the script gives them; what `ppo` never saves is not there."""
    run = train(cli, tmp_path, "run", DQN, "-n", 600, "--stop-at", 300, code=75)
    model = run / "backend" / "dqn.cleanrl_model"
    weights = load_file(run / "checkpoints" / "latest" / "weights.safetensors")
    saved = torch.load(model, weights_only=True)
    source = (read_json(run / "manifest.json") or {})["worker"]["source"]["path"]

    opened = subprocess.run(
        [sys.executable, "-c", OPENED, str(model), source], capture_output=True, text=True, cwd=tmp_path, check=False
    )

    assert {f"q_network/{name}" for name in saved} < set(weights)
    assert all(torch.equal(value, weights[f"q_network/{name}"]) for name, value in saved.items())
    assert opened.stdout.splitlines()[-1:] == ["3 True"], opened.stderr
    assert [path.name for path in run.rglob("*.cleanrl_model")] == [model.name]


@pytest.mark.network
def test_a_training_begins_with_a_model_that_has_the_arguments_beside_its_weights(cli, cleanrl_cache, tmp_path):
    """As c51 saves it; a run that learns nothing keeps the weights, and so does its target network."""
    run = train(cli, tmp_path, "run", C51, "-n", 230)
    model = run / "backend" / "c51.cleanrl_model"
    still = ["--set", "hyperparameters.learning_rate=1e-30", "--seed", "9"]

    child = train(cli, tmp_path, "child", [*C51, *still, "--init-from", str(model)], "-n", 230)

    weights, saved = (load_file(path / "checkpoints/latest/weights.safetensors") for path in (child, run))
    own = {name: value for name, value in saved.items() if name.startswith("q_network/")}
    assert own
    assert all(torch.equal(weights[name], value) for name, value in own.items())
    assert all(torch.equal(weights[f"target_network/{name.partition('/')[2]}"], value) for name, value in own.items())


@pytest.mark.network
def test_a_model_of_another_network_is_refused_with_all_that_differs_before_a_step_is_taken(
    cli, cleanrl_cache, tmp_path
):
    """Names that are unknown or missing, and shapes, in one message."""
    layers = nn.Sequential(nn.Linear(4, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 3))
    state = {f"network.{name}": value for name, value in layers.state_dict().items()}
    state["atoms"] = state.pop("network.0.bias")
    torch.save(state, tmp_path / "other.cleanrl_model")

    train(cli, tmp_path, "run", [*DQN, "--init-from", str(tmp_path / "other.cleanrl_model")], "-n", 400, code=1)

    result = read_json(tmp_path / "run" / "result.json") or {}
    message = result["failure"]["message"]
    assert "q_network/network.0.bias is missing" in message
    assert "q_network/atoms is unknown" in message
    assert "q_network/network.4.weight is (3, 84), not (2, 84)" in message
    assert "q_network/network.4.bias is (3,), not (2,)" in message
    assert (result["step"], result["episodes"]) == (0, 0)
    assert not list((tmp_path / "run" / "checkpoints").glob("step-*"))


@pytest.mark.network
def test_scripts_save_what_they_save(fetched_cleanrl: Path) -> None:
    """Only statements that lead to a file are executed: none of an evaluation, none where nothing is saved."""
    found = {}
    for path in sorted(fetched_cleanrl.glob("cleanrl/snapshots/*/cleanrl/*.py")):
        statements = saving_statements(parse(path.read_bytes(), path))
        found[path.stem] = [type(statement).__name__ for statement in statements]
    assert found["dqn"] == found["dqn_atari"] == ["Assign", "Expr"]
    assert found["c51"] == found["c51_atari"] == ["Assign", "Assign", "Expr"]
    assert found["dqn_jax"] == ["Assign", "With"]
    assert found["ppo"] == found["sac_continuous_action"] == found["td3_continuous_action"] == []


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, Any]]:
    """Return the model that a script with an actor and a critic has left, and the script's globals."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "r").mkdir(parents=True)
    (tmp_path / "ddpg.py").write_text(ACTOR_AND_CRITIC)
    script = globals_of("actor", "qf1") | {"run_name": "r", "torch": torch}
    model = write_model(tmp_path / "ddpg.py", script, tmp_path)
    assert model == tmp_path / "ddpg.cleanrl_model"
    assert "model_path" not in script
    return model, script


def globals_of(*names: str) -> dict[str, Any]:
    """Return globals of a script with these networks, and arguments."""
    args = SimpleNamespace(save_model=False, exp_name="ddpg", total_timesteps=5)
    return {**{name: nn.Linear(3, 2) for name in names}, "args": args}


def test_actor_and_critics_one_after_the_other_are_taken_and_targets_follow(saved: tuple[Path, dict[str, Any]]) -> None:
    """As the scripts for continuous control save them."""
    model, script = saved
    state = ScriptState(with_replay_buffer=True)
    state.script = globals_of("actor", "qf1", "qf1_target", "target_actor")
    state.read_artefact(model, trust=False)
    for name, network in (("actor", "actor"), ("target_actor", "actor"), ("qf1", "qf1"), ("qf1_target", "qf1")):
        assert torch.equal(state.script[name].weight, script[network].weight)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("actor", "qf1", "qf2"), r"network: qf2/weight is missing; qf2/bias is missing\. "),
        (("actor",), r"network: network 2/weight is unknown; network 2/bias is unknown\. "),
    ],
)
def test_more_or_fewer_networks_are_another_model(
    saved: tuple[Path, dict[str, Any]], names: tuple[str, ...], said: str
) -> None:
    """A model of ddpg is none of td3, which has a second critic; nothing of it is taken."""
    state = ScriptState(with_replay_buffer=True)
    state.script = globals_of(*names)
    before = state.script["actor"].weight.clone()
    with pytest.raises(RlctlError, match=said):
        state.read_artefact(saved[0], trust=False)
    assert torch.equal(state.script["actor"].weight, before)
