"""What rlctl asks of every worker, and what this one promises beside it."""

from pathlib import Path

import numpy as np
import pytest
from rlctl_crossentropy.plugin import HYPERPARAMETERS
from rlctl_crossentropy.worker import CrossEntropyWorker, Search

from rlctl import RlctlError
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


def test_it_begins_with_the_weights_of_a_checkpoint(tmp_path: Path) -> None:
    found, anew = Search((4, 2), 0), Search((4, 2), 0)
    found.mean += 1.0
    found.write_state(tmp_path)
    anew.read_weights(tmp_path)
    assert (anew.mean == found.mean).all()


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "policy.npy", np.zeros((6, 3)))
    with pytest.raises(RlctlError, match=r"\(6, 3\), not \(4, 2\)"):
        Search((4, 2), 0).read_artefact(tmp_path / "policy.npy", trust=False)
