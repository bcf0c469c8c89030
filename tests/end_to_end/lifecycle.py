"""What the tests of checkpoints share: small trainings of each backend, runs told apart by what they did, copies resumed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.files import read_lines
from rlctl.verify import differences

DQN = ["dqn", "CartPole-v1", "--set", "hyperparameters.learning_starts=200"]
SB3_PPO = ["sb3/ppo", "CartPole-v1", "--set", "hyperparameters.n_steps=64"]
CLEANRL_DQN = ["cleanrl/dqn", "CartPole-v1", "--set", "hyperparameters.learning_starts=200"]
CLEANRL_PPO = ["cleanrl/ppo", "CartPole-v1", "--set", "hyperparameters.num_steps=64"]
BACKENDS = {"dqn": (DQN, 1500), "sb3": (SB3_PPO, 1536), "cleanrl": (CLEANRL_PPO, 2048)}
"""One training of each backend, and a number of steps in which it ends some dozens of episodes and learns."""


def train(cli: Any, folder: Path, run_id: str, words: list[str], *options: object, code: int = 0) -> Path:
    """Run a training to its end, without a display of its progress; returns its directory."""
    quiet = ("--callback", "no-progress", "--device", "cpu")
    answer = cli("run", *words, *quiet, *options, "--run-id", run_id, "--runs-dir", folder, timeout=280)
    assert answer.code == code, answer.err
    return folder / run_id


def resumed_from(cli: Any, whole: Path, step: int) -> list[str]:
    """Resume a copy of a run from its checkpoint of `step`; returns what then differs from the run itself."""
    copy = whole.parent / f"{whole.name}-from-{step}"
    shutil.copytree(whole, copy, symlinks=True)
    answer = cli("resume", copy, "--checkpoint", step, timeout=280)
    assert answer.code == 0, answer.err
    return differences(whole, copy)


def episodes(run: Path) -> list[dict[str, Any]]:
    """Return the episodes that a run recorded, without the seconds: those are never the same twice."""
    lines = read_lines(run / "episodes.jsonl")
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    """Return the events of one type."""
    return [line for line in read_lines(run / "events.jsonl") if line["type"] == kind]


def steps_saved(run: Path) -> list[int]:
    """Return the steps of a run's checkpoints, in order."""
    return [checkpoint.step for checkpoint in CheckpointFolder(run / "checkpoints").all()]
