"""Each backend trains for real, through the command line, and leaves the same files under the same names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

RUNS = {
    "dqn": ["dqn", "--set", "hyperparameters.learning_starts=1000"],
    "sb3/ppo": ["sb3/ppo"],
    "cleanrl/dqn": ["cleanrl/dqn", "--set", "hyperparameters.learning_starts=1000"],
}


@pytest.mark.parametrize("target", RUNS)
def test_a_run_of_twenty_thousand_steps_leaves_the_same_files_for_every_backend(target, cli, cleanrl_cache, tmp_path):
    """config, manifest, status, result, metrics and episodes have the same names and keys whatever trained."""
    answer = cli("run", *RUNS[target], "-n", "20000", "--run-id", "r", "--runs-dir", tmp_path, "--json", timeout=280)

    assert answer.code == 0, answer.err
    folder = tmp_path / "r"
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "finished"
    assert 20_000 <= result["step"] < 20_000 + 2_048
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["seed"] == 1
    assert {"packages", "git", "hardware", "python", "worker", "device"} <= set(manifest)
    config = json.loads((folder / "config.json").read_text())
    assert config["origins"]["total_timesteps"] == "--total-timesteps"
    episodes = _lines(folder / "episodes.jsonl")
    assert len(episodes) == result["episodes"] > 20
    assert all(set(line) == {"episode", "step", "return", "length", "env", "seconds"} for line in episodes)
    assert sum(line["length"] for line in episodes) <= result["step"]
    named = {name for line in _lines(folder / "metrics.jsonl") for name in line["values"]}
    assert "train/loss" in named


@pytest.mark.parametrize("algo", ["a2c", "dqn", "sac", "td3", "ddpg"])
def test_an_sb3_algorithm_trains_and_leaves_a_model_that_sb3_opens(algo, cli, tmp_path):
    """backend/model.zip is SB3's own: the library's class loads it."""
    import stable_baselines3

    answer = cli("run", f"sb3/{algo}", "-n", "300", "--run-id", "r", "--runs-dir", tmp_path, timeout=120)

    assert answer.code == 0, answer.err
    model = getattr(stable_baselines3, algo.upper()).load(tmp_path / "r" / "backend" / "model.zip", device="cpu")
    assert model.num_timesteps >= 300


def test_sb3_leaves_its_model_after_a_budget_in_episodes_too(cli, tmp_path):
    """There rlctl replaces a method in the model, which is not saved with it."""
    import stable_baselines3

    settings = ("--set", "hyperparameters.n_steps=64")
    answer = cli("run", "sb3/ppo", *settings, "--total-episodes", 8, "--run-id", "r", "--runs-dir", tmp_path)

    assert answer.code == 0, answer.err
    model = stable_baselines3.PPO.load(tmp_path / "r" / "backend" / "model.zip", device="cpu")
    assert "_update_current_progress_remaining" not in vars(model)


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]
