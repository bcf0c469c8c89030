"""Rows on disk: chunks that are whole or not there, cut back exactly, readable after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
import zipfile

import pytest

np = pytest.importorskip("numpy")

from rlctl.gym.row_log import RowLog, chunks_of, segments_of  # noqa: E402 - needs numpy


def log_in(folder, chunk_rows=16, flush_seconds=1000.0):
    """Return a log of one column, `x`."""
    log = RowLog(folder, chunk_rows, flush_seconds)
    log.allocate({"x": (np.int64, ())})
    return log


def play(log, numbers, seed=None, *, goes_on=False):
    """Write an episode whose rows hold these numbers."""
    numbers = list(numbers)
    log.columns["x"][log.start(seed, goes_on=goes_on)] = numbers[0]
    for number in numbers[1:]:
        log.columns["x"][log.row()] = number


def read(folder):
    """Return (episode, seed, numbers) of each segment."""
    return [(item.episode, item.seed, item.columns["x"].tolist()) for item in segments_of(folder)]


def test_episodes_that_cross_chunks_come_back_whole(tmp_path):
    """An episode longer than a chunk is one segment again; the seed of its reset comes back with it."""
    log = log_in(tmp_path)
    play(log, range(50), seed=7)
    play(log, range(50, 53))
    log.flush()
    assert len(chunks_of(tmp_path)) == 4
    assert read(tmp_path) == [(0, 7, list(range(50))), (1, None, [50, 51, 52])]


def test_only_what_gets_smaller_is_compressed(tmp_path):
    """A column of zeros takes next to nothing; one of random digits is kept as it is, which costs no time."""
    log = RowLog(tmp_path, 4096, 1000.0)
    log.allocate({"zeros": (np.float64, ()), "random": (np.float64, ())})
    log.start(None)
    log.rows = 4000
    log.columns["random"][:] = np.random.default_rng(1).random(4096)
    log.flush()
    with zipfile.ZipFile(chunks_of(tmp_path)[0].path) as archive:
        sizes = {item.filename: (item.compress_size, item.file_size) for item in archive.infolist()}
    assert sizes["zeros.npy"][0] < 1000
    assert sizes["random.npy"][0] == sizes["random.npy"][1]


def test_a_lost_life_does_not_begin_another_episode(tmp_path):
    """What goes on after a lost life is a segment of the same episode."""
    log = log_in(tmp_path)
    play(log, [0, 1])
    play(log, [2, 3], goes_on=True)
    play(log, [4, 5])
    log.flush()
    assert [item[0] for item in read(tmp_path)] == [0, 0, 1]


def test_a_reset_in_which_nothing_was_done_is_forgotten(tmp_path):
    """Of two resets in a row the second counts."""
    log = log_in(tmp_path)
    play(log, [8], seed=1)
    play(log, [0, 1], seed=2)
    log.flush()
    assert read(tmp_path) == [(0, 2, [0, 1])]


def test_a_resumed_log_has_nothing_twice_and_nothing_missing(tmp_path):
    """What was written after the checkpoint, by a process that was then killed, gives way to what is written anew."""
    first = log_in(tmp_path)
    play(first, range(20))
    state = first.state()
    for number in range(500, 540):
        first.columns["x"][first.row()] = number
    first.flush()
    second = log_in(tmp_path)
    play(second, [999], seed=3)  # the reset of an environment that is then put into its saved state
    second.set_state(state)
    for number in range(20, 30):
        second.columns["x"][second.row()] = number
    play(second, [30, 31])
    second.flush()
    assert read(tmp_path) == [(0, None, list(range(30))), (1, None, [30, 31])]


def test_rows_that_are_missing_at_a_resume_are_said(tmp_path):
    """A checkpoint that counts rows which are not there is refused."""
    log = log_in(tmp_path)
    play(log, range(20))
    state = log.state()
    chunks_of(tmp_path)[-1].path.unlink()
    with pytest.raises(ValueError, match="has 16 rows, and 20 when the checkpoint was saved"):
        log_in(tmp_path).set_state(state)


def test_a_column_that_comes_later_is_empty_before(tmp_path):
    """Where there was nothing of a column yet, it holds zeros."""
    log = log_in(tmp_path)
    play(log, range(20))
    log.add_column("late", np.float64, (2,))
    row = log.row()
    log.columns["x"][row], log.columns["late"][row] = 20, (1.5, 2.5)
    log.flush()
    (segment,) = segments_of(tmp_path)
    assert segment.columns["late"].shape == (21, 2)
    assert segment.columns["late"][-1].tolist() == [1.5, 2.5]
    assert not segment.columns["late"][:-1].any()


def test_rows_are_on_disk_after_some_seconds(tmp_path):
    """What waits for a chunk to fill is written when its time has come."""
    log = log_in(tmp_path, chunk_rows=100_000, flush_seconds=1e-9)
    play(log, range(200))
    assert chunks_of(tmp_path)[-1].end >= 128


KILLED = """
import os, signal, sys
sys.path[:0] = {paths!r}
from pathlib import Path
import numpy as np
from rlctl.gym.row_log import RowLog
log = RowLog(Path({folder!r}), 16, 1000.0)
log.allocate({{"x": (np.int64, ())}})
log.columns["x"][log.start(5)] = 0
for number in range(1, 1000):
    if number == 100:
        Path({folder!r}, ".000000000096-000000000112.npz.partial").write_bytes(b"PK torn")
        os.kill(os.getpid(), signal.SIGKILL)
    log.columns["x"][log.row()] = number
"""


def test_a_kill_leaves_what_was_written(tmp_path):
    """After kill -9 all chunks can be read; what was being written then is no chunk, and goes when somebody goes on."""
    code = KILLED.format(paths=sys.path, folder=str(tmp_path))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert read(tmp_path) == [(0, 5, list(range(96)))]
    log_in(tmp_path)
    assert not list(tmp_path.glob(".*"))
