"""Evaluations as data: seeds that training never sees, means as everybody computes them, and lines that lose nothing."""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlctl.config.schema import SEED_MAXIMUM
from rlctl.evaluations import (
    SEED_LIMIT,
    EvaluatedEpisode,
    Evaluation,
    EvaluationRequest,
    evaluation_seeds,
    evaluations_of,
)
from rlctl.events import json_safe
from rlctl.runs.files import append_line, read_lines
from rlctl.vocabulary import VOCABULARY

FEW = settings(max_examples=100, deadline=None)
FINITE = st.floats(-1e9, 1e9)
ANY = st.floats(allow_nan=True, allow_infinity=True)
SECONDS = st.integers(0, 10**9).map(lambda milliseconds: milliseconds / 1000)
RUN_SEEDS = st.integers(0, SEED_MAXIMUM)


def measured(*returns: float, length: int = 10) -> Evaluation:
    """Return an evaluation at step 100 that found these returns."""
    episodes = (EvaluatedEpisode(seed=seed, episode_return=value, length=length, terminated=True)
                for seed, value in enumerate(returns))  # fmt: skip
    return Evaluation(step=100, episodes=7, checkpoint="abc", measured=tuple(episodes))


@st.composite
def evaluations(draw: st.DrawFn) -> Evaluation:
    """Return any evaluation, of any number of episodes, with returns of any kind."""
    gamma = draw(st.none() | st.floats(0, 1))
    episode = st.builds(
        EvaluatedEpisode,
        seed=st.integers(0, SEED_LIMIT - 1),
        episode_return=ANY,
        length=st.integers(1, 10**9),
        terminated=st.booleans(),
        discounted_return=st.none() if gamma is None else ANY,
        value=draw(st.sampled_from([st.none(), ANY, st.none() | ANY])),
    )
    return Evaluation(
        step=draw(st.integers(0, 10**12)),
        episodes=draw(st.integers(0, 10**9)),
        checkpoint=draw(st.none() | st.text("0123456789abcdef", min_size=64, max_size=64)),
        measured=tuple(draw(st.lists(episode, max_size=5))),
        greedy=draw(st.booleans()),
        gamma=gamma,
        training_return_mean=draw(st.none() | ANY),
        best=draw(st.booleans()),
        seconds=draw(SECONDS),
        duration=draw(SECONDS),
        videos=tuple(draw(st.lists(st.text(), max_size=2))),
    )


# ---- seeds ---------------------------------------------------------------------------------------------------------


@FEW
@given(run_seed=RUN_SEEDS, count=st.integers(0, 300), num_envs=st.none() | st.integers(1, 500))
def test_seeds_are_as_many_as_asked_for_different_and_none_of_the_training(
    run_seed: int, count: int, num_envs: int | None
) -> None:
    """Whatever the run's seed: `count` different seeds that every library takes, none of them the training's."""
    seeds = evaluation_seeds(run_seed, count, num_envs=num_envs)

    assert len(set(seeds)) == len(seeds) == count
    assert all(0 <= seed < SEED_LIMIT for seed in seeds)
    assert not set(seeds) & set(range(run_seed, run_seed + (num_envs or 64)))


def test_a_seed_that_would_meet_the_training_is_left_out() -> None:
    """Of the seeds for one environment some are those of a training in a million: there they are others."""
    many = 2**20
    alone, beside = evaluation_seeds(0, 10_000), evaluation_seeds(0, 10_000, num_envs=many)

    assert min(alone) < many, "this test shows nothing unless some would meet"
    assert min(beside) >= many
    assert [seed for seed in alone if seed >= many] == list(beside)[: sum(seed >= many for seed in alone)]


@FEW
@given(run_seed=RUN_SEEDS, count=st.integers(1, 50), more=st.integers(0, 50))
def test_seeds_are_the_same_each_time_and_more_of_them_begin_with_the_same(
    run_seed: int, count: int, more: int
) -> None:
    """The same run has the same seeds, in another process and after a resume; more episodes only add some."""
    seeds = evaluation_seeds(run_seed, count)

    assert evaluation_seeds(run_seed, count) == seeds
    assert evaluation_seeds(run_seed, count + more)[:count] == seeds


def test_seeds_stay_what_they_were() -> None:
    """An evaluation can be repeated with a later rlctl: the seeds of a run are part of what it promises."""
    assert evaluation_seeds(1, 3) == (354770272, 347653243, 1433157731)
    assert evaluation_seeds(1, 3, purpose="evaluate") == (1468852178, 1815369791, 1621422003)


@FEW
@given(run_seed=RUN_SEEDS)
def test_another_purpose_or_run_has_other_seeds(run_seed: int) -> None:
    """What is judged afterwards was not chosen by the same episodes, and two runs are not judged by the same luck."""
    training = evaluation_seeds(run_seed, 20)

    assert not set(training) & set(evaluation_seeds(run_seed, 20, purpose="evaluate"))
    assert training != evaluation_seeds(run_seed + 1, 20)


# ---- statistics ----------------------------------------------------------------------------------------------------


@FEW
@given(returns=st.lists(FINITE, min_size=1, max_size=50))
def test_mean_and_deviation_are_those_of_the_statistics_module(returns: list[float]) -> None:
    """Mean and population standard deviation of the returns, to the precision of a float."""
    evaluation = measured(*returns)

    assert evaluation.returns == returns
    assert evaluation.return_mean == pytest.approx(statistics.fmean(returns), rel=1e-9, abs=1e-6)
    assert evaluation.return_std == pytest.approx(statistics.pstdev(returns), rel=1e-9, abs=1e-6)


def test_every_episode_counts_as_much_as_another() -> None:
    """The mean is over episodes: a long one has no more weight than a short one."""
    short, long = (EvaluatedEpisode(seed=length, episode_return=value, length=length, terminated=True)
                   for length, value in ((1, 0.0), (999, 10.0)))  # fmt: skip
    evaluation = Evaluation(step=1, episodes=1, checkpoint=None, measured=(short, long))

    assert (evaluation.return_mean, evaluation.return_std, evaluation.length_mean) == (5, 5, 500)


def test_one_return_that_is_no_number_is_not_hidden() -> None:
    """NaN makes mean and deviation NaN; an infinity makes the mean infinite, and a deviation from that is none."""
    assert math.isnan(measured(1, math.nan, 3).return_mean)
    assert math.isnan(measured(1, math.nan, 3).return_std)
    assert measured(1, math.inf, 3).return_mean == math.inf
    assert math.isnan(measured(1, math.inf, 3).return_std)
    assert math.isnan(measured(-math.inf, math.inf).return_mean)


def test_of_no_episode_there_is_no_mean() -> None:
    """An evaluation in which no episode ended is NaN throughout, and no error."""
    nothing = measured()

    assert all(math.isnan(value) for value in (nothing.return_mean, nothing.return_std, nothing.length_mean))


def test_a_discounted_mean_is_there_when_it_was_asked_for() -> None:
    """Without a discount there is none; with one it is the mean over the episodes."""
    episodes = tuple(EvaluatedEpisode(seed=seed, episode_return=1, length=1, terminated=True, discounted_return=value)
                     for seed, value in enumerate((0.25, 0.75)))  # fmt: skip

    assert measured(1, 2).discounted_return_mean is None
    assert Evaluation(step=1, episodes=1, checkpoint=None, gamma=0.5, measured=episodes).discounted_return_mean == 0.5


def estimated(*pairs: tuple[float | None, float | None]) -> Evaluation:
    """Return an evaluation of episodes with these estimates and discounted returns."""
    episodes = (EvaluatedEpisode(seed=seed, episode_return=1, length=1, terminated=True, value=value,
                                 discounted_return=found) for seed, (value, found) in enumerate(pairs))  # fmt: skip
    return Evaluation(step=1, episodes=1, checkpoint=None, gamma=0.5, measured=tuple(episodes))


def test_overestimation_is_the_mean_of_estimate_minus_discounted_return() -> None:
    """Episode by episode, with its sign: too much and too little make up for each other."""
    assert (estimated((3, 1), (5, 1)).value_mean, estimated((3, 1), (5, 1)).overestimation) == (4, 3)
    assert estimated((3, 1), (1, 3)).overestimation == 0
    assert estimated((0, 2)).overestimation == -2


def test_without_estimates_there_is_no_overestimation() -> None:
    """Nor for a value with nothing to hold it against; an episode without one does not count."""
    assert (measured(1).value_mean, measured(1).overestimation) == (None, None)
    assert (estimated((3, None)).value_mean, estimated((3, None)).overestimation) == (3, None)
    assert (estimated((3, 1), (None, 9)).value_mean, estimated((3, 1), (None, 9)).overestimation) == (3, 2)


@pytest.mark.parametrize(
    ("greedy", "gamma", "trained_gamma", "asked"),
    [
        (True, 0.9, 0.9, True),
        (True, 1, 1.0, True),
        (False, 0.9, 0.9, False),
        (True, 0.8, 0.9, False),
        (True, 0.9, None, False),
        (True, None, None, False),
    ],
)
def test_estimates_are_asked_for_where_they_are_of_what_is_measured(
    greedy: bool, gamma: float | None, trained_gamma: float | None, asked: bool
) -> None:
    """The discounted return of greedy actions, with the discount that the policy was trained with."""
    request = EvaluationRequest(env={}, seeds=(1,), num_envs=1, greedy=greedy, gamma=gamma, trained_gamma=trained_gamma)
    assert request.asks_values is asked


def test_metrics_have_the_names_of_the_vocabulary() -> None:
    """Everything that is reported as scalars is documented, and what was not asked for is not reported."""
    episode = EvaluatedEpisode(seed=1, episode_return=4, length=3, terminated=True, discounted_return=2, value=7)
    discounted = Evaluation(step=1, episodes=1, checkpoint=None, gamma=0.5, measured=(episode,))

    assert discounted.metrics() == {
        "evaluation/return_mean": 4,
        "evaluation/return_std": 0,
        "evaluation/length_mean": 3,
        "evaluation/discounted_return_mean": 2,
        "evaluation/value_mean": 7,
        "evaluation/overestimation": 5,
    }
    assert set(discounted.metrics()) == {name for name in VOCABULARY if name.startswith("evaluation/")}
    undiscounted = {"evaluation/return_mean", "evaluation/return_std", "evaluation/length_mean"}
    assert set(measured(4).metrics()) == undiscounted
    assert set(estimated((None, 2)).metrics()) == undiscounted | {"evaluation/discounted_return_mean"}


# ---- lines ---------------------------------------------------------------------------------------------------------


@FEW
@given(evaluation=evaluations())
def test_a_line_is_legal_json_and_loses_nothing(evaluation: Evaluation) -> None:
    """What is read is what was written, NaN and infinities too, and every JSON reader can read it."""
    text = json.dumps(evaluation.to_json(), allow_nan=False)

    # Compared as text, as NaN equals nothing.
    assert repr(Evaluation.from_json(json.loads(text))) == repr(evaluation)


@FEW
@given(evaluation=evaluations())
def test_an_evaluation_reaches_the_host_as_it_was(evaluation: Evaluation) -> None:
    """What the relay does to a line so that it is JSON costs nothing either."""
    text = json.dumps(json_safe(evaluation.to_json()), allow_nan=False)

    assert repr(Evaluation.from_json(json.loads(text))) == repr(evaluation)


def test_a_line_says_what_people_look_for() -> None:
    """The statistics stand in the line itself, so that no reader has to compute them; NaN stands there as a text."""
    line = measured(1, 3).to_json()

    assert (line["step"], line["checkpoint"], line["return_mean"], line["return_std"], line["length_mean"]) == (
        100, "abc", 2, 1, 10,
    )  # fmt: skip
    assert (line["seeds"], line["returns"], line["lengths"], line["terminated"]) == (
        [0, 1],
        [1, 3],
        [10, 10],
        [True] * 2,
    )
    assert (line["gamma"], line["discounted_returns"], line["discounted_return_mean"]) == (None, None, None)
    assert (line["values"], line["value_mean"], line["overestimation"]) == (None, None, None)
    line = estimated((3, 1), (None, 2)).to_json()
    assert (line["values"], line["value_mean"], line["overestimation"]) == ([3, None], 3, 2)
    assert measured(math.nan).to_json()["return_mean"] == "nan"
    assert measured(math.inf).to_json()["returns"] == ["inf"]


@FEW
@given(made=st.lists(evaluations(), min_size=1, max_size=4), data=st.data())
def test_a_file_that_is_torn_anywhere_loses_only_the_torn_line(made: list[Evaluation], data: st.DataObject) -> None:
    """Cut off after any byte, as by a kill or a full disk: the whole lines are read, and the next one is not lost."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "evaluations.jsonl"
        for evaluation in made:
            append_line(path, evaluation.to_json())
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])

        found = evaluations_of(read_lines(path))
        assert list(map(repr, found)) == list(map(repr, made[: whole[:cut].count(b"\n")]))

        append_line(path, made[0].to_json())
        if whole[cut : cut + 1] != b"\n":  # where only the end of the line was lost, that line is whole again
            assert list(map(repr, evaluations_of(read_lines(path)))) == [*map(repr, found), repr(made[0])]


WHOLE = measured(1, 2).to_json()


@pytest.mark.parametrize(
    "line",
    [
        {},
        {**WHOLE, "seeds": None},
        {**WHOLE, "seeds": [1]},
        {**WHOLE, "returns": ["a lot", 2]},
        {**WHOLE, "returns": [None, 2]},
        {name: value for name, value in WHOLE.items() if name != "best"},
        {**WHOLE, "discounted_returns": [1]},
        {**WHOLE, "values": [1]},
        {**WHOLE, "values": ["much", 2]},
        {**WHOLE, "videos": None},
    ],
)
def test_a_line_that_is_no_evaluation_is_passed_over(line: dict[str, Any]) -> None:
    """Fields that are missing or do not belong together make no evaluation, and cost only themselves."""
    assert evaluations_of([WHOLE, line, WHOLE]) == [measured(1, 2)] * 2


def test_a_line_from_before_there_were_estimates_is_read() -> None:
    """What is missing in it was not asked for."""
    new = ("values", "value_mean", "overestimation")
    assert evaluations_of([{name: value for name, value in WHOLE.items() if name not in new}]) == [measured(1, 2)]


def test_a_line_of_a_later_version_is_read() -> None:
    """A field that this rlctl does not know is left aside."""
    assert evaluations_of([{**WHOLE, "mood": "good"}]) == [measured(1, 2)]
