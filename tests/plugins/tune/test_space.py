"""Search spaces and samplers: tied parameters, grids, CMA-ES without a pickle, what a pruner is told of several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from rlctl.errors import ConfigError
from rlctl_tune.reading import sweep_of
from rlctl_tune.samplers import values_of
from rlctl_tune.study import SweepFolder, ask
from rlctl_tune.trials import Curve, Progress, score_of

SPACE = {"hyperparameters.a": {"low": 0.0, "high": 1.0}, "hyperparameters.b": {"low": 1, "high": 64, "log": True}}


def sweep(**more: Any) -> Any:
    """Return a sweep of two parameters, 40 trials by default."""
    return sweep_of({"name": "s", "run": {"worker": "toy"}, "space": SPACE, "trials": 40, **more}, {})


def searched(one: Any, root: Path, count: int) -> list[dict[str, Any]]:
    """Return the values of so many trials, each scored by how near it is to a = 0.8, b = 16."""
    folder = SweepFolder(one, root / "runs")
    found = []
    with folder.locked():
        study = folder.study(create=True)
        for _ in range(count):
            trial = ask(study, one)
            found.append(values_of(one.space, trial.params))
            study.tell(
                trial,
                -((trial.params["hyperparameters.a"] - 0.8) ** 2) - (trial.params["hyperparameters.b"] / 16 - 1) ** 2,
            )
    return found


def test_a_tied_parameter_has_the_value_of_the_other_one() -> None:
    """`same_as` copies, `times` multiplies; Optuna knows of neither."""
    space = sweep(
        space={**SPACE, "c": {"same_as": "hyperparameters.b"}, "d": {"same_as": "hyperparameters.b", "times": 2}}
    ).space
    assert [item.key for item in space.free] == ["hyperparameters.a", "hyperparameters.b"]
    assert space.complete({"hyperparameters.a": 0.5, "hyperparameters.b": 8}) == {
        "hyperparameters.a": 0.5, "hyperparameters.b": 8, "c": 8, "d": 16,
    }  # fmt: skip


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


def test_a_database_is_a_storage(tmp_path: Path) -> None:
    """`storage` takes a URL; what was tried is there, and not in a journal."""
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    searched(sweep(sampler="random", storage=url), tmp_path, 3)
    assert len(optuna.load_study(study_name="s", storage=url).trials) == 3
    assert not (tmp_path / "sweeps" / "s" / "journal.jsonl").exists()


def test_a_line_that_a_kill_has_torn_is_cut_off(tmp_path: Path) -> None:
    """A journal that ends in the middle of a line goes on with the trials before it."""
    searched(sweep(), tmp_path, 3)
    with (tmp_path / "sweeps" / "s" / "journal.jsonl").open("a") as journal:
        journal.write('{"op_code": 4, "wor')
    searched(sweep(), tmp_path, 1)
    folder = SweepFolder(sweep(), tmp_path / "runs")
    assert len(folder.study(create=False).trials) == 4


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
            },
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
    ],
)
def test_a_sampler_that_does_not_fit_is_refused(more: dict[str, Any], said: str) -> None:
    """No sampler falls back on another one in silence."""
    with pytest.raises(ConfigError, match=said):
        sweep(**more)
