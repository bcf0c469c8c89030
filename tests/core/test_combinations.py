"""Settings that contradict each other are refused where they stand, before anything starts; those that do not are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlctl.compatibility import MachineFacts, check_fit
from rlctl.config.combinations import evaluates, impossible_combinations
from rlctl.config.schema import RunConfig
from rlctl.descriptors import AlgorithmDescriptor, Mode, Resume, WorkerDescriptor

EVALUATED = {"every_steps": 100}


def refused(**said: Any) -> dict[str, str]:
    """Return path → message of what a configuration that says this is refused for."""
    problems = impossible_combinations(RunConfig(worker="toy", **said))
    return {problem.path: problem.message for problem in problems}


def test_settings_of_an_evaluation_that_never_comes_are_refused() -> None:
    """Without one of `every_*` each of the others is named: somebody believes that the run is evaluated."""
    assert sorted(refused(evaluation={"episodes": 20, "stochastic": True})) == [
        "evaluation.episodes",
        "evaluation.stochastic",
    ]
    assert refused(evaluation={"every_episodes": 5, "episodes": 20, "stochastic": True}) == {}


# ---- seeds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 5, 7, 8])
def test_seeds_of_the_evaluation_that_meet_the_training_are_refused(first: int) -> None:
    """Seeds that the training's environments have as well are named, with those of the training."""
    evaluation = {**EVALUATED, "seed": first, "episodes": 6}

    assert refused(seed=5, env={"num_envs": 4}, evaluation=evaluation) == {
        "evaluation.seed": f"the seeds {first} to {first + 5} of the evaluation meet those of the training, 5 to 8"
    }


@pytest.mark.parametrize("first", [0, 9, 1000])
def test_seeds_beside_those_of_the_training_are_taken(first: int) -> None:
    """Up to the last one before the training's, and from the first one after them."""
    assert refused(seed=6, env={"num_envs": 3}, evaluation={**EVALUATED, "seed": first, "episodes": 6}) == {}


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 90), num_envs=st.none() | st.integers(1, 10), first=st.integers(0, 90), count=st.integers(1, 9)
)
def test_seeds_are_refused_exactly_when_one_is_shared(seed: int, num_envs: int | None, first: int, count: int) -> None:
    """Counted out: one for each environment, 64 where their number is the algorithm's, and one for each episode."""
    shared = set(range(seed, seed + (num_envs or 64))) & set(range(first, first + count))
    said = {"seed": seed, "env": {"num_envs": num_envs}, "evaluation": {**EVALUATED, "seed": first, "episodes": count}}

    assert ("evaluation.seed" in refused(**said)) == bool(shared)


def test_seeds_of_an_evaluation_that_is_off_meet_nobody() -> None:
    """Without `every_*` there is no evaluation whose seeds could be wrong; that they have no effect is what is said."""
    assert refused(seed=5, evaluation={"seed": 5}) == {
        "evaluation.seed": "has no effect, as this run is not evaluated."
    }


# ---- early stopping ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [("metric", "training"), ("min_delta", 0.5), ("min_timesteps", 10)])
def test_conditions_of_a_stop_that_there_is_none_of_are_refused(name: str, value: Any) -> None:
    """Neither a threshold nor patience: what else is said of early stopping would be without effect."""
    assert refused(evaluation=EVALUATED, early_stopping={name: value}) == {
        f"early_stopping.{name}": "has no effect: there is neither a threshold nor patience."
    }


def test_a_delta_without_patience_is_refused() -> None:
    """A threshold is reached or not; only patience asks whether something became better."""
    assert refused(evaluation=EVALUATED, early_stopping={"threshold": 1, "min_delta": 0.5}) == {
        "early_stopping.min_delta": "has no effect without patience."
    }


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"patience": 3}, "patience"),
        ({"patience": 3, "threshold": 1}, "patience"),
        ({"patience": 3, "metric": "training"}, "patience"),
        ({"patience": 3, "metric": "training", "threshold": 1}, "patience"),
        ({"threshold": 1}, "threshold"),
    ],
)
def test_what_counts_evaluations_needs_some(said: dict[str, Any], where: str) -> None:
    """Patience, and a threshold on the evaluation, never end a run that is not evaluated."""
    assert refused(early_stopping=said) == {
        f"early_stopping.{where}": "counts evaluations, and this run has none."
    }  # fmt: skip


def test_the_hint_is_one_that_helps() -> None:
    """For a threshold there are two ways out, for patience one."""
    hints = [
        problem.hint
        for said in ({"threshold": 1}, {"patience": 1})
        for problem in impossible_combinations(RunConfig(worker="toy", early_stopping=said))
    ]

    assert hints == [
        "Set evaluation.every_steps or evaluation.every_episodes, or early_stopping.metric to training.",
        "Set evaluation.every_steps or evaluation.every_episodes.",
    ]
    assert refused(early_stopping={"threshold": 1, "metric": "training"}) == {}
    assert refused(early_stopping={"patience": 1}, evaluation={"every_episodes": 1}) == {}


@pytest.mark.parametrize("least", [1000, 1001])
def test_a_stop_that_may_only_come_after_the_budget_is_refused(least: int) -> None:
    """`min_timesteps` at or beyond the budget would switch early stopping off."""
    early = {"patience": 1, "min_timesteps": least}

    assert refused(total_timesteps=1000, evaluation=EVALUATED, early_stopping=early) == {
        "early_stopping.min_timesteps": f"{least} is not below the budget of 1000 steps: it could never stop early"
    }


# ---- checkpoints and weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "100", None])
def test_a_milestone_that_is_no_step_is_refused(value: Any) -> None:
    """Milestones are whole numbers from 1 on."""
    assert refused(checkpoint={"milestones": [100, value]}) == {
        "checkpoint.milestones": f"expected steps, whole numbers from 1 on, got {value!r}"
    }


def test_every_wrong_milestone_is_named() -> None:
    """Two wrong ones are two problems."""
    problems = impossible_combinations(RunConfig(worker="toy", checkpoint={"milestones": [0, 5, -3]}))

    assert [problem.message.rpartition(" ")[2] for problem in problems] == ["0", "-3"]


def test_trust_in_nothing_is_refused() -> None:
    """`trust` is about the file that `init_from` names."""
    assert refused(trust=True) == {"trust": "has no effect without init_from."}


# ---- what is possible ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"evaluation": EVALUATED},
        {"evaluation": {"every_episodes": 5}},
        {"evaluation": {**EVALUATED, "every_episodes": 5, "episodes": 3, "seed": 1000, "stochastic": True}},
        {"evaluation": EVALUATED, "early_stopping": {"threshold": 1}},
        {"evaluation": EVALUATED, "early_stopping": {"patience": 2, "min_delta": 1, "min_timesteps": 999}},
        {"evaluation": EVALUATED, "early_stopping": {"patience": 2, "metric": "training"}},
        {"early_stopping": {"threshold": 1, "metric": "training", "min_timesteps": 999}},
        {"early_stopping": {"threshold": 0, "metric": "training"}},
        {"early_stopping": {"min_delta": 0.0, "min_timesteps": 0, "metric": "evaluation"}},
        {"checkpoint": {"milestones": [1, 500, 10**9], "keep_best": 3}},
        {"init_from": "some-run", "trust": True},
        {"init_from": "some-run:best"},
    ],
)
def test_what_is_possible_is_not_refused(said: dict[str, Any]) -> None:
    """Each of these makes sense, and none is refused."""
    assert refused(total_timesteps=1000, **said) == {}


def test_a_budget_in_episodes_bounds_no_steps() -> None:
    """Then `min_timesteps` may be anything."""
    early = {"threshold": 1, "metric": "training", "min_timesteps": 10**9}

    assert refused(total_episodes=10, early_stopping=early) == {}


@pytest.mark.parametrize(
    ("said", "answer"),
    [({}, False), ({"episodes": 3}, False), (EVALUATED, True), ({"every_episodes": 1}, True)],
)
def test_a_run_is_evaluated_when_it_says_how_often(said: dict[str, Any], answer: bool) -> None:
    """Steps or episodes; all else alone says only how."""
    assert evaluates(RunConfig(worker="toy", evaluation=said)) is answer


# ---- workers -------------------------------------------------------------------------------------------------------


def unfit(modes: tuple[Mode, ...], resume: Resume, **said: Any) -> dict[str, str]:
    """Return path → message of what a worker of these modes cannot do."""
    algorithm = AlgorithmDescriptor(
        name="a", action_spaces=(), observation_spaces=(), default_env="x", default_total_timesteps=1
    )
    worker = WorkerDescriptor(
        name="w", summary="", entry_point="w:W", algorithms=(algorithm,), env_families=("x",), modes=modes, resume=resume
    )  # fmt: skip
    machine = MachineFacts(cpu_cores=1, memory_mb=None, has_gpu=False)
    problems = check_fit(RunConfig(worker="w", **said), worker, algorithm, None, machine)
    return {problem.path: problem.message for problem in problems}


@pytest.mark.parametrize("name", ["every_steps", "every_episodes"])
def test_a_worker_that_lends_no_policy_is_not_evaluated(name: str) -> None:
    """What is asked for and cannot be had is refused where it is asked for."""
    evaluation = {name: 5}

    assert unfit((Mode.TRAIN,), Resume.EXACT, evaluation=evaluation) == {
        f"evaluation.{name}": "worker w cannot lend its policy, so it cannot be evaluated."
    }
    assert unfit((Mode.TRAIN, Mode.EVALUATE), Resume.NONE, evaluation=evaluation) == {}


def test_a_worker_that_saves_nothing_does_not_begin_with_weights() -> None:
    """One that neither lends its policy nor resumes has no weights that it could take."""
    assert unfit((Mode.TRAIN,), Resume.NONE, init_from="r") == {
        "init_from": "worker w cannot begin with weights (resume: none)."
    }
    assert unfit((Mode.TRAIN, Mode.EVALUATE), Resume.NONE, init_from="r") == {}


# ---- on the command line -------------------------------------------------------------------------------------------


def test_all_of_them_are_said_at_once_with_their_origins(
    cli: Callable[..., Any], site: Callable[..., Any], tmp_path: Path
) -> None:
    """A refusal names every contradiction, and who said what; nothing is started."""
    site("toy_worker")
    (cli.folder / "e.yaml").write_text("worker: toy\nearly_stopping:\n  patience: 3\ncheckpoint:\n  milestones: [0]\n")

    outcome = cli("run", "e.yaml", "--trust", "--json")

    found = {problem["path"]: problem["origin"] for problem in outcome.json()["problems"]}
    assert outcome.code == 2
    assert found == {
        "early_stopping.patience": "e.yaml:3",
        "checkpoint.milestones": "e.yaml:5",
        "trust": "--trust",
    }
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("evaluation.every_steps=0", "evaluation.every_steps: must be at least 1, got 0"),
        ("evaluation.episodes=0", "evaluation.episodes: must be at least 1, got 0"),
        ("evaluation.gamma=1.5", "evaluation.gamma: must be at most 1, got 1.5"),
        ("early_stopping.metric=loss", 'early_stopping.metric: expected one of evaluation, training, got "loss"'),
        ("early_stopping.patience=0", "early_stopping.patience: must be at least 1, got 0"),
        ("early_stopping.min_delta=-1", "early_stopping.min_delta: must be at least 0, got -1"),
        (
            "evaluation.every_step=5",
            "evaluation.every_step: unknown key. (from --set evaluation.every_step) Did you mean",
        ),
        ("early_stopping.threshold=.nan", "early_stopping.threshold: must be a finite number, got nan"),
        ("checkpoint.keep_best=0", "checkpoint.keep_best: must be at least 1, got 0"),
        ("checkpoint.milestones=100", "checkpoint.milestones: expected a list, got 100"),
    ],
)
def test_a_single_value_that_is_wrong_is_refused_by_path(
    fast_cli: Callable[..., Any], site: Callable[..., Any], setting: str, words: str
) -> None:
    """Kinds and limits of the new sections are checked as all others are."""
    site("toy_worker")

    outcome = fast_cli("run", "toy", "--dry-run", "--set", setting)

    assert outcome.code == 2
    assert words in outcome.err
