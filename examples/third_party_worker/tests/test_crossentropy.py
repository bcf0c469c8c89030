"""What rlctl asks of every worker, and what this one promises beside it."""

from pathlib import Path

from rlctl.testing import WorkerContract, fake_run
from rlctl_crossentropy.plugin import HYPERPARAMETERS
from rlctl_crossentropy.worker import CrossEntropyWorker


class TestContract(WorkerContract):
    worker = "crossentropy"
    total_timesteps = 3000


def test_a_generation_plays_one_episode_per_policy(tmp_path: Path) -> None:
    run = fake_run(tmp_path, parameters=HYPERPARAMETERS, hyperparameters={"population": 3, "elite": 1}, total_episodes=6)
    CrossEntropyWorker().train(run)
    assert len(run.recorded_episodes) == 6
    assert len(run.recorded_metrics) == 2
