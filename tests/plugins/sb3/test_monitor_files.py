"""monitor.csv: what SB3's own tools read, one curve also after a resume."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

SIZES = ["--set", "hyperparameters.n_steps=64"]


def episodes_of(folder: Path) -> list[dict[str, float]]:
    """What rlctl has written of the episodes."""
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]


def rows_of(path: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """What is in a file as SB3's `load_results` reads it, which needs pandas: a comment of JSON, then CSV."""
    with path.open(encoding="utf-8") as file:
        first = file.readline()
        assert first[0] == "#"
        return json.loads(first[1:]), list(csv.DictReader(file))


@pytest.mark.parametrize("num_envs", [1, 2])
def test_sb3_s_files_have_the_same_episodes(num_envs, cli):
    """One file for each environment, all of them found by SB3."""
    from stable_baselines3.common.monitor import get_monitor_files

    run = cli("run", "sb3/a2c", "-n", "600", "--num-envs", num_envs, "--run-id", "m", "--json")
    folder = Path(run.json()["directory"])
    files = get_monitor_files(str(folder / "backend"))
    assert len(files) == num_envs
    read = [(float(row["r"]), int(row["l"])) for path in files for row in rows_of(Path(path))[1]]
    assert sorted(read) == sorted((line["return"], line["length"]) for line in episodes_of(folder))


def test_a_resume_from_an_earlier_checkpoint_leaves_one_curve(cli):
    """What came after the checkpoint is cut off; the rows are those of the episodes."""
    every = ["--set", "checkpoint.every_steps=128"]
    run = cli("run", "sb3/ppo", "-n", "640", *SIZES, *every, "--run-id", "r", "--json")
    folder = Path(run.json()["directory"])
    answer = cli("resume", "r", "--checkpoint", "384", "-n", "512")
    assert answer.code == 0, answer.err
    head, rows = rows_of(folder / "backend" / "monitor.csv")
    assert head["env_id"] == "CartPole-v1"
    assert [int(row["l"]) for row in rows] == [line["length"] for line in episodes_of(folder)]
    seconds = [float(row["t"]) for row in rows]
    assert seconds == sorted(seconds)


def test_who_only_evaluates_leaves_no_file(cli):
    """Not in the folder of a run whose file is gone."""
    folder = Path(cli("run", "sb3/ppo", "-n", "64", *SIZES, "--run-id", "e", "--json").json()["directory"])
    (folder / "backend" / "monitor.csv").unlink()
    assert cli("evaluate", "e", "--episodes", "1").code == 0
    assert not (folder / "backend" / "monitor.csv").exists()
