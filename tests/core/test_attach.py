"""`rlctl attach`: what an engine goes on with is followed again; what cannot be followed is said, with what can be done."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json, read_lines

Cli = Any
Wait = Callable[..., Any]
SLOW = ("-n", 300, "--set", "hyperparameters.step_seconds=0.02", "--set", "checkpoint.every_steps=50")


@pytest.fixture
def engine(site: Callable[..., Any], tmp_path: Path) -> tuple[Any, ...]:
    """Return the options by which a command finds an engine that outlives it."""
    site("toy_worker", "toy_engine")
    (tmp_path / "engine").mkdir()
    return ("--executor", "engine", "--address", tmp_path / "engine")


def begun(cli: Cli, tmp_path: Path, wait_until: Wait, *more: Any) -> tuple[Any, RunDirectory]:
    """Return (client, directory) of a run that trains."""
    client = cli.start("run", "toy", "--run-id", "r", *SLOW, *more)
    directory = RunDirectory(tmp_path / "runs" / "r")
    wait_until(lambda: len(list(read_lines(directory.episodes))) > 1, 90)
    return client, directory


def left(client: Any) -> None:
    """Kill a client as a lost connection does."""
    client.kill()
    client.wait()


def test_a_run_whose_command_has_left_is_followed_to_its_end(
    cli: Cli, engine: tuple[Any, ...], tmp_path: Path, wait_until: Wait
) -> None:
    """The same process trains on; the outcome is that of `rlctl run`, `--json` gives it as data, wherever the runs are."""
    client, directory = begun(cli, tmp_path, wait_until, *engine)
    left(client)
    elsewhere = {"RLCTL_RUNS_DIR": str(tmp_path / "nowhere")}
    outcome = cli("attach", "r", "--json", "--runs-dir", tmp_path / "runs", env=elsewhere)
    assert outcome.code == 0, outcome.err
    assert "seed" in outcome.err and str(directory.path) in outcome.err
    data = outcome.json()
    assert (data["run_id"], data["status"], data["step"]) == ("r", "finished", 300)
    assert [line["type"] for line in read_lines(directory.events)].count("training_started") == 1
    assert len(list((tmp_path / "engine").iterdir())) == 1
    assert directory.analytics.exists()


def test_ctrl_c_stops_a_run_that_is_followed_again(
    cli: Cli, engine: tuple[Any, ...], tmp_path: Path, wait_until: Wait
) -> None:
    """At its next safe point, resumable, as at the command that started it; without a name it is the latest run."""
    client, directory = begun(cli, tmp_path, wait_until, *engine)
    left(client)
    follower = cli.start("attach")
    wait_until(lambda: (read_json(directory.path / "attempts" / "follower.json") or {}).get("pid") == follower.pid, 60)
    follower.send_signal(signal.SIGINT)
    _, err = follower.communicate(timeout=60)
    assert follower.returncode == 75, err
    result = read_json(directory.result) or {}
    assert result["status"] == "stopped" and result["step"] < 300


def test_a_run_that_is_over_is_shown_as_it_ended(cli: Cli, engine: tuple[Any, ...]) -> None:
    """With its exit code, wherever it was: failed here, finished in an engine."""
    failed = cli("run", "toy", "--run-id", "r", "--set", "hyperparameters.raise_at=20")
    assert failed.code == 1
    shown = cli("attach", "r")
    assert (shown.code, shown.out) == (1, failed.out)
    assert cli("run", "toy", "--run-id", "e", *engine).code == 0
    assert cli("attach", "e", "--json").json()["status"] == "finished"


def test_a_local_run_is_not_followed_by_a_second_command(
    cli: Cli, engine: tuple[Any, ...], tmp_path: Path, wait_until: Wait
) -> None:
    """It goes on all the same, and the message names what can be done."""
    client, directory = begun(cli, tmp_path, wait_until)
    refused = cli("attach", "r")
    assert refused.code == 2
    assert "cannot be followed by a second command: no engine was given it." in refused.err
    assert "rlctl runs tail r" in refused.err
    assert state_of(directory) == "running"
    client.communicate(timeout=90)
    assert client.returncode == 0


def test_a_run_that_is_lost_is_not_followed(
    cli: Cli, engine: tuple[Any, ...], tmp_path: Path, wait_until: Wait
) -> None:
    """Nobody trains it; `rlctl resume` is named."""
    client, directory = begun(cli, tmp_path, wait_until)
    os.killpg((read_json(directory.status) or {})["process"]["pid"], signal.SIGSTOP)
    left(client)
    os.killpg((read_json(directory.status) or {})["process"]["pid"], signal.SIGKILL)
    wait_until(lambda: state_of(directory) == "lost", 30)
    refused = cli("attach", "r")
    assert refused.code == 2
    assert "run r is lost: no engine was given it. Go on with it: rlctl resume r" in refused.err


def test_what_another_command_follows_is_followed_by_none_else(
    cli: Cli, engine: tuple[Any, ...], tmp_path: Path, wait_until: Wait
) -> None:
    """Two would both place it again when its machine is lost; `rlctl resume` names the way to follow it."""
    client, _ = begun(cli, tmp_path, wait_until, *engine)
    refused = cli("attach", "r")
    assert refused.code == 2
    assert f"r is followed by process {client.pid} already. See how it goes: rlctl runs tail r" in refused.err
    assert "Or follow it: rlctl attach r" in cli("resume", "r").err
    client.communicate(timeout=90)
    assert client.returncode == 0


def test_a_run_that_was_told_to_end_is_not_followed(
    cli: Cli, engine: tuple[Any, ...], tmp_path: Path, wait_until: Wait
) -> None:
    """Its command has passed on Ctrl-C before it was lost; who comes later is told so."""
    client, directory = begun(cli, tmp_path, wait_until, *engine)
    worker = (read_json(directory.status) or {})["process"]["pid"]
    os.kill(worker, signal.SIGSTOP)
    client.send_signal(signal.SIGINT)
    wait_until(lambda: list(directory.path.glob("attempts/placement-*/signals.jsonl")), 30)
    left(client)
    refused = cli("attach", "r")
    os.kill(worker, signal.SIGCONT)
    assert refused.code == 2
    assert "cannot be followed by a second command: it was taken from its engine, or told to end" in refused.err
    wait_until(lambda: state_of(directory) == "stopped", 60)


def test_a_plan_is_followed_again_where_it_was_placed(
    cli: Cli, engine: tuple[Any, ...], tmp_path: Path, wait_until: Wait
) -> None:
    """Its id is enough: what runs is followed, and what waits for it is given to the same engine, though its runs begin so."""
    slow = "{run: {worker: toy, total_timesteps: 200, hyperparameters: {step_seconds: 0.02}}}"
    (cli.folder / "p.yaml").write_text(f"members: {{a: {slow}, b: {{script: 'true', needs: [a]}}}}")
    host = cli.start("plan", "run", "p.yaml", "-j", 2, *engine)
    wait_until(lambda: list(tmp_path.glob("runs/p.a.*/episodes.jsonl")), 90)
    left(host)
    outcome = cli("attach", "p")
    assert outcome.code == 0, outcome.err
    assert "a: was placed before, and is followed again" in outcome.err
    assert len(list((tmp_path / "engine").iterdir())) == 2
