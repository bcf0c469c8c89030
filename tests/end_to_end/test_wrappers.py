"""`env.wrappers` in real runs of every backend: seen by the policy, checked before the start, resumed, refused with a place."""

from __future__ import annotations

import json

import pytest
from tests.end_to_end.lifecycle import events, train

from rlctl.runs.files import read_json

DISCRETE = "env.wrappers=[{use: 'gymnasium.wrappers:DiscretizeAction', kwargs: {bins: 3}}]"
"""Makes Pendulum's torque one of three, so that a DQN can act."""
TARGETS = {
    "dqn": ["--set", "hyperparameters.learning_starts=150"],
    "sb3/dqn": ["--set", "hyperparameters.learning_starts=150"],
    "cleanrl/dqn": ["--set", "hyperparameters.learning_starts=150"],
}
STACKED = "env.wrappers=[{use: 'gymnasium.wrappers:FrameStackObservation', kwargs: {stack_size: 3}}]"
FLAT_STACK = STACKED.replace("}}]", "}}, 'gymnasium.wrappers:FlattenObservation']")
NORMALIZED = "env.wrappers=['gymnasium.wrappers:TimeAwareObservation', 'gymnasium.wrappers:NormalizeObservation']"
OWN = """
import gymnasium

class Louder(gymnasium.RewardWrapper):
    def reward(self, reward):
        return 10 * reward
"""


@pytest.mark.parametrize("target", TARGETS)
def test_what_fits_is_decided_behind_the_wrappers(target, cli, cleanrl_cache, tmp_path):
    """Each backend trains in them, and its policy is measured and filmed in them."""
    run = train(cli, tmp_path, "r", [target, "Pendulum-v1", *TARGETS[target], "--set", DISCRETE], "-n", "250")
    assert read_json(run / "manifest.json")["spaces"]["action"].startswith("Discrete(3")

    measured = cli("evaluate", run, "--episodes", "1", "--json")

    assert measured.code == 0, measured.err
    assert measured.json()["evaluations"][0]["returns"][0] < 0


def test_without_them_it_is_refused(fast_cli):
    """So the test above says something."""
    assert "env.id: Pendulum-v1 has box actions" in fast_cli("run", "dqn", "Pendulum-v1", "--dry-run").err


@pytest.mark.parametrize(
    ("target", "more", "wrappers"),
    [
        ("sb3/ppo", ["--set", "hyperparameters.n_steps=64"], NORMALIZED),
        pytest.param("dqn", TARGETS["dqn"], NORMALIZED, marks=pytest.mark.slow),
        pytest.param("cleanrl/dqn", TARGETS["cleanrl/dqn"], FLAT_STACK, marks=pytest.mark.slow),
    ],
)
def test_a_training_in_wrappers_resumes_exactly(target, more, wrappers, cli, cleanrl_cache):
    """What the wrappers remember is part of the checkpoint."""
    words = ["verify", "resume", target, "CartPole-v1", *more, "--set", wrappers]
    answer = cli(*words, "-n", "512", "--json", timeout=280)
    assert answer.code == 0, answer.err
    assert (answer.json()["declared"], answer.json()["differences"]) == ("exact", [])


def test_a_wrapper_of_ones_own_folder_is_said_to_be_unchecked_and_changes_no_result(cli, tmp_path):
    """Episodes count what the environment gives, ten times less than what the agent gets."""
    (cli.folder / "loud.py").write_text(OWN)
    words = ["sb3/ppo", "CartPole-v1", "--set", "hyperparameters.n_steps=64", "--set", "env.wrappers=['loud:Louder']"]
    run = train(cli, tmp_path, "r", words, "-n", "256")
    lines = [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]
    assert lines and all(line["return"] == line["length"] for line in lines)
    (event,) = events(run, "resume_limited")
    assert event["reason"] == "nobody has checked that all of the state of loud.Louder is saved"


# ---- refused -------------------------------------------------------------------------------------------------------


def refused(outcome, code):
    """The problems of a run that was not started."""
    assert outcome.code == code, outcome.err
    lines = [line.removeprefix("rlctl: ") for line in outcome.err.splitlines()]
    return [line for line in lines if not line.endswith("nothing was started")]


def test_what_a_wrapper_does_not_take_is_said_before_the_start(fast_cli):
    """With its place, the layer that it is from, and what is near."""
    said = STACKED.replace("stack_size", "stack_sise")
    (line,) = refused(fast_cli("run", "dqn", "CartPole-v1", "--set", said), 2)
    assert line.startswith("env.wrappers[0]: gymnasium.wrappers:FrameStackObservation cannot be called so: ")
    assert "(from --set env.wrappers)" in line
    assert 'Did you mean "stack_size"?' in line


def test_a_wrapper_that_is_not_there_is_said_before_the_start(fast_cli):
    """Exit code 3, as for everything that is not available."""
    (line,) = refused(
        fast_cli("run", "dqn", "CartPole-v1", "--set", "env.wrappers=['gymnasium.wrappers:FrameStak']"), 3
    )
    assert line.startswith('env.wrappers[0]: there is no "FrameStak" in gymnasium.wrappers.')


def test_all_mistakes_of_form_are_said_at_once(fast_cli):
    """And with them that there is no such environment."""
    said = "env.wrappers=[3, 'gymnasium.wrappers', {kwargs: [1]}, {use: 'a:B', arguments: {}}]"
    lines = refused(fast_cli("run", "dqn", "CartPol-v1", "--set", said), 2)
    assert [line.partition(":")[0] for line in lines] == [
        "env.wrappers[0]", "env.wrappers[1]", "env.wrappers[2].kwargs", "env.wrappers[2].use",
        "env.wrappers[3].arguments", "env.id",
    ]  # fmt: skip
    assert all("(from --set env.wrappers)" in line for line in lines[:-1])


def test_a_vectorised_class_has_no_room_for_wrappers(fast_cli):
    """`native` is refused with them, and `auto` does not choose it."""
    words = ["run", "dqn", "CartPole-v1", "--num-envs", "2", "--set", STACKED, "--dry-run"]
    assert fast_cli(*words).code == 0
    outcome = fast_cli(*words, "--set", "hyperparameters.vectorization=native")
    assert "hyperparameters.vectorization: native steps all at once" in outcome.err


def test_a_script_that_makes_its_environments_otherwise_is_refused(monkeypatch):
    """They would be left out without a word."""
    from rlctl import EnvConfig, RunConfig
    from rlctl_cleanrl import index
    from rlctl_cleanrl.plugin import rlctl_check_run, rlctl_workers

    facts = {"image": True}
    scripts = [
        {"name": "ppo", "imports": ["torch"], **facts},
        {"name": "ppo_atari_envpool", "imports": ["envpool", "torch"], **facts},
    ]
    (worker,) = rlctl_workers()
    monkeypatch.setattr(index, "indexed_scripts", lambda _: scripts)
    env = EnvConfig(id="Pong-v5", wrappers=["a:B"])
    found = {
        algo: [
            problem.path for problem in rlctl_check_run(RunConfig(worker="cleanrl", algo=algo, env=env), worker, None)
        ]
        for algo in ("ppo", "ppo_atari_envpool")
    }
    assert found == {"ppo": [], "ppo_atari_envpool": ["env.wrappers"]}


def test_the_schema_for_editors_knows_both_forms(fast_cli):
    """A name, or a mapping of `use` and `kwargs`."""
    _, env = fast_cli("config", "schema").json()["properties"]["env"]["anyOf"]
    named, mapping = env["properties"]["wrappers"]["items"]["anyOf"]
    assert named["pattern"]
    assert (set(mapping["properties"]), mapping["required"]) == ({"use", "kwargs"}, ["use"])
