"""What can be set of which algorithm, and which settings are refused together."""

import attrs
import pytest

from rlctl import EnvConfig, RunConfig
from rlctl.config.check import with_defaults
from rlctl_dqn.algorithms import ALGORITHMS
from rlctl_dqn.checks import problems_in
from rlctl_dqn.config import DqnHyperparameters, hyperparameters
from rlctl_dqn.plugin import rlctl_check_run, rlctl_workers

CLEANRL_DQN = {
    "learning_rate": 2.5e-4, "buffer_size": 10_000, "gamma": 0.99, "tau": 1.0, "target_update_frequency": 500,
    "batch_size": 128, "exploration_initial": 1.0, "exploration_final": 0.05, "exploration_fraction": 0.5,
    "learning_starts": 10_000, "train_frequency": 10,
}  # fmt: skip


def config_of(algo="dqn", *, budget=500_000, **changes):
    """A run's configuration, complete as a check sees it."""
    settings = with_defaults(changes, hyperparameters(algo))
    return RunConfig(
        worker="dqn", algo=algo, env=EnvConfig(id="CartPole-v1"), total_timesteps=budget, hyperparameters=settings
    )


def refused(algo="dqn", **changes):
    """Path → message and hint of what is refused."""
    return {problem.path: str(problem) for problem in problems_in(config_of(algo, **changes))}


def test_the_defaults_of_dqn_are_cleanrls():
    """And everything that CleanRL's script does not have is off."""
    plain = attrs.asdict(DqnHyperparameters())
    assert CLEANRL_DQN.items() <= plain.items()
    off = ("double", "dueling", "noisy", "prioritized", "munchausen")
    assert [name for name in off if plain[name]] == []
    assert (plain["n_step"], plain["distribution"], plain["gradient_steps"]) == (1, "none", 1)


def test_rainbow_is_all_of_it():
    """Double, dueling, three steps, prioritised, categorical and noisy, without random actions."""
    rainbow = {parameter.name: parameter.default for parameter in hyperparameters("rainbow")}
    expected = {
        "double": True, "dueling": True, "n_step": 3, "prioritized": True, "distribution": "categorical", "noisy": True,
        "munchausen": False, "exploration_initial": 0.0, "exploration_final": 0.0,
    }  # fmt: skip
    assert expected.items() <= rainbow.items()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_algorithm_has_every_setting(algo):
    """With the same kinds and ranges; only defaults differ, and those are what its settings may be."""
    for own, plain in zip(hyperparameters(algo), hyperparameters("dqn"), strict=True):
        assert attrs.evolve(own, default=plain.default) == plain
        assert own.problem_with(own.default) is None
        assert own.doc


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_the_defaults_of_every_algorithm_make_sense_together(algo):
    """No algorithm is refused as it is."""
    assert refused(algo) == {}


def test_the_worker_names_its_algorithms():
    """`dqn` is the first and so the default."""
    (worker,) = rlctl_workers()
    assert [algorithm.name for algorithm in worker.algorithms] == [
        "dqn", "dqn_atari", "double_dqn", "dueling_dqn", "c51", "qr_dqn", "rainbow",
    ]  # fmt: skip


def test_other_workers_are_not_checked():
    """The check is asked for every run."""
    (worker,) = rlctl_workers()
    config = config_of(learning_starts=1)
    assert list(rlctl_check_run(config=config, worker=attrs.evolve(worker, name="sb3"))) == []
    assert len(list(rlctl_check_run(config=config, worker=worker))) == 1


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"munchausen": True, "distribution": "categorical"}, "munchausen", "Set distribution to none"),
        ({"munchausen": True, "double": True}, "munchausen", "Set double to false"),
        ({"munchausen": True, "n_step": 2}, "munchausen", "Set n_step to 1"),
        ({"vectorization": "native", "n_step": 2}, "vectorization", "Set it to auto"),
        ({"path": "fast", "dueling": True}, "path", "Leave path at auto"),
        ({"distribution": "categorical", "v_min": 5.0, "v_max": 5.0}, "v_min", "less than v_max, got 5 and 5"),
        ({"learning_starts": 100}, "learning_starts", "at least batch_size, 128, got 100"),
        ({"learning_starts": 500_000}, "learning_starts", "would learn nothing"),
        ({"buffer_size": 100}, "buffer_size", "at least batch_size, 128, got 100"),
        ({"noisy": True, "exploration_final": 0.0}, "exploration_initial", "noisy explores by itself. Set"),
        ({"exploration_initial": 0.0, "exploration_final": 0.0}, "exploration_initial", "nothing explores"),
        ({"priority_exponent": 0.7}, "priority_exponent", "Set prioritized to true, or leave priority_exponent out"),
        ({"priority_epsilon": 0.1}, "priority_epsilon", "prioritized is not true"),
        ({"importance_initial": 0.5}, "importance_initial", "prioritized is not true"),
        ({"importance_final": 0.5}, "importance_final", "prioritized is not true"),
        ({"atoms": 51}, "atoms", "distribution is not categorical"),
        ({"v_min": -1.0}, "v_min", "distribution is not categorical"),
        ({"v_max": 1.0, "distribution": "quantile"}, "v_max", "distribution is not categorical"),
        ({"quantiles": 7, "distribution": "categorical"}, "quantiles", "distribution is not quantile"),
        ({"munchausen_tau": 0.1}, "munchausen_tau", "munchausen is not true"),
        ({"exploration_decay": 0.2}, "exploration_decay", "exploration_schedule is not exponential"),
        ({"exploration_fraction": 0.2, "exploration_schedule": "exponential"}, "exploration_fraction", "not linear"),
        ({"loss": "huber", "distribution": "quantile"}, "loss", "brings its own"),
        ({"hidden_sizes": [64, 0]}, "hidden_sizes", "expected integers of at least 1, got 0"),
        ({"hidden_sizes": [64, "x"]}, "hidden_sizes", "got 'x'"),
        ({"hidden_sizes": [9], "extractor": "nature"}, "hidden_sizes", "no effect with extractor nature"),
        ({"features": 9, "extractor": "mlp"}, "features", "no effect with extractor mlp"),
        ({"extractor": "natur"}, "extractor", 'Did you mean "nature"?'),
    ],
    ids=str,
)
def test_what_makes_no_sense_together_is_refused(changes, path, words):
    """With the setting's path and what to do."""
    found = refused(**changes)
    assert list(found) == [f"hyperparameters.{path}"]
    assert words in found[f"hyperparameters.{path}"]


def test_everything_is_refused_at_once():
    """Four mistakes, four problems."""
    found = refused("rainbow", munchausen=True, exploration_final=0.1, learning_starts=2, loss="huber")
    assert sorted(found) == [
        "hyperparameters.exploration_final", "hyperparameters.learning_starts", "hyperparameters.loss",
        "hyperparameters.munchausen",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"prioritized": True, "priority_exponent": 0.7},
        {"noisy": True, "exploration_initial": 0.0, "exploration_final": 0.0},
        {"munchausen": True, "dueling": True, "prioritized": True, "munchausen_alpha": 0.5},
        {"distribution": "quantile", "quantiles": 7, "double": True, "n_step": 5},
        {"exploration_schedule": "exponential", "exploration_decay": 0.3},
        {"extractor": "package.module:Class"},
    ],
    ids=str,
)
def test_what_makes_sense_is_let_through(changes):
    """Options can be combined on the plain algorithm."""
    assert refused(**changes) == {}


def test_a_value_that_is_wrong_by_itself_hides_no_other_problem():
    """Its kind is refused elsewhere; what makes no sense together is still said."""
    assert list(refused(batch_size="many", hidden_sizes=3, learning_starts=2)) == ["hyperparameters.learning_starts"]


def test_a_budget_in_episodes_refuses_no_late_start():
    """Nobody knows how many steps it has."""
    config = attrs.evolve(config_of(), total_timesteps=None, total_episodes=3)
    assert list(problems_in(config)) == []
