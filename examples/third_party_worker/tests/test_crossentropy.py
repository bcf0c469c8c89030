"""What rlctl asks of every worker, and what this one promises beside it."""

from pathlib import Path

from rlctl_crossentropy.plugin import HYPERPARAMETERS
from rlctl_crossentropy.worker import CrossEntropyWorker

from rlctl.testing import WorkerContract, fake_run


class TestContract(WorkerContract):
    """The promises of every worker, with a budget of a few generations."""

    worker = "crossentropy"
    total_timesteps = 3000


def test_a_generation_plays_one_episode_per_policy(tmp_path: Path) -> None:
    population, generations = 3, 2
    settings, budget = {"population": population, "elite": 1}, population * generations
    run = fake_run(tmp_path, parameters=HYPERPARAMETERS, hyperparameters=settings, total_episodes=budget)
    CrossEntropyWorker().train(run)
    assert len(run.recorded_episodes) == budget
    assert len(run.recorded_metrics) == generations
