"""Search spaces and samplers: tied parameters, grids, CMA-ES without a pickle, what a pruner is told of several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.plugins.tune.making import SPACE, searched, sweep

from rlctl.errors import ConfigError
from rlctl.plans.expansion import expand
from rlctl_tune.reading import read_sweep
from rlctl_tune.samplers import values_of
from rlctl_tune.study import SweepFolder, ask
from rlctl_tune.trials import Curve, Progress, score_of, trial_source


def test_a_tied_parameter_has_the_value_of_the_other_one() -> None:
    """`same_as` copies, `times` multiplies; Optuna knows of neither."""
    space = sweep(
        space={**SPACE, "c": {"same_as": "hyperparameters.b"}, "d": {"same_as": "hyperparameters.b", "times": 2}}
    ).space
    assert [item.key for item in space.free] == ["hyperparameters.a", "hyperparameters.b"]
    assert space.complete({"hyperparameters.a": 0.5, "hyperparameters.b": 8}) == {
        "hyperparameters.a": 0.5, "hyperparameters.b": 8, "c": 8, "d": 16,
    }  # fmt: skip


def test_half_of_a_whole_number_is_a_whole_number_where_it_can_be() -> None:
    """A batch of half a rollout is 64, not 64.0, which no worker would take for a size."""
    space = sweep(space={**SPACE, "c": {"same_as": "hyperparameters.b", "times": 0.5}}).space
    for whole, half in ((128, 64), (3, 1.5)):
        found = space.complete({"hyperparameters.a": 0.0, "hyperparameters.b": whole})["c"]
        assert (found, type(found)) == (half, type(half))


def test_the_seed_of_a_configuration_for_single_runs_does_not_count(tmp_path: Path) -> None:
    """`config` may name any file; beside it a sweep has seeds of its own."""
    (tmp_path / "base.yaml").write_text("worker: toy\nseed: 3\n")
    (tmp_path / "s.yaml").write_text("config: base.yaml\nspace: {a: {values: [1, 2]}}\nsampler: grid\n")
    assert read_sweep(tmp_path / "s.yaml").run == {"worker": "toy"}


def test_each_run_of_a_trial_takes_the_resources_that_are_said() -> None:
    """One that needs a GPU waits for one, as a member of a plan does."""
    one = sweep(resources={"gpus": 1, "cpus": 2}, seeds="0..1")
    plan = expand(trial_source(one, 0, {"hyperparameters.a": 0.5, "hyperparameters.b": 8}))
    assert [(item.template.resources.cpus, item.template.resources.gpus) for item in plan.members.values()] == [
        (2, 1)
    ] * 2


def test_a_grid_tries_each_combination_once(tmp_path: Path) -> None:
    """The trials of a grid are the product of all values, in the order of the file; lists and true are values."""
    space = {
        "hyperparameters.a": {"values": [[64, 64], True, 3]},
        "hyperparameters.b": {"low": 0.1, "high": 0.3, "step": 0.1},
    }
    grid = sweep(sampler="grid", space=space, trials=None)
    folder = SweepFolder(grid, tmp_path / "runs")
    assert grid.trials == 9
    with folder.locked():
        study = folder.study(create=True)
        found = [values_of(grid.space, ask(study, grid).params) for _ in range(9)]
    assert [row["hyperparameters.a"] for row in found] == [[64, 64]] * 3 + [True] * 3 + [3] * 3
    assert [row["hyperparameters.b"] for row in found[:3]] == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("sampler", ["random", "tpe", "cmaes"])
def test_a_sampler_goes_on_as_if_it_had_never_stopped(sampler: str, tmp_path: Path) -> None:
    """The trials that two processes propose, one after the other, are those that one would have proposed; none is twice."""
    whole = searched(sweep(sampler=sampler), tmp_path / "whole", 16)
    parts = [values for _ in range(2) for values in searched(sweep(sampler=sampler), tmp_path / "parts", 8)]
    assert parts == whole
    assert len({str(values) for values in whole}) == 16


def test_cmaes_finds_what_chance_does_not(tmp_path: Path) -> None:
    """The last ten of 60 proposals of CMA-ES are nearer to the optimum than those of chance; the storage has no pickle."""

    def far(values: list[dict[str, Any]]) -> float:
        return sum(abs(row["hyperparameters.a"] - 0.8) for row in values[-10:]) / 10

    learnt = searched(sweep(sampler="cmaes"), tmp_path / "cmaes", 60)
    drawn = searched(sweep(sampler="random"), tmp_path / "random", 60)
    assert far(learnt) < far(drawn) / 2
    assert all(1 <= row["hyperparameters.b"] <= 64 and isinstance(row["hyperparameters.b"], int) for row in learnt)
    assert "cma:" not in (tmp_path / "cmaes" / "sweeps" / "s" / "journal.jsonl").read_text()


# ---- several seeds -------------------------------------------------------------------------------------------------


def test_a_seed_more_is_a_step_up_in_fidelity() -> None:
    """The pruner hears of the second seed after the first, as the mean of both at the same evaluation of theirs."""
    progress = Progress(per_seed=2, curves=[Curve({1: 10.0})])
    assert progress.reports() == [(1, 10.0)]
    progress.curves = [Curve({1: 10.0, 2: 20.0}), Curve({1: 30.0})]
    assert progress.reports() == [(2, 20.0), (3, 20.0)]
    progress.curves = [Curve({1: 10.0, 2: 20.0}), Curve({1: 30.0, 2: 60.0})]
    assert progress.reports() == [(4, 40.0)]
    assert progress.reports() == [], "nothing is told twice"


@pytest.mark.parametrize(("how", "score"), [("last", 2.0), ("mean", 3.0), ("best", 6.0)])
def test_a_score_is_what_the_file_says(how: str, score: float) -> None:
    """The last evaluation, the mean of all, or the best; the trial's is the mean over its seeds."""
    curve = Curve({1: 1.0, 2: 6.0, 3: 2.0})
    assert score_of([curve, curve], how) == (score, [score, score])


def test_a_seed_without_a_number_leaves_no_score() -> None:
    """A run that has diverged is not left out of the mean: the trial has none."""
    assert score_of([Curve({1: 5.0}), Curve({1: float("nan")})], "last")[0] is None


# ---- what is refused -----------------------------------------------------------------------------------------------


def test_all_that_is_wrong_with_the_shape_is_said_at_once() -> None:
    """Each problem names its key and what to do."""
    with pytest.raises(ConfigError) as error:
        sweep(
            space={
                "seed": {"values": [1, 2]}, "hyperparameters.a": {"low": 2, "high": 1},
                "hyperparameters.b": {"low": 0.0, "high": 1.0, "log": True}, "hyperparameters.c": {"same_as": "hyperparameters.d"},
                "hyperparameters.e": 3, "hyperparameters.f": {"values": [1], "weight": 2},
                "hyperparameters.g": {"low": 0.0, "high": float("inf")}, "hyperparameters.h": {"low": 0, "high": 2, "step": 5},
                "hyperparameters.i": {"values": [1, True]}, "env.id": {"values": ["a", "b"]},
            },
            run={"worker": "toy", "seed": 3}, resources={"gpuss": 1},
            seeds=[1, 1], fresh={"seeds": [1]}, pruner={"kind": "asha", "after": 3},
        )  # fmt: skip
    said = "\n".join(map(str, error.value.problems))
    for part in (
        "space.seed: cannot be searched",
        "space.hyperparameters.a: low must be below high, got 2 and 1",
        "space.hyperparameters.b: a logarithmic scale begins above 0, got 0.0",
        'space.hyperparameters.c.same_as: "hyperparameters.d" is not searched.',
        "space.hyperparameters.e: expected low and high, values, or same_as; got 3",
        'space.hyperparameters.f.weight: "hyperparameters.f" has no such setting',
        "space.hyperparameters.g: low and high must be finite, got 0.0 and inf",
        "space.hyperparameters.h.step: 5 is more than the whole range, from 0 to 2",
        "space.hyperparameters.i.values: expected different values, got [1, True]",
        "space.env.id: cannot be searched",
        "run.seed: a sweep trains with several Say seeds, beside run.",
        'Did you mean "gpus"?',
        "seeds: a seed is there twice",
        "fresh.seeds: the search has seen 1",
        "pruner.after: is for median, this is asha",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"sampler": "grid"}, "has no end of values, and a grid tries all"),
        ({"sampler": "cmaes", "pruner": "median"}, "cmaes learns from trials that are complete"),
        (
            {"sampler": "cmaes", "space": {"a": {"values": [1, 2]}, "b": {"low": 1, "high": 2}}},
            "cmaes proposes numbers",
        ),
        ({"sampler": "cmaes", "space": {"b": {"low": 1, "high": 2}}}, "cmaes needs two parameters at least"),
        ({"trials": None}, "Say how many settings are to be tried."),
        ({"sampler": "tpee"}, "expected one of tpe, random, grid, cmaes"),
        ({"sampler": "grid", "trials": 5, "space": {"a": {"values": [1, 2]}}}, "is 5, but the grid has 2 settings"),
        (
            {"sampler": "grid", "space": {"a": {"low": 0, "high": 10**9}}},
            "a grid of 1000000001 trials is more than",
        ),
    ],
)
def test_a_sampler_that_does_not_fit_is_refused(more: dict[str, Any], said: str) -> None:
    """No sampler falls back on another one in silence."""
    with pytest.raises(ConfigError, match=said):
        sweep(**more)
