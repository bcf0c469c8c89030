"""Hindsight experience replay (HER) as settings, in environments with goals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlctl_sb3.checks import problems_in

BITS = """
import gymnasium

ENTRY = "stable_baselines3.common.envs:BitFlippingEnv"
gymnasium.register("Bits-v0", entry_point=ENTRY, kwargs={"n_bits": 6, "continuous": False, "max_steps": 6})
"""
HER = "stable_baselines3:HerReplayBuffer"
SETTINGS = [
    "--set", "env.imports=[bits]", "--set", f"hyperparameters.replay_buffer_class={HER}",
    "--set", "hyperparameters.replay_buffer_kwargs={n_sampled_goal: 4, goal_selection_strategy: future}",
    "--set", "hyperparameters.learning_starts=100", "--set", "hyperparameters.learning_rate=0.001",
]  # fmt: skip


@pytest.fixture
def bits(cli):
    """A module in the user's folder that registers an environment with goals."""
    (cli.folder / "bits.py").write_text(BITS)


def test_a_training_with_goals_goes_on_where_it_was_stopped(bits, cli):
    """Which episode a transition is of, and where the running ones began, are part of the replay buffer."""
    answer = cli("verify", "resume", "sb3/dqn", "Bits-v0", "-n", "600", *SETTINGS, "--json", timeout=280)

    assert answer.code == 0, answer.err
    assert (answer.json()["holds"], answer.json()["declared"]) == (True, "exact")


def test_hindsight_learns_what_sparse_rewards_alone_do_not_teach(bits, cli):
    """Six bits are all flipped within 3,000 steps; the run is SB3's own, with the policy that a Dict needs."""
    answer = cli("run", "sb3/dqn", "Bits-v0", "-n", "3000", *SETTINGS, "--json", timeout=280)

    assert answer.code == 0, answer.err
    folder = Path(answer.json()["directory"])
    returns = [json.loads(line)["return"] for line in (folder / "episodes.jsonl").read_text().splitlines()]
    assert sum(returns[-100:]) / 100 > -3
    assert sum(returns[:50]) / 50 < -5
    from stable_baselines3 import DQN
    from stable_baselines3.common.envs import BitFlippingEnv

    model = DQN.load(folder / "backend" / "model.zip", env=BitFlippingEnv(6, max_steps=6))
    assert (type(model.policy).__name__, model.replay_buffer_class.__name__) == ("MultiInputPolicy", "HerReplayBuffer")


def test_infos_that_are_kept_for_rewards_are_named_as_what_a_resume_lacks(bits, cli):
    """They can be anything, so they are no data."""
    kept = "hyperparameters.replay_buffer_kwargs={copy_info_dict: true}"
    answer = cli("run", "sb3/dqn", "Bits-v0", "-n", "200", *SETTINGS, "--set", kept, "--json")

    assert answer.code == 0, answer.err
    events = (Path(answer.json()["directory"]) / "events.jsonl").read_text()
    assert '"resume": "state", "reason": "the infos in its replay buffer are not saved"' in events


def test_an_environment_without_goals_is_an_error_that_says_what_is_needed(cli):
    """SB3 itself only says that its buffer wants a dictionary."""
    answer = cli("run", "sb3/dqn", "CartPole-v1", "-n", "200", "--set", f"hyperparameters.replay_buffer_class={HER}")

    assert answer.code == 1
    assert "CartPole-v1 has none" in answer.err
    assert "achieved_goal, desired_goal" in answer.err


def test_arguments_that_the_buffer_does_not_take_are_refused_before_anything_starts():
    """All at once, with suggestions; another class may take anything."""
    wrong = {"n_sampled_gaol": 3, "goal_selection_strategy": "futur", "copy_info_dict": 1}
    settings = {"replay_buffer_class": HER, "replay_buffer_kwargs": wrong}
    problems = {problem.path: problem.hint for problem in problems_in(settings, "sac")}

    assert problems == {
        "hyperparameters.replay_buffer_kwargs.n_sampled_gaol": 'Did you mean "n_sampled_goal"?',
        "hyperparameters.replay_buffer_kwargs.goal_selection_strategy": 'Did you mean "future"?',
        "hyperparameters.replay_buffer_kwargs.copy_info_dict": None,
    }
    assert not list(problems_in({**settings, "replay_buffer_class": "mine:Buffer"}, "sac"))
