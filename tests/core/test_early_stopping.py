"""Early stopping: solved, or no better for so many evaluations, and neither before `min_timesteps`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlctl import RunConfig, run
from rlctl.config.schema import EarlyStoppingConfig
from rlctl.evaluations import EvaluatedEpisode, Evaluation
from rlctl.worker.early_stopping import WINDOW, stops_after_episode, stops_after_evaluation

FEW = settings(max_examples=300, deadline=None)


def said(**values: Any) -> dict[str, Any]:
    """Return the `early_stopping` mapping of a configuration that says these values."""
    return attrs.asdict(EarlyStoppingConfig(**values))


def history(*means: float, every: int = 100, training: Sequence[float | None] | None = None) -> list[Evaluation]:
    """Return evaluations of these means, one each `every` steps, beside these means of the training."""
    beside = training or [None] * len(means)
    return [
        Evaluation(
            step=(index + 1) * every,
            episodes=100 + index,
            checkpoint=None,
            measured=(EvaluatedEpisode(seed=1, episode_return=mean, length=1, terminated=True),),
            training_return_mean=beside[index],
        )
        for index, mean in enumerate(means)
    ]


def stops_at(config: dict[str, Any], evaluations: list[Evaluation]) -> int | None:
    """Return how many evaluations a run makes until it ends early; None when it does not."""
    counts = range(len(evaluations) + 1)
    return next((count for count in counts if stops_after_evaluation(config, evaluations[:count])), None)


# ---- patience ------------------------------------------------------------------------------------------------------


def test_without_settings_nothing_ends_a_run() -> None:
    """Neither a threshold nor patience: whatever is found."""
    assert stops_at(said(), history(*[0.0] * 50)) is None


def test_patience_counts_evaluations_in_a_row_without_improvement() -> None:
    """Three that are no better than the best before end the run at the third."""
    assert stops_at(said(patience=3), history(1, 2, 1.5, 1.9, 2, 9)) == 5
    assert stops_at(said(patience=1), history(1, 2, 2, 9)) == 3


def test_an_improvement_renews_patience() -> None:
    """Each new best starts the count anew; only what is better than the best counts, not than the one before."""
    assert stops_at(said(patience=2), history(1, 0, 2, 1, 3, 2, 4, 3)) is None
    assert stops_at(said(patience=2), history(5, 1, 2, 3, 4)) == 3


def test_the_first_evaluation_is_an_improvement() -> None:
    """However bad it is: a run with a patience of one makes at least two."""
    assert stops_at(said(patience=1), history(-1e9, -1e9)) == 2


def test_as_good_is_not_better() -> None:
    """A policy that stands still loses patience."""
    assert stops_at(said(patience=2), history(3, 3, 3)) == 3


def test_an_improvement_is_more_than_min_delta() -> None:
    """An improvement by exactly `min_delta` is none, and small ones do not add up to one."""
    assert stops_at(said(patience=2, min_delta=1.0), history(0, 1.0, 1.0)) == 3
    assert stops_at(said(patience=2, min_delta=1.0), history(0, 1.1, 1.5, 2.2, 2.3)) is None
    assert stops_at(said(patience=2, min_delta=1.0), history(0, 0.6, 0.9)) == 3


def test_what_is_no_number_is_no_improvement() -> None:
    """NaN costs patience, also as the first, and is nothing that has to be beaten."""
    assert stops_at(said(patience=2), history(math.nan, math.nan)) == 2
    assert stops_at(said(patience=2), history(math.nan, -5, math.nan, -4)) is None


def test_the_reason_says_what_could_not_be_beaten() -> None:
    """How many evaluations, and the best mean so far."""
    reason = stops_after_evaluation(said(patience=2), history(1, 7.25, 3, 4))

    assert reason == "early stopping: 2 evaluations without improvement on 7.25 (mean return of the evaluation)"


def test_patience_can_go_by_the_training() -> None:
    """With `metric: training` the mean return of the training counts, and that of the evaluation does not."""
    evaluations = history(1, 2, 3, 4, training=[5, 5, 5, 5])

    assert stops_at(said(patience=2, metric="training"), evaluations) == 3
    assert stops_at(said(patience=2), evaluations) is None


def test_the_training_counts_from_its_hundredth_episode_on() -> None:
    """Before that its mean is of too few: neither a mark that luck has set, nor a loss of patience."""
    evaluations = history(1, 2, 3, 4, 5, 6, training=[None, 900, 5, 6, 6, 6])
    few = [attrs.evolve(item, episodes=50) for item in evaluations[:2]]

    assert stops_at(said(patience=2, metric="training"), [*few, *evaluations[2:]]) == 6


# ---- min_timesteps -------------------------------------------------------------------------------------------------


def test_no_patience_is_lost_before_min_timesteps() -> None:
    """Evaluations before it do not count as waiting: patience begins there."""
    evaluations = history(5, 1, 1, 1, 1, 1)

    assert stops_at(said(patience=2), evaluations) == 3
    assert stops_at(said(patience=2, min_timesteps=400), evaluations) == 5


def test_the_mark_is_set_before_min_timesteps() -> None:
    """What was reached before it has to be beaten after it."""
    assert stops_at(said(patience=2, min_timesteps=300), history(5, 1, 4, 4)) == 4
    assert stops_at(said(patience=2, min_timesteps=300), history(3, 1, 4, 4)) is None


def test_no_threshold_counts_before_min_timesteps() -> None:
    """A run that is solved at once goes on until then, and ends at the first evaluation from there on."""
    assert stops_at(said(threshold=1, min_timesteps=300), history(9, 9, 9, 9)) == 3
    assert stops_at(said(threshold=1, min_timesteps=250), history(9, 9, 9, 9)) == 3


# ---- threshold -----------------------------------------------------------------------------------------------------


def test_a_run_is_solved_when_an_evaluation_reaches_the_threshold() -> None:
    """Reaching it is enough; it need not be passed."""
    assert stops_at(said(threshold=475), history(100, 474.9, 475, 100)) == 3
    assert stops_at(said(threshold=-200), history(-300, -200)) == 2
    assert stops_at(said(threshold=0), history(-1, 0)) == 2


def test_what_is_no_number_solves_nothing() -> None:
    """NaN reaches no threshold."""
    assert stops_at(said(threshold=-math.inf), history(math.nan)) is None


def test_the_reason_says_what_was_reached() -> None:
    """The mean and the threshold."""
    reason = stops_after_evaluation(said(threshold=475, patience=1), history(480.5))

    assert reason == "early stopping: solved, mean return of the evaluation 480.5 reached the threshold 475"


def test_a_threshold_on_the_training_waits_for_a_hundred_episodes() -> None:
    """The mean of 99 is not asked, that of 100 is; only those count that the run remembers."""
    config = said(metric="training", threshold=10)

    assert stops_after_episode(config, 1000, [10.0] * (WINDOW - 1)) is None
    assert stops_after_episode(config, 1000, [10.0] * WINDOW) == (
        "early stopping: solved, mean return of 100 training episodes 10 reached the threshold 10"
    )
    assert stops_after_episode(config, 1000, [10.0] * (WINDOW - 1) + [9.0]) is None
    assert stops_after_episode(config, 1000, [10.0] * (WINDOW - 1) + [math.nan]) is None


def test_a_threshold_on_the_training_waits_for_min_timesteps() -> None:
    """As that of an evaluation does."""
    config = said(metric="training", threshold=10, min_timesteps=500)

    assert stops_after_episode(config, 499, [10.0] * WINDOW) is None
    assert stops_after_episode(config, 500, [10.0] * WINDOW) is not None


def test_a_few_lucky_episodes_solve_nothing_at_an_evaluation() -> None:
    """An evaluation that comes before the hundredth episode does not take the mean of fewer for that of a hundred."""
    assert stops_at(said(metric="training", threshold=10), history(99, 99, training=[99, 99])) is None


@pytest.mark.parametrize("config", [said(threshold=10), said(patience=1), said(metric="training", patience=1)])
def test_episodes_end_no_run_unless_they_are_what_is_looked_at(config: dict[str, Any]) -> None:
    """A threshold on the evaluation, or patience, is no business of single episodes."""
    assert stops_after_episode(config, 1000, [99.0] * WINDOW) is None


# ---- against a reference -------------------------------------------------------------------------------------------


def reference(config: dict[str, Any], values: list[float], steps: list[int]) -> int | None:
    """Return after how many evaluations a run ends, the slow way: every prefix is looked at from its beginning."""
    for end in range(1, len(values) + 1):
        if steps[end - 1] < config["min_timesteps"]:
            continue
        if config["threshold"] is not None and values[end - 1] >= config["threshold"]:
            return end
        better = [index for index in range(end) if is_better(values[: index + 1], config["min_delta"])]
        since = better[-1] + 1 if better else 0
        waited = [step for step in steps[since:end] if step >= config["min_timesteps"]]
        if config["patience"] is not None and len(waited) >= config["patience"]:
            return end
    return None


def is_better(values: list[float], min_delta: float) -> bool:
    """Return whether the last value is better than every mark that those before it have set."""
    mark = None
    for value in values[:-1]:
        if not math.isnan(value) and (mark is None or value > mark + min_delta):
            mark = value
    last = values[-1]
    return not math.isnan(last) and (mark is None or last > mark + min_delta)


@FEW
@given(
    values=st.lists(st.integers(-6, 6).map(lambda half: half / 2) | st.just(math.nan), max_size=12),
    every=st.integers(1, 50),
    threshold=st.none() | st.integers(-2, 3),
    patience=st.none() | st.integers(1, 4),
    min_delta=st.sampled_from([0.0, 0.5, 1.0]),
    min_timesteps=st.integers(0, 300),
)
def test_it_stops_where_a_naive_reference_does(values: list[float], every: int, **config: Any) -> None:
    """Any sequence of means and any settings: the same evaluation is the last."""
    evaluations = history(*values, every=every)

    assert stops_at(said(**config), evaluations) == reference(config, values, [item.step for item in evaluations])


# ---- in a run ------------------------------------------------------------------------------------------------------


def test_a_training_that_is_good_enough_ends_after_a_hundred_episodes(site: Callable[..., Any], tmp_path: Path) -> None:
    """A run whose episodes reach the threshold at once has a hundred of them, and is finished."""
    site("toy_worker")
    config = RunConfig(
        worker="toy", callbacks={"progress": False}, early_stopping={"metric": "training", "threshold": 1}
    )

    outcome = run(config, runs_dir=tmp_path)

    assert (outcome.result.episodes, outcome.result.status, outcome.result.exit_code) == (100, "finished", 0)
    assert outcome.result.stopped_by == "early_stopping"
    assert outcome.result.reason.startswith("early stopping: solved, mean return of 100 training episodes")
    assert outcome.result.step == outcome.episodes()[-1].step < 1000


def test_a_training_that_is_not_goes_on(site: Callable[..., Any], tmp_path: Path) -> None:
    """The same run with a threshold out of its reach uses up its budget."""
    site("toy_worker")
    config = RunConfig(
        worker="toy", callbacks={"progress": False}, early_stopping={"metric": "training", "threshold": 100}
    )

    result = run(config, runs_dir=tmp_path).result

    assert (result.step, result.stopped_by, result.reason) == (1000, "timesteps", "total_timesteps = 1000 reached")
