"""Each torch script of CleanRL, through `rlctl run`, gives bit for bit the episodes that it logged in its own time."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from tests.reference import REFERENCE, fingerprint

from rlctl.runs.files import read_lines
from rlctl_cleanrl.catalogue import CATALOGUE

pytestmark = pytest.mark.network

MASTER = os.environ.get("RLCTL_TEST_CLEANRL_MASTER")
RECORDED = {path.stem: json.loads(path.read_text()) for path in sorted(REFERENCE.glob("*-*.json"))}
NOT_MASTER = pytest.mark.skipif(not MASTER, reason="RLCTL_TEST_CLEANRL_MASTER names no checkout of CleanRL master")

# Run to their ends in the fast tests: old gym, gymnasium 0.29, the wrappers of continuous actions, MuJoCo and Atari, in the
# shortest time. Of the others only the beginning is, half as long again as it takes to the first update; the whole is slow.
WHOLE = {
    "1.2.0-ppo", "1.2.0-dqn", "1.2.0-ppo_continuous_action-HalfCheetah-v4", "1.2.0-dqn_atari",
    "master-sac_continuous_action-Hopper-v4",
}  # fmt: skip
# Short recordings that take long.
SLOW = {name for name in RECORDED if "_atari" in name} - WHOLE
OPTIONS = {
    "--env-id": "--env",
    "--seed": "--seed",
    "--total-timesteps": "--total-timesteps",
    "--num-envs": "--num-envs",
}


@frozen
class Replay:
    """A recording, the step at which its run through rlctl was told to stop, and what that run left."""

    recorded: dict[str, Any]
    stop_at: int | None
    code: int
    said: str
    folder: Path

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl."""
        return list(read_lines(self.folder / "metrics.jsonl"))

    def rows(self) -> list[list[Any]]:
        """Return what the script logged of episodes, as it is recorded: step, exact return, length."""
        logged = [(line["step"], line["values"]) for line in self.metrics()]
        return [
            [step, float(values["backend/charts/episodic_return"]).hex(), int(values["backend/charts/episodic_length"])]
            for step, values in logged
            if "backend/charts/episodic_return" in values
        ]

    def due(self) -> list[list[Any]]:
        """Return the recorded rows until the run was to stop; a script may go on to the end of its iteration."""
        return [row for row in self.recorded["episodes"] if self.stop_at is None or row[0] < self.stop_at]


def replays() -> list[Any]:
    """Return the parameters of all tests here: a recording's name, and whether it is run to its end."""
    found = []
    for name in RECORDED:
        marks = [NOT_MASTER] if name.startswith("master") else []
        if name in WHOLE | SLOW:
            found.append(
                pytest.param((name, True), id=name, marks=[*marks, pytest.mark.slow] if name in SLOW else marks)
            )
        else:
            found.append(pytest.param((name, False), id=name, marks=marks))
            found.append(pytest.param((name, True), id=f"{name}-whole", marks=[*marks, pytest.mark.slow]))
    return found


def command_of(name: str, recorded: dict[str, Any]) -> list[str]:
    """Return the words of `rlctl run` that mean what the recorded command line of the script meant."""
    algo = Path(recorded["script"]).stem
    words = ["run", "--worker", "cleanrl", "--algo", f"master/{algo}" if name.startswith("master") else algo]
    for flag, value in zip(recorded["argv"][::2], recorded["argv"][1::2], strict=True):
        if flag in OPTIONS:
            words += [OPTIONS[flag], value]
        else:
            words += ["--set", f"hyperparameters.{flag[2:].replace('-', '_')}={value}"]
    return words


@pytest.fixture(scope="module")
def cache_with_master(fetched_cleanrl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache that has the scripts of master besides, under the name `master`."""
    cache = tmp_path_factory.mktemp("both") / "cache"
    shutil.copytree(fetched_cleanrl, cache)
    command = [
        sys.executable,
        "-m",
        "rlctl",
        "workers",
        "setup",
        "cleanrl",
        "--source",
        str(MASTER),
        "--name",
        "master",
    ]
    subprocess.run(command, env=os.environ | {"RLCTL_CACHE_DIR": str(cache)}, check=True, stdin=subprocess.DEVNULL)
    return cache


@pytest.fixture(scope="module")
def run_once(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[tuple[str, bool]], Replay]:
    """Return `run_once((name, whole))`: what `rlctl run` makes of a recording; each is run once for all tests."""

    @functools.cache
    def run(which: tuple[str, bool]) -> Replay:
        name, whole = which
        if "_atari" in name:
            pytest.importorskip("ale_py", reason="needs ale-py")
            pytest.importorskip("cv2", reason="the wrappers need OpenCV")
        recorded = RECORDED[name]
        cache = request.getfixturevalue("cache_with_master" if name.startswith("master") else "fetched_cleanrl")
        copies = (cache / "cleanrl" / "snapshots").glob(f"*/{recorded['script']}")
        assert recorded["sha256"] in {hashlib.sha256(path.read_bytes()).hexdigest() for path in copies}, (
            "another version"
        )
        folder = tmp_path_factory.mktemp("replay")
        stop_at = None if whole else recorded["learning_starts"] * 3 // 2
        words = [*command_of(name, recorded), "--device", "cpu", "--callback", "no-progress", "--run-id", "r"]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "rlctl",
                *words,
                "--runs-dir",
                folder,
                *([] if whole else ["--stop-at", str(stop_at)]),
            ],
            cwd=folder,
            env=os.environ | {"RLCTL_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Replay(recorded, stop_at, done.returncode, done.stderr, folder / "r")

    return run


@pytest.fixture
def replay(which: tuple[str, bool], run_once: Callable[[tuple[str, bool]], Replay]) -> Replay:
    """Return what `rlctl run` made of the recording that the test is about."""
    return run_once(which)


@pytest.mark.parametrize("which", replays())
def test_a_script_trains_and_logs_its_episodes(replay: Replay) -> None:
    """On any CPU: it ends well, has learned, and its episodes are as long as its environment allows."""
    assert replay.code == (0 if replay.stop_at is None else 75), replay.said
    assert any("loss" in name for line in replay.metrics() for name in line["values"])
    rows = replay.rows()
    steps, lengths = [row[0] for row in rows], [row[2] for row in rows]
    assert steps == sorted(steps)
    if "Pendulum-v1" in replay.recorded["argv"]:  # Each episode ends at the time limit, whatever the agent does.
        assert set(lengths) == {200}
        assert [row[0] for row in replay.due()] == steps[: len(replay.due())]
    elif "CartPole-v1" in replay.recorded["argv"]:
        assert all(1 <= length <= 500 for length in lengths)
        assert [float.fromhex(row[1]) for row in rows] == lengths
        end = replay.stop_at or int(replay.recorded["argv"][replay.recorded["argv"].index("--total-timesteps") + 1])
        assert end - 512 - 4 * 500 <= steps[-1] < end + 512
    assert len(list(read_lines(replay.folder / "episodes.jsonl"))) >= len(rows) > 1


@pytest.mark.parametrize("which", replays())
def test_a_script_logs_the_recorded_episodes_until_learning_starts(replay: Replay) -> None:
    """Before its first update a script logs what it logged in its time: on another CPU but for rounding of returns."""
    recorded = replay.recorded
    there = [row for row in recorded["episodes"] if row[0] <= recorded["learning_starts"]]
    here = [row for row in replay.rows() if row[0] <= recorded["learning_starts"]]
    assert [(row[0], row[2]) for row in here] == [(row[0], row[2]) for row in there]
    if fingerprint.difference(recorded["fingerprint"]) is None:
        assert here == there
    else:
        assert [float.fromhex(row[1]) for row in here] == pytest.approx(
            [float.fromhex(row[1]) for row in there], rel=1e-4
        )


@pytest.mark.parametrize("which", replays())
def test_a_script_logs_the_recorded_episodes_to_the_last_row(replay: Replay) -> None:
    """On today's gymnasium the script logs, bit for bit, what it logs on the gym or gymnasium of its time."""
    other_bits = fingerprint.difference(replay.recorded["fingerprint"])
    if other_bits:
        pytest.skip(f"{other_bits}; compared until learning starts only")
    rows, due = replay.rows(), replay.due()
    assert any(row[0] > replay.recorded["learning_starts"] for row in due)
    assert len(rows) >= len(due)
    assert rows == replay.recorded["episodes"][: len(rows)]


def recorded_of(version: str) -> set[str]:
    """Return the scripts of a version that there is a recording of."""
    return {Path(recorded["script"]).stem for name, recorded in RECORDED.items() if name.startswith(version)}


def test_every_torch_script_of_the_release_that_can_run_is_recorded() -> None:
    """Of PyPI's 1.2.0 all are run above but those that need more than the development environment installs."""
    others = {"envpool", "procgen", "pettingzoo", "isaacgym", "jax"}
    can_run = {script.name for script in CATALOGUE if not others & set(script.needs)}
    assert recorded_of("1.2.0") == can_run


@NOT_MASTER
def test_every_torch_script_of_master_that_can_run_is_recorded() -> None:
    """Of master likewise; the teacher of qdagger is downloaded from a hub, and no test may need that."""
    others = {"envpool", "procgen", "pettingzoo", "isaacgym", "jax", "memory_gym", "huggingface_hub"}
    listed = json.loads((REFERENCE / "scripts_of_master.json").read_text())["scripts"]
    can_run = {script["name"] for script in listed if not others & set(script["needs"])}
    assert recorded_of("master") == can_run
