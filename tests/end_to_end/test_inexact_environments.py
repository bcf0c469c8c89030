"""Environments that nobody has checked resume as `state`: the run says so, and `verify resume` does not claim more."""

from __future__ import annotations

import pytest
from tests.end_to_end.lifecycle import CLEANRL_PPO, DQN, SB3_PPO, events, train

# Its drift is in a closure, where nobody can see it.
SOURCE = """
import itertools
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv


class Drifting(CartPoleEnv):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        steps = itertools.count()
        self.drift = lambda: next(steps) * 1e-4

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward + self.drift(), terminated, truncated, info


gymnasium.register("Drifting-v0", Drifting, max_episode_steps=500)
"""
OWN = ["dqn", "--set", "hyperparameters.learning_starts=200"]
REASON = "nobody has checked that all of the state of drifting.Drifting is saved"


@pytest.fixture
def drifting(site, tmp_path):
    """Return the words that let a run use an environment with hidden state."""
    (tmp_path / "drifting.py").write_text(SOURCE)
    site(tmp_path)
    return ["--set", "env.imports=[drifting]", "--set", "env.id=Drifting-v0"]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(DQN, id="dqn"),
        pytest.param(SB3_PPO, id="sb3", marks=pytest.mark.slow),
        pytest.param(CLEANRL_PPO, id="cleanrl", marks=pytest.mark.slow),
    ],
)
def test_a_run_in_an_unknown_environment_says_once_that_it_is_not_exact(words, drifting, cli, cleanrl_cache, tmp_path):
    """The log and the events have one sentence each, also when the run is resumed."""
    run = train(cli, tmp_path, "r", [words[0], *words[2:], *drifting], "-n", "512", "--stop-at", "128", code=75)

    resumed = cli("resume", run)

    assert resumed.code == 0, resumed.err
    assert [event["reason"] for event in events(run, "resume_limited")] == [REASON]
    assert [event["resume"] for event in events(run, "resume_limited")] == ["state"]
    assert next(run.glob("logs/*")).read_text().count(REASON) == 1


def test_verify_resume_reports_what_differs_and_claims_no_exactness(drifting, cli):
    """The hidden drift starts anew, which is a difference; `state` promises nothing else, so the exit code is 0."""
    answer = cli("verify", "resume", *OWN, *drifting, "-n", "300", "--json")

    assert answer.code == 0, answer.err
    assert answer.json()["declared"] == "state"
    assert "episode" in answer.json()["differences"][0]


@pytest.mark.slow
def test_without_its_replay_buffer_a_run_is_not_exact(cli):
    """`checkpoint.replay_buffer: false` is a choice, and `verify resume` says what it costs."""
    answer = cli("verify", "resume", *DQN, "-n", "600", "--set", "checkpoint.replay_buffer=false", "--json")

    assert answer.code == 0, answer.err
    assert answer.json()["declared"] == "state"
    assert answer.json()["differences"]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["sb3/dqn", "cleanrl/dqn"])
def test_every_backend_says_so_of_a_run_without_its_replay_buffer(target, cli, cleanrl_cache, tmp_path):
    """One event names the replay buffer."""
    run = train(cli, tmp_path, "r", [target, "CartPole-v1", *DQN[2:]], "-n", "300", "--set",
                "checkpoint.replay_buffer=false")  # fmt: skip

    assert [event["reason"] for event in events(run, "resume_limited")] == ["its replay buffer is not saved"]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["sb3/ppo", "cleanrl/ppo"])
def test_a_run_in_a_known_environment_has_nothing_to_say(target, cli, cleanrl_cache, tmp_path):
    """CartPole is known to the last variable."""
    run = train(cli, tmp_path, "r", [target, "CartPole-v1"], "-n", "256")

    assert events(run, "resume_limited") == []
