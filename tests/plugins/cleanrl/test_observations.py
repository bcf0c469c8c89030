"""Observations that a script's network cannot take are changed, as little as will do, and the run says so; or it is refused."""

from __future__ import annotations

import json

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from tests.end_to_end.lifecycle import events, train

from rlctl.gym.facts import described
from rlctl.runs.files import read_json
from rlctl_cleanrl.fitting import fitted
from rlctl_cleanrl.observations import Needs, UnfitError, change_for

VECTOR, GRID, ARRAY = Needs("vector"), Needs("grid"), Needs("array")
PIXELS = spaces.Box(0, 255, (7, 7, 3), np.uint8)


@pytest.mark.parametrize(
    ("space", "needs", "steps"),
    [
        (spaces.Box(-1, 1, (4,)), VECTOR, ()),
        (spaces.Box(0, 255, (128,), np.uint8), VECTOR, ()),
        (spaces.Box(0, 255, (128,), np.uint8), Needs("vector", float32=True), ("float32",)),
        (spaces.Box(-1, 1, (4,)), Needs("vector", float32=True), ()),
        (spaces.Discrete(16), VECTOR, ("flatten", "float32")),
        (spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(-1, 1, (2,))}), VECTOR, ("flatten", "float32")),
        (spaces.Dict({"a": spaces.Discrete(2)}), Needs("vector", flattens=True), ()),
        (PIXELS, VECTOR, ("flatten", "float32")),
        (PIXELS, GRID, ()),
        (PIXELS, ARRAY, ()),
        (spaces.Discrete(16), ARRAY, ()),
        (spaces.Tuple([spaces.Discrete(2), spaces.MultiBinary(3)]), ARRAY, ("flatten", "float32")),
    ],
)
def test_no_more_is_done_than_is_needed(space, needs, steps):
    """Nothing, where the network can take them as they are."""
    assert change_for(described(space), needs).steps == steps


@pytest.mark.parametrize(
    ("space", "needs", "why"),
    [
        (spaces.Box(0, 255, (96, 96, 3), np.uint8), VECTOR, "27648 numbers are too many to be laid flat"),
        (spaces.Dict({"said": spaces.Text(9)}), VECTOR, "a Text cannot be laid flat"),
        (spaces.Box(-1, 1, (4,)), GRID, r"takes grids of shape \(height, width, 3\), and these are of shape \(4,\)"),
        (spaces.Discrete(16), GRID, "these are a discrete"),
    ],
)
def test_what_nothing_helps_is_refused_with_its_reason(space, needs, why):
    """A picture for a network of two layers; words; a grid that is none."""
    with pytest.raises(UnfitError, match=why):
        change_for(described(space), needs)


@pytest.mark.parametrize(("kind", "shape"), [("vector", (147,)), ("grid", (7, 7, 3)), ("array", (7, 7, 3))], ids=str)
def test_of_minigrid_the_image_is_taken(kind, shape):
    """Laid flat for a network of vectors; what the spaces say is what comes."""
    pytest.importorskip("minigrid")
    told = []
    env = fitted(gymnasium.make("MiniGrid-Empty-5x5-v0"), Needs(kind), told.append)
    observation, _ = env.reset(seed=1)
    assert (observation.shape, env.observation_space.shape) == (shape, shape)
    assert observation.dtype == env.observation_space.dtype == (np.float32 if kind == "vector" else np.uint8)
    assert [change.words.partition(";")[0] for change in told] == ["the image alone, without direction and mission"]


def test_states_become_numbers_of_which_one_is_one():
    """FrozenLake begins in its first state."""
    env = fitted(gymnasium.make("FrozenLake-v1"), VECTOR, lambda change: None)
    assert env.reset(seed=1)[0].tolist() == [1.0] + [0.0] * 15


# ---- in runs -------------------------------------------------------------------------------------------------------


@pytest.mark.network
@pytest.mark.parametrize(
    ("target", "steps"),
    [
        (["cleanrl/ppo", "FrozenLake-v1", "--set", "hyperparameters.num_steps=64"], ["flatten", "float32"]),
        (
            ["cleanrl/dqn", "MiniGrid-Empty-5x5-v0", "--set", "hyperparameters.learning_starts=100"],
            ["image", "flatten", "float32"],
        ),
    ],
    ids=["ppo", "dqn"],
)
def test_a_script_trains_and_is_evaluated_on_what_it_could_not_take(target, steps, cli, cleanrl_cache, tmp_path):
    """What is done is said before the start and kept, stands in the events and the log, and an evaluation gets the same."""
    pytest.importorskip("minigrid")
    planned = cli("run", *target, "--dry-run", "--json").json()["declared"]
    run = train(cli, tmp_path, "r", target, "-n", "512")
    (event,) = events(run, "observations_changed")
    assert event["steps"] == steps
    assert (run / "logs" / "worker.log").read_text().count(f"rlctl: observations: {planned['observations']}\n") == 1
    assert read_json(run / "config.json")["declared"] == planned
    lines = [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]
    assert lines and all(0 <= line["return"] <= 1 for line in lines)

    measured = cli("evaluate", run, "--episodes", "2", "--json")

    assert measured.code == 0, measured.err
    assert len(measured.json()["evaluations"][0]["returns"]) == 2


@pytest.mark.network
def test_an_environment_that_fits_is_left_as_it_is(cli, cleanrl_cache, tmp_path):
    """No event, no line, no wrapper."""
    target = ["cleanrl/ppo", "CartPole-v1", "--set", "hyperparameters.num_steps=64"]
    run = train(cli, tmp_path, "r", target, "-n", "256")
    assert not events(run, "observations_changed")
    assert "observations:" not in (run / "logs" / "worker.log").read_text()
    assert read_json(run / "config.json")["declared"] == {}
    assert read_json(run / "result.json")["status"] == "finished"


@pytest.mark.network
def test_pictures_are_refused_before_anything_starts(fast_cli, cleanrl_cache):
    """With what they are, why, and what to do."""
    pytest.importorskip("ale_py")
    outcome = fast_cli("run", "cleanrl/ppo", "ALE/Breakout-v5")
    assert outcome.code == 2
    assert "env.id: ALE/Breakout-v5 has image observations" in outcome.err
    assert "100800 numbers are too many to be laid flat" in outcome.err
    assert "scripts named *_atari learn from pictures" in outcome.err
