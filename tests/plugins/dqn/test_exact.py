"""A training that is written and read goes on to the last bit; evaluating it leaves no trace."""

import numpy as np
import pytest
from tests.plugins.dqn.making import parameters, train_to, training_of

from rlctl.evaluations import EvaluationRequest
from rlctl.gym.evaluation import measure

VARIANTS = {
    "dqn": {},
    "rainbow": {"atoms": 11},
    "qr_dqn": {"quantiles": 5, "n_step": 4},
    "double_dqn": {"prioritized": True, "optimizer": "rmsprop", "exploration_schedule": "exponential"},
    "dueling_dqn": {"munchausen": True, "optimizer": "adamw", "weight_decay": 0.01},
}
SEVERAL = {"id": "CartPole-v1", "num_envs": 2}


def trained(root, algo, to, *, env=SEVERAL, **changes):
    """A training that has taken so many steps, and its run."""
    training, run = training_of(root, algo, env=env, steps=400, **{**VARIANTS[algo], **changes})
    train_to(training, to)
    return training, run


def traces(training):
    """All that a training is, as data that can be compared."""
    saved = training.buffer.state()
    replay = {name: value for name, value in saved.items() if name not in ("pending", "arrays")}
    return {
        "online": parameters(training.agent.online), "target": parameters(training.agent.target),
        "draws": str([training._exploring.state(), training._replaying.state()]),
        "observations": training.envs.observations, **replay, **saved["arrays"],
    }  # fmt: skip


def same(first, second):
    """The names in which two trainings differ."""
    one, other = traces(first), traces(second)
    return [name for name in one if not _equal(one[name], other[name])]


def _equal(one, other):
    """Targets that nobody has worked out are NaN in both."""
    is_number = isinstance(one, np.ndarray) and one.dtype.kind == "f"
    return np.array_equal(one, other, equal_nan=is_number)


@pytest.mark.parametrize("algo", VARIANTS)
@pytest.mark.parametrize("at", [40, 180])
def test_a_training_that_was_saved_goes_on_as_if_it_had_not_been(algo, at, tmp_path):
    """Before and after learning begins, in the middle of windows over several steps."""
    first, run = trained(tmp_path / "first", algo, at)
    (tmp_path / "saved").mkdir()
    first.write_state(tmp_path / "saved")
    before = len(run.recorded_episodes)
    train_to(first, 300)
    second, again = trained(tmp_path / "second", algo, 0)
    second.read_state(tmp_path / "saved")
    train_to(second, 300)
    assert same(first, second) == []
    ends = [(item.step, item.episode_return) for item in run.recorded_episodes[before:]]
    assert ends == [(item.step, item.episode_return) for item in again.recorded_episodes]


@pytest.mark.parametrize("algo", ["dqn", "rainbow"])
def test_the_same_seed_gives_the_same_training(algo, tmp_path):
    """And another seed another one."""
    first, again, other = (
        trained(tmp_path / str(index), algo, 150, seed=seed)[0] for index, seed in enumerate((1, 1, 2))
    )
    assert same(first, again) == []
    assert "online" in same(first, other)


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("algo", ["dqn", "rainbow"])
def test_an_evaluation_does_not_disturb_the_training(algo, greedy, tmp_path):
    """Greedy or not: noise, modes of networks and generators are as they were."""
    watched, _ = trained(tmp_path / "watched", algo, 100)
    env = {"id": "CartPole-v1", "kwargs": {}, "imports": [], "max_episode_steps": 20}
    request = EvaluationRequest(env=env, seeds=(5, 6, 7), num_envs=2, greedy=greedy, gamma=0.9, trained_gamma=0.9)
    with watched.policy(5) as policy:
        once = measure(policy, request)
    assert all((item.value is not None) == greedy for item in once), "its own estimates are asked for as well"
    with watched.policy(5) as policy:
        assert measure(policy, request) == once
    train_to(watched, 200)
    alone, _ = trained(tmp_path / "alone", algo, 200)
    assert same(watched, alone) == []
