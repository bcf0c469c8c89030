"""Policies of every backend are evaluated, in training and afterwards, and it is what the libraries themselves would find."""

from __future__ import annotations

import json

import gymnasium
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from tests.end_to_end.lifecycle import CLEANRL_DQN, DQN, SB3_PPO, episodes, train

from rlctl.evaluations import evaluations_of
from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.files import read_json, read_lines
from rlctl.torch.data import read_data

CONTINUOUS = ["cleanrl/ppo_continuous_action", "Pendulum-v1", "--set", "hyperparameters.num_steps=128", "--set",
              "hyperparameters.num_minibatches=4"]  # fmt: skip
SEEDS = [100, 101, 102]


def _returns(cli, target, *options):
    """Evaluate three episodes of known seeds, one after the other."""
    answer = cli("evaluate", target, "--episodes", 3, "--seed", 100, "--num-envs", 1, *options, "--json")
    assert answer.code == 0, answer.err
    return answer.json()["evaluations"][0]["returns"]


def _played(env, act):
    """Return the returns of the same episodes, played by hand."""
    found = []
    for seed in SEEDS:
        observation, _ = env.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            observation, reward, terminated, truncated, _ = env.step(act(observation))
            total, ended = total + float(reward), terminated or truncated
        found.append(total)
    return found


def _latest(run):
    return CheckpointFolder(run / "checkpoints").find("latest").path


def test_sb3_is_evaluated_as_by_its_own_predict(cli, tmp_path):
    """The checkpoint's returns are those of `PPO.load("model.zip").predict(..., deterministic=True)`."""
    run = train(cli, tmp_path, "run", SB3_PPO, "-n", 1024)
    model = PPO.load(run / "backend" / "model.zip", device="cpu")

    by_hand = _played(gymnasium.make("CartPole-v1"), lambda seen: int(model.predict(seen, deterministic=True)[0]))

    assert _returns(cli, run) == by_hand
    assert _returns(cli, run / "backend" / "model.zip", "-w", "sb3/ppo", "--env", "CartPole-v1") == by_hand
    assert _returns(cli, run, "--stochastic") != by_hand


def test_sb3_is_evaluated_with_the_statistics_of_its_training(cli, tmp_path):
    """Observations are normalised by what VecNormalize had learned, which an evaluation neither forgets nor goes on with."""
    run = train(cli, tmp_path, "run", [*SB3_PPO, "--set", "hyperparameters.normalize=true"], "-n", 1024)
    model = PPO.load(run / "backend" / "model.zip", device="cpu")
    venv = DummyVecEnv([lambda: gymnasium.make("CartPole-v1")])
    statistics = VecNormalize.load(str(run / "backend" / "vecnormalize.pkl"), venv)

    def act(seen):
        return int(model.predict(statistics.normalize_obs(seen[None]), deterministic=True)[0][0])

    assert _returns(cli, run) == _returns(cli, run) == _played(gymnasium.make("CartPole-v1"), act)


def test_cleanrl_is_evaluated_with_the_statistics_of_its_training(cli, cleanrl_cache, tmp_path):
    """The mean action of the script's network, on observations normalised and clipped as its own wrappers do."""
    run = train(cli, tmp_path, "run", CONTINUOUS, "-n", 512)
    weights = load_file(_latest(run) / "weights.safetensors")
    (statistics,) = read_data(_latest(run), "normalization")

    def act(seen):
        scaled = (seen - statistics["mean"]) / np.sqrt(statistics["var"] + 1e-8)
        hidden = torch.as_tensor(np.clip(scaled, -10, 10), dtype=torch.float32)
        for layer in (0, 2):
            weight, bias = (weights[f"agent/actor_mean.{layer}.{name}"] for name in ("weight", "bias"))
            hidden = torch.tanh(hidden @ weight.T + bias)
        mean = hidden @ weights["agent/actor_mean.4.weight"].T + weights["agent/actor_mean.4.bias"]
        return np.clip(mean.numpy(), -2.0, 2.0)

    assert _returns(cli, run) == pytest.approx(_played(gymnasium.make("Pendulum-v1"), act), rel=1e-4)


def test_a_model_of_cleanrls_own_is_evaluated(cli, cleanrl_cache, tmp_path):
    """A `.cleanrl_model`, written by torch.save, gives the returns of the network that is in it, without any trust."""
    run = train(cli, tmp_path, "run", CLEANRL_DQN, "-n", 400)
    weights = load_file(_latest(run) / "weights.safetensors")
    own = {name.removeprefix("q_network/"): value for name, value in weights.items() if name.startswith("q_network/")}
    torch.save(own, tmp_path / "dqn.cleanrl_model")

    evaluated = _returns(cli, tmp_path / "dqn.cleanrl_model", "-w", "cleanrl/dqn", "--env", "CartPole-v1")

    assert evaluated == _returns(cli, run)


def test_evaluations_are_recorded_with_the_checkpoints_they_are_of(cli, tmp_path):
    """Each names seeds that training never had and the hash of its bundle; `best` means the best of them, the later of equals."""
    run = train(
        cli, tmp_path, "run", [*DQN, "--evaluate-every", "400", "--set", "checkpoint.keep_last=null"], "-n", 1200
    )
    evaluations = evaluations_of(read_lines(run / "evaluations.jsonl"))
    bundles = {bundle.step: bundle.sha256() for bundle in CheckpointFolder(run / "checkpoints").all()}
    best = max(evaluations, key=lambda item: (item.return_mean, item.step))

    assert [item.step for item in evaluations] == [400, 800, 1200]
    assert [item.checkpoint for item in evaluations] == [bundles[item.step] for item in evaluations]
    assert all(1 not in [episode.seed for episode in item.measured] for item in evaluations)
    assert CheckpointFolder(run / "checkpoints").find("best").step == best.step
    result = read_json(run / "result.json")
    assert (result["best_step"], result["best_return"]) == (best.step, best.return_mean)


def test_an_evaluation_afterwards_is_kept_with_the_run_and_changes_nothing_else(cli, tmp_path):
    """Only evaluations_after.jsonl is new; its seeds are others than those by which the best was chosen."""
    run = train(cli, tmp_path, "run", [*DQN, "--evaluate-every", "400"], "-n", 800)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    answer = cli("evaluate", run, "--checkpoint", "best", "--episodes", 4, "--repeat", 2, "--gamma", 0.5, "--json")

    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    lines = [json.loads(line) for line in after.pop(run / "evaluations_after.jsonl").splitlines()]
    assert after == before
    assert len(lines) == 2
    seeds = [seed for line in lines for seed in line["seeds"]]
    chosen_by = {seed for line in read_lines(run / "evaluations.jsonl") for seed in line["seeds"]}
    assert len(set(seeds)) == 8
    assert not chosen_by & set(seeds)
    assert answer.json()["episodes"] == 8
    # CartPole pays 1 a step: the discounted return follows from the length.
    assert [line["discounted_returns"] for line in lines] == [
        pytest.approx([2 - 0.5 ** (length - 1) for length in line["lengths"]]) for line in lines
    ]


def test_what_a_policy_expects_is_held_against_what_it_reached(cli, tmp_path):
    """The highest value of the saved network at each seed's first observation, minus the discounted return of that episode."""
    run = train(cli, tmp_path, "run", DQN, "-n", 600)
    hidden = torch.tensor(np.stack([gymnasium.make("CartPole-v1").reset(seed=seed)[0] for seed in SEEDS]))
    weights = load_file(_latest(run) / "weights.safetensors")
    for layer in (0, 2, 4):
        values = hidden @ weights[f"layers.{layer}.weight"].T + weights[f"layers.{layer}.bias"]
        hidden = torch.relu(values)
    expected = values.amax(dim=1).tolist()

    asked = ("evaluate", run, "--episodes", 3, "--seed", 100)
    (line,) = cli(*asked, "--json").json()["evaluations"]

    assert line["values"] == pytest.approx(expected, rel=1e-5)
    assert line["value_mean"] == pytest.approx(np.mean(expected), rel=1e-5)
    assert line["overestimation"] == pytest.approx(np.mean(expected) - line["discounted_return_mean"], rel=1e-5)
    assert f"estimates   {line['value_mean']:.2f} by the policy itself" in cli(*asked).out
    for other in ("--stochastic", "--gamma=0.5"):
        answer = cli(*asked, other)
        assert (answer.code, "estimates" in answer.out) == (0, False)


def test_asking_sb3s_dqn_what_it_expects_does_not_disturb_its_training(cli, tmp_path):
    """The evaluations have its estimates, and the training has the episodes that it has without them."""
    words = ["sb3/dqn", "CartPole-v1", "--set", "hyperparameters.learning_starts=100"]
    asked = train(cli, tmp_path, "asked", [*words, "--evaluate-every", "200"], "-n", 600)
    alone = train(cli, tmp_path, "alone", words, "-n", 600)

    lines = read_lines(asked / "evaluations.jsonl")
    assert [len(set(line["values"])) for line in lines] == [10, 10, 10]
    assert episodes(asked) == episodes(alone)


def test_a_training_that_is_good_enough_ends_early(cli, tmp_path):
    """A threshold that any policy reaches ends the run at its first evaluation; it goes on only without early stopping."""
    stopping = ["--evaluate-every", "300", "--set", "early_stopping.threshold=1"]
    run = train(cli, tmp_path, "run", [*DQN, *stopping], "-n", 1200)
    result = read_json(run / "result.json")

    assert (result["status"], result["step"], result["stopped_by"]) == ("finished", 300, "early_stopping")
    assert "reached the threshold 1" in result["reason"]
    refused = cli("resume", run)
    assert (refused.code, "--no-early-stopping" in refused.err) == (2, True)
    assert cli("resume", run, "--no-early-stopping").code == 0
    assert read_json(run / "result.json")["step"] == 1200


@pytest.mark.parametrize("words", [DQN, SB3_PPO, CLEANRL_DQN], ids=["dqn", "sb3", "cleanrl"])
def test_fine_tuning_begins_with_the_parents_policy(words, cli, cleanrl_cache, tmp_path):
    """A run that learns nothing has the policy that it began with: its parent's, not a new one."""
    parent = train(cli, tmp_path, "parent", words, "-n", 640)
    still = ["--set", "hyperparameters.learning_rate=1e-30", "--seed", "9"]
    child = train(cli, tmp_path, "child", [*words, *still, "--init-from", "parent"], "-n", 640)
    stranger = train(cli, tmp_path, "stranger", [*words, *still], "-n", 640)

    assert _returns(cli, child) == _returns(cli, parent)
    assert _returns(cli, stranger) != _returns(cli, parent)
    manifest = read_json(child / "manifest.json")
    assert (manifest["parent"]["run_id"], manifest["parent"]["checkpoint_step"]) == ("parent", 640)


def test_weights_of_another_network_are_refused_with_what_differs(cli, tmp_path):
    """Nothing is trained; the message names the first parameters of another shape."""
    run = train(cli, tmp_path, "run", DQN, "-n", 300)
    weights = load_file(run / "backend" / "q_network.safetensors")
    save_file({**weights, "layers.4.bias": torch.zeros(7)}, tmp_path / "other.safetensors")

    answer = cli("evaluate", tmp_path / "other.safetensors", "-w", "dqn", "--env", "CartPole-v1")

    assert answer.code == 1
    assert "online/layers.4.bias is (7,), not (2,)" in answer.err


def test_an_interruption_is_rehearsed(cli, tmp_path):
    """`--rehearse-stop` sends a real signal at a third, resumes, compares, and leaves nothing behind."""
    words = [*DQN, "--set", "hyperparameters.train_frequency=1", "-n", "4000", "--evaluate-every", "1000"]
    answer = cli("run", *words, "--rehearse-stop", "--json", "--runs-dir", tmp_path / "runs", timeout=200)

    assert answer.code == 0, answer.err
    found = answer.json()
    assert (found["holds"], found["differences"], found["steps"]) == (True, [], 4000)
    assert 0 < found["stopped_at"] < 4000
    assert not (tmp_path / "runs").exists()


def test_films_are_made_of_each_episode(cli, tmp_path):
    """`--video` leaves one film an episode, of as many frames as it had steps and its beginning."""
    imageio = pytest.importorskip("imageio.v2")
    pytest.importorskip("imageio_ffmpeg")
    pytest.importorskip("pygame", reason="CartPole draws with it")
    run = train(cli, tmp_path, "run", DQN, "-n", 300)

    answer = cli("evaluate", run, "--episodes", 2, "--video", "--json")

    (evaluation,) = answer.json()["evaluations"]
    frames = {imageio.get_reader(path).count_frames() for path in evaluation["videos"]}
    assert len(evaluation["videos"]) == 2
    assert frames == {length + 1 for length in evaluation["lengths"]}
