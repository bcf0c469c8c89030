"""What a checkpoint costs: a CartPole-DQN's bundle without its buffer, and a million transitions against the bare disk."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.timing import spread

SMALL_LIMIT_MS = 20.0
SPEED_LIMIT = 0.5
TRANSITIONS = 1_000_000


def measure(rounds: int) -> dict[str, Any]:
    """Return milliseconds per small bundle, and seconds per large one and per bare write of as many bytes, in turns."""
    folder = Path(tempfile.mkdtemp(prefix=".checkpoints-", dir=Path.cwd()))
    try:
        small, large = _saver(folder / "small", 1_000, with_buffer=False), _saver(folder / "large", TRANSITIONS)
        small(0)
        rows = []
        for index in range(rounds):
            shutil.rmtree(folder / "large" / "checkpoints", ignore_errors=True)
            seconds, size = _timed(large, index + 1)
            rows.append({"bytes": size, "bundle": seconds, "bare": _bare_write(folder / "bare", size)})
        times = [_timed(small, index + 1)[0] * 1e3 for index in range(max(20, rounds))]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    speeds = [row["bare"] / row["bundle"] for row in rows]
    return {"small_ms": times, "rows": rows, "speed": statistics.median(speeds), "speeds": speeds}


def report(result: dict[str, Any]) -> None:
    """Print the result for people."""
    megabytes = result["rows"][0]["bytes"] / 1e6
    print("\ncheckpoints of dqn on CartPole-v1")
    print(f"  without the buffer   {spread(result['small_ms'])} ms (limit: median {SMALL_LIMIT_MS:g})")
    for name, what in (("bundle", "of 1M transitions"), ("bare", "a bare write, synced")):
        seconds = [row[name] for row in result["rows"]]
        print(f"  {what:<20} {spread(seconds)} s for {megabytes:.0f} MB")
    print(f"  speed against that   {spread(result['speeds'])} (limit: at least {SPEED_LIMIT:g})")


def _saver(folder: Path, capacity: int, *, with_buffer: bool = True) -> Callable[[int], Path]:
    """Return a function that saves a DQN with a full buffer as the bundle of a step, as a run does."""
    import numpy as np

    from rlctl.runs.checkpoints import CheckpointFolder
    from rlctl.testing.runs import fake_run
    from rlctl_dqn.config import hyperparameters
    from rlctl_dqn.worker import Training

    settings = {"buffer_size": capacity, "learning_starts": 100}
    run = fake_run(folder, hyperparameters=settings, parameters=hyperparameters("dqn"), total_timesteps=1_000)
    run.info.config["checkpoint"] = {"replay_buffer": with_buffer}
    training = Training(run)
    while training.step < 300:
        training.iterate()
    buffer, generator = training.buffer, np.random.default_rng(1)
    buffer.size = capacity
    for name in ("_observations", "_next_observations"):
        setattr(buffer, name, generator.random((capacity, 4), np.float32))
    checkpoints = CheckpointFolder(folder / "checkpoints")

    def save(step: int) -> Path:
        temporary = checkpoints.begin(step)
        training.write_state(temporary)
        return checkpoints.commit(temporary, {"step": step}).path

    return save


def _timed(save: Callable[[int], Path], step: int) -> tuple[float, int]:
    start = time.perf_counter()
    path = save(step)
    seconds = time.perf_counter() - start
    return seconds, sum(item.stat().st_size for item in path.iterdir())


def _bare_write(path: Path, size: int) -> float:
    """Return the seconds that `dd conv=fsync` would take: so many bytes in pieces, then one sync."""
    piece = os.urandom(1 << 20)
    start = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(-(-size // len(piece))):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    path.unlink()
    return seconds
