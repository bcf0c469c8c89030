"""Curricula in real trainings of every backend: each environment plays the stages, evaluated in the last, resumed exactly."""

from __future__ import annotations

import pytest
from tests.end_to_end.lifecycle import episodes, events, resumed_from, train

from rlctl.runs.files import read_json, read_lines

slow = pytest.mark.slow
CONFIG = """
env:
  curriculum:
    - {env: {id: CartPole-v1, max_episode_steps: 12}, episodes: 8}
    - {env: {id: CartPole-v1, max_episode_steps: 15}, until: "steps>=200 & episode_return>=5", window: 5}
    - {env: {id: CartPole-v1, max_episode_steps: 18}}
"""
LONGEST = [12, 15, 18]
TARGETS = {
    "dqn": ["dqn", "--set", "hyperparameters.learning_starts=150", "--num-envs", "2"],
    "dqn, async": ["dqn", "--set", "hyperparameters={learning_starts: 150, vectorization: async}", "--num-envs", "2"],
    "sb3/ppo": ["sb3/ppo", "--set", "hyperparameters.n_steps=32", "--num-envs", "3"],
    "sb3/ppo, async": ["sb3/ppo", "--set", "hyperparameters={n_steps: 32, vectorization: async}", "--num-envs", "2"],
    "cleanrl/ppo": ["cleanrl/ppo", "--set", "hyperparameters.num_steps=8"],
}
KEPT = ["--set", "checkpoint={every_steps: 32, keep_last: null}"]


@pytest.fixture
def stages(tmp_path):
    """A curriculum in a file: CartPole, with longer and longer episodes."""
    path = tmp_path / "stages.yaml"
    path.write_text(CONFIG)
    return ["-c", str(path)]


def _checked(whole):
    """See that each environment has played all stages, in their order, and return the two changes."""
    played = episodes(whole)
    assert [max(line["length"] for line in played if line["stage"] == stage) for stage in range(3)] == LONGEST
    for environment in {line["env"] for line in played}:
        order = [line["stage"] for line in played if line["env"] == environment]
        assert order == sorted(order)
        assert set(order) == {0, 1, 2}
    first, second = events(whole, "stage_changed")
    assert (first["stage"], second["stage"]) == (1, 2)
    assert first["reason"] == "episodes>=8"
    assert events(whole, "resume_limited") == []
    return first, second


@pytest.mark.parametrize(
    "target", [pytest.param(name, marks=slow if name in ("dqn", "sb3/ppo, async") else ()) for name in TARGETS]
)
def test_every_environment_plays_every_stage(target, cli, cleanrl_cache, stages, tmp_path):
    """In this process and in processes of their own."""
    _checked(train(cli, tmp_path, "r", [*stages, *TARGETS[target], "--seed", "3"], "-n", "768"))


@pytest.mark.parametrize("target", [pytest.param(name, marks=() if name == "sb3/ppo" else slow) for name in TARGETS])
def test_a_run_resumed_around_a_change_is_the_uninterrupted_one(target, cli, cleanrl_cache, stages, tmp_path):
    """From the last checkpoint before the first change, and from the first one after it."""
    whole = train(cli, tmp_path, "whole", [*stages, *TARGETS[target], "--seed", "3"], "-n", "768", *KEPT)
    change, _ = _checked(whole)
    saved = [line["step"] for line in events(whole, "checkpoint_saved")]
    assert resumed_from(cli, whole, max(step for step in saved if step < change["step"])) == []
    assert resumed_from(cli, whole, min(step for step in saved if step >= change["step"])) == []


@slow
@pytest.mark.parametrize("target", ["dqn", "sb3/ppo", "cleanrl/ppo"])
def test_verify_resume_takes_a_curriculum(target, cli, cleanrl_cache, stages):
    answer = cli("verify", "resume", *stages, *TARGETS[target], "-n", "768", "--device", "cpu", "--json", timeout=280)
    assert answer.code == 0, answer.err
    assert (answer.json()["declared"], answer.json()["differences"]) == ("exact", [])


def test_a_policy_is_evaluated_in_the_last_stage(cli, stages, tmp_path):
    """During the training, while the stages before it are played, and afterwards."""
    words = [*stages, "sb3/ppo", "--set", "hyperparameters.n_steps=32", "--evaluate-every", "64"]
    run = train(cli, tmp_path, "r", words, "-n", "128", "--set", "early_stopping={threshold: 1000}")
    evaluations = list(read_lines(run / "evaluations.jsonl"))
    assert max(line["stage"] for line in episodes(run) if line["step"] <= 64) == 0
    assert max(max(line["lengths"]) for line in evaluations) <= 18
    assert read_json(run / "manifest.json")["env"]["max_episode_steps"] == 18

    measured = cli("evaluate", run, "--episodes", "20", "--stochastic", "--json").json()

    assert max(measured["evaluations"][0]["lengths"]) == 18


def test_the_last_stage_may_end_the_run(cli, tmp_path):
    stages = "env.curriculum=[{env_id: CartPole-v1, episodes: 2}, {env_id: CartPole-v1, episodes: 3}]"
    run = train(
        cli, tmp_path, "r", ["dqn", "--set", stages, "--set", "hyperparameters.learning_starts=150"], "-n", "4000"
    )
    result = read_json(run / "result.json")
    assert (result["status"], result["stopped_by"]) == ("finished", "curriculum")
    assert len(episodes(run)) == 5


def test_minigrid_grows(cli, tmp_path):
    """The preset's environments in a wrapper: each stage is a larger grid, seen through the same window."""
    pytest.importorskip("minigrid")
    stages = (
        "env={wrappers: ['minigrid.wrappers:ImgObsWrapper'], max_episode_steps: 20, curriculum: "
        "[{env_id: MiniGrid-Empty-5x5-v0, episodes: 2}, {env_id: MiniGrid-Empty-6x6-v0, episodes: 2}, "
        "{env_id: MiniGrid-Empty-8x8-v0}]}"
    )
    words = ["dqn", "--set", stages, "--set", "hyperparameters={learning_starts: 60, batch_size: 32, buffer_size: 500}"]
    whole = train(cli, tmp_path, "whole", words, "-n", "160", "--set", "checkpoint={every_steps: 40, keep_last: null}")
    assert [line["env_id"] for line in events(whole, "stage_changed")] == [
        "MiniGrid-Empty-6x6-v0",
        "MiniGrid-Empty-8x8-v0",
    ]
    assert events(whole, "resume_limited") == []
    saved = [line["step"] for line in events(whole, "checkpoint_saved")]
    assert resumed_from(cli, whole, saved[1]) == []


# ---- before the start -----------------------------------------------------------------------------------------------


def test_all_that_is_wrong_with_the_stages_is_said_before_the_start(cli):
    """Other spaces, an environment that does not exist, a wrapper that cannot be put around it, each with its place."""
    stages = (
        "env.curriculum=[{env_id: CartPole-v1, steps: 5}, {env_id: Acrobot-v1, steps: 5}, {env_id: CartPole-v9, steps: 5}, "
        "{env: {id: CartPole-v1, wrappers: ['gymnasium.wrappers:Nothing']}}]"
    )
    refused = cli("run", "dqn", "--set", stages, "--dry-run")
    assert refused.code != 0
    assert (
        "env.curriculum[1]: Acrobot-v1 has another observation space than env.curriculum[0], CartPole-v1" in refused.err
    )
    assert 'env.curriculum[2]: CartPole-v9: there is no environment "CartPole-v9".' in refused.err
    assert "env.curriculum[3].env.wrappers[0]: CartPole-v1: there is no" in refused.err


def test_native_vectorisation_is_refused(fast_cli, stages):
    refused = fast_cli("run", "dqn", *stages, "--set", "hyperparameters.vectorization=native", "--dry-run")
    assert (
        "hyperparameters.vectorization: native steps all at once, env.curriculum changes them one by one."
        in refused.err
    )
