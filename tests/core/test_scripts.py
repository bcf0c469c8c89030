"""`rlctl scripts`: what a script's tags say and what is wrong with them, its trainings, its end, and how it is stopped."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_json

ROOT = Path(__file__).resolve().parents[2]
Cli = Callable[..., Any]
Wait = Callable[..., Any]

GOOD = """#!/bin/sh
# @description Two phases of counting
# @phases 2
# @total_timesteps: 300
# @env_family other
PHASE1_ENV="toy"
export PHASE2_ENV=${1:-toy}
set -e
echo "the first phase begins"
"""


@pytest.fixture
def write(cli: Cli, site: Callable[..., Any]) -> Callable[..., Path]:
    """Return `write(name, text)`: puts a script into `scripts/` of the test's folder; the toy worker is installed."""
    site("toy_worker")

    def put(name: str, text: str) -> Path:
        path: Path = cli.folder / "scripts" / f"{name}.sh"  # type: ignore[attr-defined]
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return put


@pytest.fixture
def at_home(fast_cli: Cli, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return the command line of this process, in the test's folder."""
    monkeypatch.chdir(cli.folder)  # type: ignore[attr-defined]
    return fast_cli


# ---- tags ----------------------------------------------------------------------------------------------------------


def test_a_script_says_what_it_is_by_its_tags(write: Cli, at_home: Cli) -> None:
    """Tags with and without a colon, environments of phases, of a default too; as a table and as data."""
    path = write("counting", GOOD)
    (row,) = at_home("scripts", "list", "--json").json()
    assert {key: row[key] for key in ("script", "description", "phases", "total_timesteps", "env_family", "envs")} == {
        "script": "counting", "description": "Two phases of counting", "phases": 2, "total_timesteps": 300,
        "env_family": "other", "envs": {"1": "toy", "2": "toy"},
    }  # fmt: skip
    assert (row["sha256"], row["problems"]) == (hashlib.sha256(GOOD.encode()).hexdigest(), [])
    listed = at_home("scripts", "list").out.splitlines()
    assert listed[1].split()[:5] == ["counting", "2", "300", "other", "toy"]
    for reference in ("counting", "counting.sh", path):
        assert "Two phases of counting" in at_home("scripts", "show", reference).out


def test_scripts_of_other_folders_are_found_when_these_are_named(write: Cli, at_home: Cli, tmp_path: Path) -> None:
    """Two of one name are told apart by their paths; one that there is not has a nearest one."""
    write("counting", GOOD)
    other = tmp_path / "other"
    other.mkdir()
    (other / "counting.sh").write_text(GOOD)
    assert len(at_home("scripts", "list", "--folder", "scripts", "--folder", other, "--json").json()) == 2
    both = at_home("scripts", "show", "counting", "--folder", "scripts", "--folder", other)
    assert both.code == 2 and "Give the path of one" in both.err
    missing = at_home("scripts", "show", "countin")
    assert (missing.code, 'Did you mean "counting"?' in missing.err) == (2, True)
    assert "There is no script" in at_home("scripts", "list", "--folder", tmp_path).err


def test_all_that_is_wrong_with_a_script_is_said_and_it_is_not_run(write: Cli, at_home: Cli, tmp_path: Path) -> None:
    """At once, with the line and the nearest tag; `show` says it, `run` refuses, and nothing is made."""
    write("bad", "# @descripton x\n# @phases two\n# @total_timesteps 0\n# @env_family minigird\n# @phases 3\nexit 0\n")
    said = at_home("scripts", "show", "bad").err
    refused = at_home("scripts", "run", "bad")
    assert refused.code == 2
    for line in (
        '@descripton: is no tag. (from bad.sh:1) Did you mean "description"?',
        '@phases: expected a whole number from 1 on, got "two" (from bad.sh:2)',
        '@total_timesteps: expected a whole number from 1 on, got "0" (from bad.sh:3)',
        '@env_family: there is no family "minigird". (from bad.sh:4) Did you mean "minigrid"?',
        "@phases: is said twice, first in bad.sh:2. (from bad.sh:5) Keep one.",
        "shebang: there is no #! line: it is not said what reads the script. (from bad.sh:1)",
    ):
        assert line in said
        assert line in refused.err
    assert "6 problems; nothing was started" in refused.err
    assert "bad: 6 problems" in at_home("scripts", "list").err
    assert not (tmp_path / "executions").exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("#!/bin/sh\n# @phases 1\nPHASE2_ENV=x\n", "is 1, and there is an environment of phase 2"),
        ("#!/no/such/shell\n", 'there is no "/no/such/shell" here'),
        ("#!/bin/sh\r\ntrue\r\n", "its lines end as on Windows"),
    ],
)
def test_what_cannot_be_right_is_found(write: Cli, at_home: Cli, text: str, problem: str) -> None:
    """Before anything is run."""
    path = write("odd", "")
    path.write_bytes(text.encode())
    refused = at_home("scripts", "run", "odd")
    assert (refused.code, problem in refused.err) == (2, True), refused.err


# ---- running -------------------------------------------------------------------------------------------------------


def test_each_training_of_a_script_is_linked_to_its_execution(
    write: Cli, cli: Cli, at_home: Cli, tmp_path: Path
) -> None:
    """By a label; the execution has the script's text and hash, its arguments, output and exit code. Other runs have none."""
    write("counting", GOOD + 'rlctl run toy -n 100 --label mine=yes\nrlctl run toy -n 200 --name "$2"\n')
    outcome = cli("scripts", "run", "counting", "--json", "--", "toy", "--second", env=with_rlctl(tmp_path))

    assert outcome.code == 0, outcome.err
    said = outcome.json()
    assert [(run["step"], run["name"]) for run in said["runs"]] == [(100, None), (200, "--second")]
    assert said["runs"][0]["labels"] == {"script": said["id"], "mine": "yes"}
    assert (said["state"], said["exit_code"], said["arguments"]) == ("finished", 0, ["toy", "--second"])
    folder = Path(said["directory"])
    assert hashlib.sha256((folder / "counting.sh").read_bytes()).hexdigest() == said["sha256"]
    assert "the first phase begins" in outcome.err
    assert "the first phase begins" in (folder / "logs" / "worker.log").read_text()
    at_home("run", "toy", "-n", "10")
    linked = at_home("runs", "list", "--label", f"script={said['id']}", "--json").json()
    assert {row["run_id"] for row in linked} == {row["run_id"] for row in said["runs"]}
    assert len(at_home("runs", "list", "--json").json()) == 3
    assert at_home("scripts", "show", "@latest", "--json").json()["runs"] == said["runs"]
    assert at_home("scripts", "list", "--executions", "--json").json()[0]["id"] == said["id"]
    assert said["id"] in at_home("scripts", "show", "counting").out


def test_a_script_ends_with_its_own_code(write: Cli, cli: Cli, tmp_path: Path) -> None:
    """That of the training that failed, under `set -e`; and phases that were not run are said."""
    write("failing", GOOD + "rlctl run toy --set hyperparameters.raise_at=20\necho never\n")
    write("seven", GOOD + "exit 7\n")
    failed = cli("scripts", "run", "failing", env=with_rlctl(tmp_path))
    assert (failed.code, "never" in failed.err) == (1, False)
    assert "ended with code 1" in failed.out
    assert cli("scripts", "run", "seven").code == 7
    write("short", GOOD)
    assert "@phases says 2, and 0 runs were started" in cli("scripts", "run", "short").err


def with_rlctl(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which scripts find the command of this very checkout."""
    import sys

    command = tmp_path / "bin" / "rlctl"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rlctl "$@"\n')
    command.chmod(0o755)
    return {"PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}


# ---- stopping ------------------------------------------------------------------------------------------------------

SLOW = "rlctl run toy -n 2000 --run-id first --set hyperparameters.step_seconds=0.005\nrlctl run toy --run-id second\n"


def trains(directory: RunDirectory) -> bool:
    """Return whether the run has taken a step."""
    return bool((read_json(directory.status) or {}).get("step", 0) > 0)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stopped_script_leaves_a_training_that_can_be_resumed(
    write: Cli, cli: Cli, tmp_path: Path, wait_until: Wait, number: int
) -> None:
    """The phase saves and ends, the next one never begins, not even without `set -e`; the code says so."""
    write("slow", GOOD.replace("set -e", "") + SLOW)
    first, second = (RunDirectory(tmp_path / "runs" / name) for name in ("first", "second"))
    host = cli.start("scripts", "run", "slow", "--json", env=with_rlctl(tmp_path))  # type: ignore[attr-defined]
    wait_until(lambda: trains(first))
    host.send_signal(number)
    out, err = host.communicate(timeout=60)

    assert host.returncode == 75, err
    assert (read_json(first.result) or {})["status"] == "stopped"
    assert not second.path.exists()
    said = json.loads(out)
    assert (said["state"], said["exit_code"]) == ("stopped", None)
    resumed = cli("resume", "first", "--stop-at", str((read_json(first.result) or {})["step"] + 5))
    assert resumed.code == 75, resumed.err


def test_the_death_of_who_runs_a_script_stops_it_too(write: Cli, cli: Cli, tmp_path: Path, wait_until: Wait) -> None:
    """Nobody waits for it any more: its training saves, the next phase never begins."""
    write("slow", GOOD.replace("set -e", "") + SLOW)
    first, second = (RunDirectory(tmp_path / "runs" / name) for name in ("first", "second"))
    host = cli.start("scripts", "run", "slow", env=with_rlctl(tmp_path))  # type: ignore[attr-defined]
    wait_until(lambda: trains(first))
    os.kill(host.pid, signal.SIGKILL)

    wait_until(first.result.exists)
    assert (read_json(first.result) or {})["status"] == "stopped"
    (execution,) = (tmp_path / "executions").iterdir()
    wait_until((execution / "result.json").exists)
    assert not second.path.exists()


# ---- the example ---------------------------------------------------------------------------------------------------


def test_the_example_trains_its_second_phase_from_the_first(cli: Cli, tmp_path: Path) -> None:
    """Two real trainings of dqn; the second begins with the weights of the first one's last checkpoint."""
    pytest.importorskip("rlctl_dqn", reason="the plugin dqn is not installed")
    folder = ROOT / "examples" / "scripts"
    outcome = cli(
        "scripts", "run", "cartpole_two_phases", "--folder", folder, "--json", "--", "3", env=with_rlctl(tmp_path),
        timeout=300,
    )  # fmt: skip

    assert outcome.code == 0, outcome.err
    first, second = outcome.json()["runs"]
    assert [(run["env"], run["seed"], run["step"], run["state"]) for run in (first, second)] == [
        ("CartPole-v1", 3, 1500, "finished")
    ] * 2
    parent = (read_json(Path(second["directory"]) / "manifest.json") or {})["parent"]
    assert (parent["run_id"], parent["checkpoint_step"]) == (first["run_id"], 1500)
    shown = cli("scripts", "list", "--folder", folder, "--json").json()
    assert (shown[0]["phases"], shown[0]["total_timesteps"], shown[0]["problems"]) == (2, 3000, [])
