"""`jsonl`: what was reported stands in the files, also what JSON has no number for."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rlctl import Episode, Metrics, Result
from rlctl.runs.files import read_lines
from rlctl.testing import fake_run
from rlctl_callbacks.jsonl import JsonLines

END = Result(status="finished", reason="over")


def strict_lines(path):
    """Return the lines of a file as a strict JSON parser reads them: NaN and Infinity are errors."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


@pytest.fixture
def info(tmp_path):
    """A run to write into."""
    return fake_run(tmp_path).info


def test_an_episode_is_a_line_under_stable_names(info):
    """A line of episodes.jsonl has exactly the documented names."""
    callback = JsonLines(info)
    callback.rlctl_episode_ended(Episode(index=3, step=70, episode_return=2.5, length=9, env_index=1, seconds=0.25))
    callback.rlctl_training_ended(END)
    (line,) = strict_lines(info.directory / "episodes.jsonl")
    assert line == {"episode": 3, "step": 70, "return": 2.5, "length": 9, "env": 1, "seconds": 0.25}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_return_that_is_not_finite_survives_the_file(info, value):
    """A NaN or infinite return is legal JSON in the file and comes back as it was."""
    callback = JsonLines(info)
    callback.rlctl_episode_ended(Episode(index=0, step=1, episode_return=value, length=1))
    callback.rlctl_training_ended(END)
    (line,) = strict_lines(info.directory / "episodes.jsonl")
    assert repr(Episode.from_json(line).episode_return) == repr(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_finite_survives_the_file(info, value):
    """A NaN or infinite metric is legal JSON in the file and comes back as it was, beside one that is finite."""
    callback = JsonLines(info)
    callback.rlctl_metrics(Metrics(step=1, seconds=0.5, values={"train/loss": value, "train/q_value": 1.5}))
    callback.rlctl_training_ended(END)
    (line,) = strict_lines(info.directory / "metrics.jsonl")
    back = Metrics.from_json(line).values
    assert (repr(back["train/loss"]), back["train/q_value"]) == (repr(value), 1.5)


def test_a_numpy_nan_reported_by_a_backend_survives_the_file(tmp_path):
    """Backends report numpy's numbers; one that is NaN comes back as NaN, too."""
    run = fake_run(tmp_path)
    callback = JsonLines(run.info)
    run._dispatcher.register("jsonl", callback)
    run.record_metrics({"train/loss": np.float32("nan"), "train/q_value": np.float32(0.5)})
    callback.rlctl_training_ended(END)
    (line,) = strict_lines(run.info.directory / "metrics.jsonl")
    back = Metrics.from_json(line).values
    assert math.isnan(back["train/loss"])
    assert back["train/q_value"] == 0.5


def test_returns_keep_all_their_bits(info):
    """A return is written so that it reads back to the same float."""
    values = [0.1 + 0.2, 1e-300, 123456789.123456789]
    callback = JsonLines(info)
    for index, value in enumerate(values):
        callback.rlctl_episode_ended(Episode(index=index, step=index, episode_return=value, length=1))
    callback.rlctl_training_ended(END)
    read = [Episode.from_json(line).episode_return for line in read_lines(info.directory / "episodes.jsonl")]
    assert read == values


@pytest.mark.parametrize("kind", [float, np.float32, np.float64, torch.tensor])
@pytest.mark.parametrize("value", [0.5, math.nan, math.inf])
def test_numbers_of_other_libraries_are_numbers(info, kind, value):
    """A program of one's own may hand over numpy's and torch's scalars; what is not finite is flagged."""
    callback = JsonLines(info)
    callback.rlctl_metrics(Metrics(step=1, seconds=0.5, values={"a": kind(value), "b": 2.0}))
    callback.rlctl_episode_ended(Episode(index=0, step=1, episode_return=kind(value), length=1))
    callback.rlctl_training_ended(END)
    (metrics,), (episode,) = (strict_lines(info.directory / f"{name}.jsonl") for name in ("metrics", "episodes"))
    assert repr(Metrics.from_json(metrics).values) == repr({"a": value, "b": 2.0})
    assert repr(Episode.from_json(episode).episode_return) == repr(value)


def test_finite_numbers_whose_sum_is_not_are_left_as_they_are(info):
    """The quick look at the sum may be wrong, the file is not."""
    callback = JsonLines(info)
    callback.rlctl_metrics(Metrics(step=1, seconds=0.5, values={"a": 1.7e308, "b": 1.7e308}))
    callback.rlctl_training_ended(END)
    (line,) = strict_lines(info.directory / "metrics.jsonl")
    assert line["values"] == {"a": 1.7e308, "b": 1.7e308}
    assert "nonfinite" not in line


REPORT_AND_WAIT = """
import sys, time
from pathlib import Path
from rlctl import Episode
from rlctl.testing import fake_run
from rlctl_callbacks.jsonl import WRITE_EVERY, JsonLines

info = fake_run(Path(sys.argv[1])).info
callback = JsonLines(info)
for index in range(1000):
    callback.rlctl_episode_ended(Episode(index=index, step=index, episode_return=1.0, length=1))
time.sleep(10 * WRITE_EVERY)
print(info.directory, flush=True)
time.sleep(60)
"""


def test_a_kill_costs_no_line_that_is_older_than_the_interval(tmp_path):
    """Of a process that reported, then nothing for a while, and was killed, all lines are in the file, and whole."""
    process = subprocess.Popen([sys.executable, "-c", REPORT_AND_WAIT, tmp_path], stdout=subprocess.PIPE, text=True)
    directory = Path(process.stdout.readline().strip())
    process.kill()
    process.communicate()
    assert [line["episode"] for line in strict_lines(directory / "episodes.jsonl")] == list(range(1000))


def test_all_is_in_the_files_before_a_checkpoint(info):
    """How long the files are is part of a checkpoint, so nothing may wait then."""
    callback = JsonLines(info)
    for index in range(100):
        callback.rlctl_episode_ended(Episode(index=index, step=index, episode_return=1.0, length=1))
        callback.rlctl_metrics(Metrics(step=index, seconds=0.1, values={"train/loss": 0.5}))
    callback.rlctl_checkpoint_due()
    assert len(strict_lines(info.directory / "episodes.jsonl")) == 100
    assert len(strict_lines(info.directory / "metrics.jsonl")) == 100
    callback.rlctl_training_ended(END)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without a disk that is always full")
def test_a_full_disk_is_raised_where_it_is_reported(info):
    """What goes wrong while lines are written is raised by the next report, so that the run says so."""
    (info.directory / "metrics.jsonl").symlink_to("/dev/full")
    callback = JsonLines(info)
    report = Metrics(step=1, seconds=0.1, values={"train/loss": 0.5})
    callback.rlctl_metrics(report)
    callback._thread._thread.join(10)
    with pytest.raises(OSError, match="No space left"):
        callback.rlctl_metrics(report)


def test_a_number_counts_as_it_was_when_it_was_reported(info):
    """A tensor that is changed in place after the report is in the file as it was."""
    callback, loss = JsonLines(info), torch.tensor(1.0)
    callback.rlctl_metrics(Metrics(step=1, seconds=0.5, values={"train/loss": loss}))
    loss += 1
    callback.rlctl_training_ended(END)
    (line,) = strict_lines(info.directory / "metrics.jsonl")
    assert line["values"] == {"train/loss": 1.0}


def test_both_files_are_there_from_the_start(info):
    """A run without episodes or metrics has empty files, not none."""
    callback = JsonLines(info)
    callback.rlctl_training_ended(END)
    assert strict_lines(info.directory / "episodes.jsonl") == strict_lines(info.directory / "metrics.jsonl") == []


def test_a_diverging_run_is_readable(site, tmp_path):
    """Of a real run whose loss and returns become NaN, all files are strict JSON, and the API reads the NaNs back."""
    from rlctl import RunConfig, run

    site("toy_worker")
    outcome = run(
        RunConfig(worker="toy", hyperparameters={"nan_at": 500}, callbacks={"progress": False}), runs_dir=tmp_path
    )
    assert outcome.result.status == "finished"
    strict_lines(outcome.directory / "episodes.jsonl")
    strict_lines(outcome.directory / "metrics.jsonl")
    last = outcome.metrics()[-1].values
    assert math.isnan(last["train/loss"])
    assert last["backend/noise"] == -math.inf
