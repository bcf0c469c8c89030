"""What a backend is handed: counts, budgets and records, whatever kind of number a backend counts with."""

import json

import numpy as np
import pytest

from rlctl import hookimpl
from rlctl.testing import fake_run
from rlctl.worker.heartbeat import BEAT_SECONDS
from rlctl.worker.status import StatusFile


def test_the_budget_in_steps_ends_the_run(tmp_path):
    """`advance` returns False at the budget, and `stop` says which one it was."""
    run = fake_run(tmp_path, total_timesteps=3)
    assert [run.advance(step) for step in (1, 2, 3)] == [True, True, False]
    assert (run.stop.kind, run.stop.reason) == ("timesteps", "total_timesteps = 3 reached")


def test_the_budget_in_episodes_ends_the_run(tmp_path):
    """With a budget of episodes the last of them ends the run."""
    run = fake_run(tmp_path, total_episodes=2)
    for step in (1, 2):
        assert run.advance(step)
        run.record_episode(1.0, 1)
    assert not run.advance(3)
    assert (run.stop.kind, run.stop.reason) == ("episodes", "total_episodes = 2 reached")


def test_a_request_ends_the_run_at_the_next_step(tmp_path):
    """After `request_stop` the next `advance` returns False, with that reason."""
    run = fake_run(tmp_path)
    assert run.advance(1)
    run.request_stop("enough", signal="SIGTERM")
    assert not run.advance(2)
    assert (run.stop.kind, run.stop.reason, run.stop.signal) == ("request", "enough", "SIGTERM")


def test_the_first_request_holds(tmp_path):
    """A second request does not change the reason of the first."""
    run = fake_run(tmp_path)
    run.request_stop("first")
    run.request_stop("second")
    assert run.stop.reason == "first"


def test_a_request_in_the_file_is_seen_within_a_beat(tmp_path):
    """A stop request that another process wrote into the directory is found at the next heartbeat."""
    run = fake_run(tmp_path)
    run.directory.request_stop("asked from elsewhere")
    run._heartbeat.next_at = 0.0
    assert not run.advance(1)
    assert run.stop.reason == "asked from elsewhere"
    assert BEAT_SECONDS <= 1


def test_the_mean_return_is_of_the_last_hundred_episodes(tmp_path):
    """`return_mean` is None before the first episode and then the mean of at most the last hundred."""
    run = fake_run(tmp_path)
    assert run.return_mean is None
    for number in range(150):
        run.record_episode(number, 1)
    assert run.return_mean == sum(range(50, 150)) / 100


def test_episodes_are_numbered_as_they_come(tmp_path):
    """Episodes of all parallel environments are numbered in the order in which they are reported."""
    run = fake_run(tmp_path)
    run.record_episode(1.0, 5, env_index=2, step=8)
    run.record_episode(2.0, 6, env_index=0, step=9)
    assert [(item.index, item.env_index, item.step) for item in run.recorded_episodes] == [(0, 2, 8), (1, 0, 9)]


def test_a_record_without_a_step_is_of_the_current_one(tmp_path):
    """Episodes and metrics are at the step of the last `advance` unless they say otherwise."""
    run = fake_run(tmp_path)
    run.advance(7)
    run.record_episode(1.0, 5)
    run.record_metrics({"train/loss": 0.5})
    assert (run.recorded_episodes[0].step, run.recorded_metrics[0].step) == (7, 7)


def test_numpy_numbers_become_plain_ones(tmp_path):
    """A backend may count and measure in numpy's types; what callbacks get can be written as JSON."""
    run = fake_run(tmp_path)
    run.advance(np.int64(4))
    run.record_episode(np.float32(1.5), np.int64(5), env_index=np.int64(1), step=np.int64(4))
    run.record_metrics({"train/loss": np.float32(0.5)}, step=np.int64(4))
    episode, metrics = run.recorded_episodes[0], run.recorded_metrics[0]
    assert json.dumps([episode.to_json(), metrics.to_json(), run.progress().step])
    assert {type(episode.step), type(metrics.step), type(run.step)} == {int}


def test_a_numpy_step_is_a_number_in_the_status(tmp_path):
    """status.json has the step as a number also when the backend counts in numpy's integers."""
    run = fake_run(tmp_path)
    run._heartbeat.status = StatusFile(run.directory.status, None)
    run._heartbeat.next_at = 0.0
    run.advance(np.int64(12))
    assert json.loads(run.directory.status.read_text())["step"] == 12


def test_a_state_that_lacks_a_method_is_refused_where_it_is_attached(tmp_path):
    """A training that could be saved but not resumed is known before its first step, and what it lacks is named."""

    class Half:
        def write_state(self, folder):
            pass

        def policy(self, seed):
            pass

    with pytest.raises(TypeError, match=r"Half lacks read_state, read_weights, read_artefact of rlctl\.Resumable"):
        fake_run(tmp_path).attach(Half())


def test_metrics_that_nobody_wants_cost_nothing(tmp_path):
    """Values are looked at only if a callback listens: with none, even a value that is no number is never touched."""
    run = fake_run(tmp_path)
    run._dispatcher._drop("0 _Recorder")
    run.record_metrics({"train/loss": object()})


def test_a_fake_run_fails_the_test_when_a_callback_fails(tmp_path):
    """In a fake run nothing is switched off silently: a callback that raises is an error of the test."""

    class Bad:
        @hookimpl
        def rlctl_step(self):
            raise ValueError("no")

    run = fake_run(tmp_path, callbacks=[Bad()])
    with pytest.raises(AssertionError, match="Bad failed in rlctl_step"):
        run.advance(1)


def test_a_fake_run_trains_a_worker(tmp_path, site):
    """A worker's `train` can be tested within the test's own process, with its declared defaults filled in."""
    site("toy_worker")
    from toy_worker.plugin import COUNT
    from toy_worker.worker import ToyWorker

    run = fake_run(tmp_path, algo="count", parameters=COUNT, hyperparameters={"episode_length": 1}, total_timesteps=5)
    ToyWorker().train(run)
    assert run.recorded_steps == [0, 1, 2, 3, 4, 5]
    assert [item.length for item in run.recorded_episodes] == [1] * 5
