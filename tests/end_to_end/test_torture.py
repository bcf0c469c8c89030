"""A short run of each backend is interrupted again and again, in every way there is, and is the run never touched."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.end_to_end.lifecycle import CLEANRL_DQN, DQN, SB3_PPO, episodes, events, train

from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.directory import RunDirectory, is_alive, state_of
from rlctl.runs.files import read_json
from rlctl.verify import differences

slow = pytest.mark.slow

# Slow enough that an interruption meets the training, small enough that a test is short.
RUNS = {
    "dqn": ([*DQN, "--set", "hyperparameters.train_frequency=1", "-n", "6000"], 100),
    "sb3": ([*SB3_PPO, "--set", "hyperparameters.n_steps=128", "-n", "12288"], 128),
    "cleanrl": ([*CLEANRL_DQN, "--set", "hyperparameters.train_frequency=1", "-n", "5000"], 100),
}
MANNERS = ("kill worker", "terminate", "kill both", "kill while saving")


def _worker(run: Path) -> dict | None:
    """Return which process the run's worker is; None while it has not said so."""
    return (read_json(run / "status.json") or {}).get("process")


def _saves(run: Path) -> bool:
    """Return whether a checkpoint is being written at this moment."""
    try:
        return any(path.name.startswith(".step-") for path in (run / "checkpoints").iterdir())
    except FileNotFoundError:
        return False


def _wait(condition: Callable[[], object], process, every: float = 0.02) -> bool:
    """Wait until the condition holds, looking every so many seconds; False when the run ended first."""
    end = time.monotonic() + 240
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < end, "waited in vain"
        time.sleep(every)
    return True


def _interrupt(run: Path, host, manner: str, chance: random.Random) -> None:
    """End a running run in one of the manners, and wait until nothing of it is left."""
    worker = _worker(run)
    assert worker is not None
    if manner == "terminate":
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself just now
            os.kill(chance.choice((worker["pid"], host.pid)), signal.SIGTERM)
    else:
        if manner == "kill both":
            host.kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker["pid"], signal.SIGKILL)
    host.communicate(timeout=120)
    end = time.monotonic() + 60
    while is_alive(worker) and time.monotonic() < end:
        time.sleep(0.02)


def _reached(run: Path, target: int) -> bool:
    """Return whether the latest of the run's workers trains, with a checkpoint to go on from and so many episodes."""
    begun = len(events(run, "training_started")) > len(events(run, "run_resumed"))
    return (
        begun and is_alive(_worker(run)) and any((run / "checkpoints").glob("step-*")) and len(episodes(run)) >= target
    )


def _torture(cli, folder: Path, backend: str, times: int, seed: int) -> tuple[Path, Path, int]:
    """Return a run that was never touched, one that was interrupted so many times, and how often that met it training."""
    words, every = RUNS[backend]
    settings = ("--set", f"checkpoint.every_steps={every}")
    untouched = train(cli, folder, "untouched", words, *settings)
    total, chance, met = len(episodes(untouched)), random.Random(seed), 0
    run = folder / "tortured"
    quiet = ("--callback", "no-progress", "--device", "cpu")
    host = cli.start("run", *words, *settings, *quiet, "--run-id", "tortured", "--runs-dir", folder)
    for turn in range(times):
        manner = MANNERS[turn % len(MANNERS)]
        # Each may only reach so far, so that there is something left for the next one.
        target = chance.randint(1, max(1, round(0.9 * total * (turn + 1) / times)))
        met_training = _wait(partial(_reached, run, target), host)
        if met_training and manner == "kill while saving":
            met_training = _wait(partial(_saves, run), host, every=0.001)  # it takes milliseconds
        if not met_training:
            host.communicate()
        else:
            met += 1
            _interrupt(run, host, manner, chance)
        _assert_nothing_is_torn(run)
        if state_of(RunDirectory(run)) == "finished":
            return untouched, run, met
        host = cli.start("resume", run)
    out, err = host.communicate(timeout=280)
    assert host.returncode == 0, out + err
    return untouched, run, met


def _assert_nothing_is_torn(run: Path) -> None:
    """Every checkpoint that is to be seen is whole, and nothing that was read so far has made anybody stumble."""
    checkpoints = CheckpointFolder(run / "checkpoints").all()
    assert checkpoints
    for checkpoint in checkpoints:
        checkpoint.verify()
    assert "Traceback" not in RunDirectory(run).log.read_text(encoding="utf-8")


@pytest.mark.parametrize("backend", ["cleanrl", pytest.param("dqn", marks=slow), pytest.param("sb3", marks=slow)])
def test_a_run_that_is_interrupted_in_every_manner_is_the_one_never_touched(backend, cli, cleanrl_cache, tmp_path):
    """SIGKILL of the worker, SIGTERM, SIGKILL of both, SIGKILL during a save: episodes and state end up the same."""
    untouched, tortured, met = _torture(cli, tmp_path, backend, times=4, seed=1)

    assert met >= 3, "too few of the interruptions met the training"
    assert episodes(tortured) == episodes(untouched)
    assert differences(untouched, tortured) == []


@slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("backend", RUNS)
def test_fifty_interruptions_leave_no_trace(backend, cli, cleanrl_cache, tmp_path):
    """The same, at fifty random moments."""
    untouched, tortured, met = _torture(cli, tmp_path, backend, times=50, seed=2)

    assert met >= 25
    assert differences(untouched, tortured) == []
