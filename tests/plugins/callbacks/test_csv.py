"""`csv`: tables that any program reads, whatever metric comes late and wherever a kill strikes."""

import csv
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from rlctl import Episode, Metrics, Result
from rlctl.testing import fake_run
from rlctl_callbacks.csv import Csv

END = Result(status="finished", reason="over")


@pytest.fixture
def info(tmp_path):
    """A run to write into."""
    return fake_run(tmp_path).info


def table(path):
    """Return the rows of a table as a reader of CSV has them: column → text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def episode(index):
    """Return an episode of ten steps."""
    return Episode(index=index, step=10 * (index + 1), episode_return=index / 2, length=10, seconds=0.25)


def metrics(step, **values):
    """Return metrics at a step."""
    return Metrics(step=step, seconds=0.5, values=values)


def test_an_episode_is_a_row(info):
    """The columns are those of the lines of episodes.jsonl."""
    callback = Csv(info)
    callback.rlctl_episode_ended(episode(3))
    callback.rlctl_training_ended(END)
    assert (
        info.directory / "episodes.csv"
    ).read_text() == "episode,step,return,length,env,seconds\n3,40,1.5,10,0,0.25\n"


def test_a_metric_that_appears_later_is_a_new_column(info):
    """Earlier rows are empty there, and each row stays what it was."""
    callback = Csv(info)
    callback.rlctl_metrics(metrics(1, loss=0.5))
    callback.rlctl_metrics(metrics(2, q_value=2.0))
    callback.rlctl_metrics(metrics(3, loss=0.25, q_value=3.0))
    callback.rlctl_training_ended(END)
    text = (info.directory / "metrics.csv").read_text()
    assert text == "step,seconds,loss,q_value\n1,0.5,0.5,\n2,0.5,,2.0\n3,0.5,0.25,3.0\n"


def test_numbers_that_are_not_finite_are_words_that_float_reads(info):
    """NaN and infinities, numpy's and torch's as well, come back as they were."""
    callback = Csv(info)
    callback.rlctl_metrics(
        metrics(1, a=float("nan"), b=float("inf"), c=np.float32("-inf"), d=np.float64(0.5), e=torch.tensor(0.5))
    )
    callback.rlctl_training_ended(END)
    (row,) = table(info.directory / "metrics.csv")
    assert [repr(float(row[name])) for name in "abcde"] == ["nan", "inf", "-inf", "0.5", "0.5"]


def test_a_row_that_a_kill_has_torn_costs_only_itself(info):
    """Whoever opens the files again goes on after the last whole row."""
    callback = Csv(info)
    callback.rlctl_episode_ended(episode(0))
    callback.rlctl_training_ended(END)
    with (info.directory / "episodes.csv").open("a") as file:
        file.write("1,20,0.")
    callback = Csv(info)
    callback.rlctl_episode_ended(episode(1))
    callback.rlctl_training_ended(END)
    assert [row["episode"] for row in table(info.directory / "episodes.csv")] == ["0", "1"]


def test_a_kill_costs_no_row_that_was_written(info):
    """After kill -9 in the middle each row is there, that of a column that had just appeared too."""
    program = f"""
import os, signal
from pathlib import Path
from rlctl import Metrics, RunInfo
from rlctl_callbacks.csv import Csv
info = RunInfo(run_id="x", directory=Path({str(info.directory)!r}), worker="w", algo="a", env_id="e", seed=1,
               total_timesteps=9, total_episodes=None)
callback = Csv(info)
for step in range(100):
    callback.rlctl_metrics(Metrics(step=step, seconds=0.0, values={{"a": 1.0, **({{"b": 2.0}} if step == 99 else {{}})}}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    answer = subprocess.run([sys.executable, "-c", program], check=False)
    assert answer.returncode == -signal.SIGKILL
    rows = table(info.directory / "metrics.csv")
    assert [int(row["step"]) for row in rows] == list(range(100))
    assert rows[-1]["b"] == "2.0"
