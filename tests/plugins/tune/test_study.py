"""A sweep's folder and storage: a lock, a database, what was killed or has gone, and what may be changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from tests.plugins.tune.making import begun, searched, sweep

from rlctl.errors import UsageError
from rlctl_tune.fresh import best_trials, write_outcome
from rlctl_tune.report import importance_of
from rlctl_tune.study import SweepFolder, ask, kept_sweep


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


def test_a_database_that_fails_in_the_midst_is_said(tmp_path: Path) -> None:
    """What the database says becomes an error that says how to go on, no traceback."""
    database = tmp_path / "trials.db"
    one = sweep(sampler="random", storage=f"sqlite:///{database}")
    folder = SweepFolder(one, tmp_path / "runs")
    with folder.locked():
        study = folder.study(create=True)
        ask(study, one)
        database.rename(tmp_path / "gone.db")
        said = r"trials\.db cannot be used: .*rlctl sweep resume s"
        with pytest.raises(UsageError, match=said), folder.storage_trouble():
            ask(study, one)


def test_two_sweeps_of_one_name_are_not_mixed_in_a_database(tmp_path: Path) -> None:
    """A database may hold the sweeps of many folders; the second one is refused, and the first goes on."""
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    searched(sweep(sampler="random", storage=url), tmp_path / "one", 1)
    with pytest.raises(UsageError, match=r"has a study s already, of .*/one/sweeps/s"):
        searched(sweep(sampler="random", storage=url), tmp_path / "two", 1)
    searched(sweep(sampler="random", storage=url), tmp_path / "one", 1)
    assert len(optuna.load_study(study_name="s", storage=url).trials) == 2


def test_only_one_process_runs_a_sweep(tmp_path: Path) -> None:
    """The second host is refused, and is told who the first one is."""
    first, second = (SweepFolder(sweep(), tmp_path / "runs") for _ in range(2))
    refused = pytest.raises(UsageError, match="sweep s is being run by process")
    with first.locked(), refused, second.locked():
        pass


@pytest.mark.parametrize(
    "same", [{"pruner": {"kind": "asha"}}, {"seeds": [0, 1]}, {"trials": 50}, {"resources": {"cpus": 2}}]
)
def test_what_means_the_same_is_the_same_sweep(same: dict[str, Any], tmp_path: Path) -> None:
    """Another way to write it, or what trials do not depend on, may change between two starts."""
    begun(tmp_path, pruner="asha", seeds="0..1")
    again = sweep(**{"pruner": "asha", "seeds": "0..1", **same})
    SweepFolder(again, tmp_path / "runs").save(["rlctl"])
    assert kept_sweep("s", tmp_path / "runs") == again


def test_a_bound_of_another_kind_is_another_sweep(tmp_path: Path) -> None:
    """0 and 0.0 are equal, but one is a bound of whole numbers."""
    begun(tmp_path, space={"a": {"low": 0, "high": 4}})
    with pytest.raises(UsageError, match="was begun with another space"):
        SweepFolder(sweep(space={"a": {"low": 0.0, "high": 4.0}}), tmp_path / "runs").save(["rlctl"])


def test_a_storage_that_could_not_be_had_can_be_corrected(tmp_path: Path) -> None:
    """A slip in the URL does not bind the name: nothing was begun."""
    with pytest.raises(UsageError, match=r"storage: sqlite:////nowhere/at/all.db cannot be used"):
        begun(tmp_path, storage="sqlite:////nowhere/at/all.db")
    with pytest.raises(UsageError, match="sweep s has no trial yet"):
        SweepFolder(sweep(), tmp_path / "runs").study(create=False)
    begun(tmp_path, storage=f"sqlite:///{tmp_path / 'trials.db'}")


def test_trials_that_have_gone_are_missed(tmp_path: Path) -> None:
    """A journal that somebody has removed is not made anew: its trials would be trained twice."""
    folder = begun(tmp_path)
    (folder.path / "journal.jsonl").unlink()
    with pytest.raises(UsageError, match="the trials of sweep s are not in"):
        folder.study(create=True)


def test_without_a_sound_fresh_run_there_is_no_winner(tmp_path: Path) -> None:
    """When each of the best has failed with a fresh seed, a winner's file of before goes, too."""
    searched(sweep(), tmp_path, 2)
    folder = SweepFolder(sweep(), tmp_path / "runs")
    best = best_trials(folder.study(create=False), 2)
    write_outcome(folder, best, None)
    assert "that score is too good" in folder.winner.read_text()
    write_outcome(folder, best, {"winner": None, "defaults": 3.0})
    assert not folder.winner.exists()


# ---- importance ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "shares"),
    [
        # The first value is in the better half and in the other: only the second one matters.
        ([9.5, 240.3, 28.2, 145.9], {"a": 0.0, "b": 1.0}),
        # The best two differ in both: nothing tells them apart, and no share is invented.
        ([1.0, 0.0, 0.0, 1.0], None),
    ],
)
def test_a_parameter_matters_that_tells_the_better_half_apart(
    scores: list[float], shares: dict[str, float] | None, tmp_path: Path
) -> None:
    """Of four trials, too; Optuna's own default would share out equally."""
    one = sweep(sampler="grid", trials=None, space={"a": {"values": [1, 2]}, "b": {"values": [10, 1]}})
    folder = SweepFolder(one, tmp_path / "runs")
    with folder.locked():
        study = folder.study(create=True)
        for score in scores:
            study.tell(ask(study, one), score)
    found = importance_of(study)
    assert found == (shares if shares is None else pytest.approx(shares))
