"""Plans that run: real processes, interrupted, killed and gone on with; what came out is what single runs give."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json, read_lines

Cli = Callable[..., Any]

FAST = "run: {worker: toy, total_timesteps: 60}"


def returns(directory: Path) -> list[tuple[int, float, int]]:
    """Return (step, return, length) of each episode of a run."""
    lines = read_lines(directory / "episodes.jsonl")
    return [(line["step"], line["return"], line["length"]) for line in lines]


def runs_of(root: Path) -> dict[str, Path]:
    """Return the runs below `root` by the label `member`; one that is still being made has a hidden name."""
    folders = [path for path in root.glob("[!.]*") if (path / "config.json").exists()]
    return {
        (read_json(path / "config.json") or {})["config"]["labels"].get("member", path.name): path for path in folders
    }


def states(outcome: Any) -> dict[str, str]:
    """Return member → state of a `plan run --json`."""
    return {name: ended["state"] for name, ended in outcome.json()["members"].items()}


# ---- killed, and gone on with --------------------------------------------------------------------------------------------

LONG = """
defaults:
  worker: toy
  total_timesteps: 400
  hyperparameters: {step_seconds: 0.01}
  checkpoint: {every_steps: 50}
members:
  a: {run: {seed: 1}}
  b: {run: {seed: 2}}
  c: {run: {seed: 3}, needs: [a]}
  done: {script: [echo, all], needs: [a, b, c]}
"""


@pytest.mark.timeout(280)
def test_a_plan_whose_host_is_killed_goes_on_exactly(
    cli: Cli, site: Callable[..., Any], tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    """After kill -9 of the host in the middle, `plan resume` ends all; each run resumed in its directory, to the bit."""
    site("toy_worker")
    (cli.folder / "long.yaml").write_text(LONG)  # type: ignore[attr-defined]
    root = tmp_path / "runs"

    host = cli.start("plan", "run", "long.yaml", "-j", "2")  # type: ignore[attr-defined]
    wait_until(
        lambda: (
            all(list(path.glob("checkpoints/step-*")) for path in runs_of(root).values()) and len(runs_of(root)) == 2
        ),
        100,
    )
    os.kill(host.pid, signal.SIGKILL)
    resumed = cli("plan", "resume", "long", "-j", "2", "--json", timeout=150)

    assert resumed.code == 0, resumed.err
    assert set(states(resumed).values()) == {"finished"}
    runs = runs_of(root)
    assert len(list(root.iterdir())) == 3, "no run was begun anew"
    for name in ("a", "b"):
        manifest = read_json(runs[name] / "manifest.json") or {}
        assert manifest["resumes"][0]["checkpoint_step"] > 0
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        alone = cli(
            "run", "toy", "-n", 400, "--seed", seed, "--run-id", f"alone-{seed}", "--runs-dir", tmp_path / "alone"
        )
        assert alone.code == 0
        assert returns(runs[name]) == returns(tmp_path / "alone" / f"alone-{seed}")


def test_a_run_that_outlives_its_host_is_waited_for(
    cli: Cli, site: Callable[..., Any], tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    """While the worker of a killed host still trains, the next host starts no second one in its place."""
    site("toy_worker")
    (cli.folder / "p.yaml").write_text(  # type: ignore[attr-defined]
        "members: {a: {run: {worker: toy, total_timesteps: 100, grace: 60, "
        "hyperparameters: {step_seconds: 15, steps_per_iteration: 100}}}}"
    )
    root = tmp_path / "runs"
    host = cli.start("plan", "run", "p.yaml")  # type: ignore[attr-defined]
    wait_until(
        lambda: [path for path in runs_of(root).values() if (read_json(path / "status.json") or {}).get("process")], 60
    )
    time.sleep(1)  # from its first status into its first iteration; before that it would stop at once
    os.kill(host.pid, signal.SIGKILL)
    host.wait()
    (run,) = runs_of(root).values()
    assert state_of(RunDirectory(run)) == "running", "its worker is to be in the midst of an iteration"

    resumed = cli("plan", "resume", "p", "--json", timeout=100)

    assert resumed.code == 0, resumed.err
    assert "another process still trains it" in resumed.err
    assert [line["type"] for line in read_lines(run / "events.jsonl")].count("training_started") == 1
    assert len(list(root.iterdir())) == 1


def test_one_ctrl_c_stops_all_and_resume_goes_on(
    cli: Cli, site: Callable[..., Any], tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    """One SIGINT at the host ends all of its runs with a checkpoint, code 75; no process is left; resume ends the plan."""
    site("toy_worker")
    (cli.folder / "long.yaml").write_text(LONG)  # type: ignore[attr-defined]
    root = tmp_path / "runs"
    host = cli.start("plan", "run", "long.yaml", "-j", "2")  # type: ignore[attr-defined]
    wait_until(
        lambda: (
            sum((read_json(path / "status.json") or {}).get("step", 0) > 20 for path in runs_of(root).values()) == 2
        ),
        100,
    )

    host.send_signal(signal.SIGINT)
    out, err = host.communicate(timeout=60)

    assert host.returncode == 75, err
    assert "rlctl plan resume long" in err
    assert "stopped by SIGINT" in out
    assert [state_of(RunDirectory(path)) for path in runs_of(root).values()] == ["stopped", "stopped"]
    resumed = cli("plan", "resume", "long", "-j", "2", timeout=150)
    assert resumed.code == 0, resumed.err


def test_two_hosts_of_one_plan_are_refused(
    cli: Cli, site: Callable[..., Any], tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    """While one process runs a plan, another one that wants to is told which, and starts nothing."""
    site("toy_worker")
    (cli.folder / "long.yaml").write_text(LONG)  # type: ignore[attr-defined]
    host = cli.start("plan", "run", "long.yaml", "-j", "2")  # type: ignore[attr-defined]
    wait_until(lambda: len(runs_of(tmp_path / "runs")) == 2, 60)

    second = cli("plan", "run", "long.yaml")

    assert second.code == 2
    assert f"plan long is being run by process {host.pid}" in second.err
    host.send_signal(signal.SIGINT)
    host.communicate(timeout=60)


# ---- seeds ---------------------------------------------------------------------------------------------------------------


def test_each_of_several_seeds_is_the_single_run(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """`--seeds` gives, to the bit, the episodes of a run with each seed; the runs share a label to find them by."""
    site("toy_worker")

    outcome = cli("run", "toy", "-n", 100, "--seeds", "0..2", "-j", "2", "--name", "three", "--json")

    assert outcome.code == 0, outcome.err
    assert states(outcome) == {f"toy,seed={seed}": "finished" for seed in range(3)}
    runs = runs_of(tmp_path / "runs")
    for seed in range(3):
        cli("run", "toy", "-n", 100, "--seed", seed, "--run-id", f"s{seed}", "--runs-dir", tmp_path / "alone")
        assert returns(runs[f"toy,seed={seed}"]) == returns(tmp_path / "alone" / f"s{seed}")
    listed = cli("runs", "list", "--label", "plan=three", "--json").json()
    assert sorted(row["seed"] for row in listed) == [0, 1, 2]


def test_a_failed_seed_makes_the_exit_code_and_its_error_is_shown(cli: Cli, site: Callable[..., Any]) -> None:
    """The others go on; the table on stdout has the failed members with the last line of their errors."""
    site("toy_worker")

    outcome = cli("run", "toy", "-n", 100, "--seeds", "4,5", "--set", "hyperparameters.raise_at=50")

    assert outcome.code == 1
    assert "toy,seed=4  failed  told to raise at step 50" in outcome.out
    assert "toy,seed=5  failed" in outcome.out
    assert "2 failed" in outcome.err


def test_the_first_failed_seed_stops_the_others_when_told(cli: Cli, site: Callable[..., Any]) -> None:
    """With --fail-fast no other seed is begun."""
    site("toy_worker")
    outcome = cli(
        "run",
        "toy",
        "-n",
        100,
        "--seeds",
        "4..6",
        "-j",
        1,
        "--fail-fast",
        "--set",
        "hyperparameters.raise_at=50",
        "--json",
    )
    assert (outcome.code, list(states(outcome).values())) == (1, ["failed", "pending", "pending"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seeds", "9..0"), "expected a range"),
        (("--seeds", "1,1"), "the seed 1 is there twice"),
        (("--seeds", "many"), "expected a range"),
        (("--seeds", "0..99999999999"), "expected a range"),
        (("--seeds", "0..2", "--seed", "1"), "--seeds goes with none of --seed"),
        (("-j", "2"), "Say --seeds, too"),
        (("--seeds", "0..2", "--total-episodes", "3"), "two budgets"),
        (("--seeds", "0..2", "--set", "hyperparameters.episode_lenght=3"), 'Did you mean "episode_length"?'),
    ],
)
def test_wrong_seeds_are_refused(
    arguments: tuple[str, ...], said: str, fast_cli: Cli, site: Callable[..., Any], tmp_path: Path
) -> None:
    """What cannot be meant is refused before anything is written; problems of the configuration are those of a single run."""
    site("toy_worker")
    outcome = fast_cli("run", "toy", "-n", 100, *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "plans").exists()


def test_multi_run_returns_the_result_of_each_seed(site: Callable[..., Any], tmp_path: Path) -> None:
    """From Python: seed → result, and a second call of the same name trains nothing again."""
    import rlctl

    site("toy_worker")
    config = rlctl.RunConfig(worker="toy", total_episodes=5)
    first = rlctl.multi_run(config, [3, 4], jobs=2, name="twice", runs_dir=tmp_path / "runs")
    second = rlctl.multi_run(config, [3, 4], jobs=2, name="twice", runs_dir=tmp_path / "runs")

    assert {seed: item.result.status for seed, item in first.items()} == {3: "finished", 4: "finished"}
    assert [len(item.episodes()) for item in first.values()] == [5, 5]
    assert {seed: item.directory for seed, item in second.items()} == {
        seed: item.directory for seed, item in first.items()
    }
    assert len(list((tmp_path / "runs").iterdir())) == 2


# ---- members -------------------------------------------------------------------------------------------------------------

WHOLE = """
defaults: {worker: toy, total_timesteps: 60}
members:
  weak: {run: {hyperparameters: {episode_length: 5}}, matrix: {seed: 0..1}}
  strong: {run: {total_timesteps: 300}, matrix: {seed: 0..1}}
  tuned: {run: {total_timesteps: 20}, from: weak}
  weak-score: {evaluate: {of: weak, episodes: 5}}
  strong-score: {evaluate: {of: strong, episodes: 5}}
  table: {compare: {of: [weak-score, strong-score]}}
  told: {script: [sh, -c, 'echo "$RLCTL_NEEDS" > told.json'], needs: [table]}
"""


@pytest.mark.timeout(280)
def test_runs_are_evaluated_and_compared_and_fine_tuned(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """One file has trainings of two kinds, an evaluation of each seed, a table of both, a fine-tuning, and a script."""
    pytest.importorskip("gymnasium")
    site("toy_worker")
    (cli.folder / "whole.yaml").write_text(WHOLE)  # type: ignore[attr-defined]

    outcome = cli("plan", "run", "whole.yaml", "-j", "2", "--json", timeout=250)

    assert outcome.code == 0, outcome.err
    groups = outcome.json()["comparisons"]["table"]["groups"]
    assert [(row["group"], row["seeds"]) for row in groups] == [("strong-score", 2), ("weak-score", 2)]
    assert groups[0]["iqm"] > groups[1]["iqm"]
    parent = (read_json(runs_of(tmp_path / "runs")["tuned,seed=1"] / "manifest.json") or {})["parent"]
    assert (parent["run_id"], parent["checkpoint_step"]) == (runs_of(tmp_path / "runs")["weak,seed=1"].name, 60)
    config = (read_json(runs_of(tmp_path / "runs")["tuned,seed=1"] / "config.json") or {})["config"]
    assert config["seed"] == 1, "a fine-tuning takes over the seed of its parent"
    assert "table" in (read_json(cli.folder / "told.json") or {})  # type: ignore[attr-defined]


def test_what_needs_a_failed_member_is_blocked_and_a_retry_ends_it(
    cli: Cli, site: Callable[..., Any], tmp_path: Path
) -> None:
    """A failed script blocks what needs it and nothing else; when its reason is gone, `plan retry --failed` ends the plan."""
    site("toy_worker")
    flag = tmp_path / "flag"
    (cli.folder / "p.yaml").write_text(  # type: ignore[attr-defined]
        f"members:\n  flaky: {{script: [sh, -c, 'echo no flag >&2; test -e {flag}']}}\n"
        f"  after: {{script: 'true', needs: [flaky]}}\n  other: {{{FAST}}}\n"
    )
    first = cli("plan", "run", "p.yaml", "--json")
    again = cli("plan", "run", "p.yaml", "--json")
    flag.touch()
    retried = cli("plan", "retry", "p", "--failed", "--json")

    assert (first.code, states(first)) == (1, {"flaky": "failed", "after": "blocked", "other": "finished"})
    assert "no flag" in first.json()["members"]["flaky"]["reason"]
    assert states(again) == states(first)
    assert (retried.code, set(states(retried).values())) == (0, {"finished"})
    status = cli("plan", "status", "p", "--json").json()
    assert status["counts"] == {"finished": 3}


def test_a_member_is_tried_as_often_as_it_says(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """`retries: 2` gives a script three tries; the third one that succeeds is the outcome."""
    count = tmp_path / "count"
    (cli.folder / "p.yaml").write_text(  # type: ignore[attr-defined]
        f"members:\n  flaky:\n    script: [sh, -c, 'echo x >> {count}; test $(wc -l < {count}) = 3']\n    retries: 2\n"
    )
    outcome = cli("plan", "run", "p.yaml")
    assert (outcome.code, count.read_text()) == (0, "x\nx\nx\n")
    assert "try 2 of 3 follows" in outcome.err


def test_a_run_that_crashed_is_retried_from_its_checkpoint(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """A retry of a run that saved something goes on from there, in the same directory."""
    site("toy_worker")
    (cli.folder / "p.yaml").write_text(  # type: ignore[attr-defined]
        "members: {a: {retries: 1, run: {worker: toy, total_timesteps: 100, checkpoint: {every_steps: 20}, "
        "hyperparameters: {raise_at: 50}}}}"
    )
    outcome = cli("plan", "run", "p.yaml")
    assert outcome.code == 1
    assert "a: goes on from step" in outcome.err
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_only_what_has_changed_is_run_again(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """A second start runs a member whose configuration has changed, with those that use it; the first ones are kept."""
    site("toy_worker")
    file = cli.folder / "p.yaml"  # type: ignore[attr-defined]
    text = "members:\n  a: {run: {worker: toy, total_timesteps: 60}}\n  b: {run: {worker: toy, total_timesteps: 70}}\n"
    file.write_text(text)
    cli("plan", "run", "p.yaml")
    before = runs_of(tmp_path / "runs")
    file.write_text(
        text.replace("70", "80").replace(
            "{run: {worker: toy, total_timesteps: 60}}", "{run: {worker: toy, total_timesteps: 60, name: other}}"
        )
    )
    outcome = cli("plan", "run", "p.yaml")

    assert outcome.code == 0
    assert len(list((tmp_path / "runs").iterdir())) == 3
    assert runs_of(tmp_path / "runs")["a"] == before["a"], "a name changes nothing of a training"
    assert "b: started" in outcome.err
    assert "a: started" not in outcome.err


def test_the_first_failure_stops_all_when_told(cli: Cli, site: Callable[..., Any]) -> None:
    """With --fail-fast a failure ends the others, resumable, and begins no more."""
    site("toy_worker")
    (cli.folder / "p.yaml").write_text(  # type: ignore[attr-defined]
        "members:\n  long: {run: {worker: toy, total_timesteps: 100000, hyperparameters: {step_seconds: 0.01}}}\n"
        "  bad: {script: 'false'}\n  late: {run: {worker: toy}, resources: {cpus: 2}}\n"
    )
    outcome = cli("plan", "run", "p.yaml", "-j", "2", "--fail-fast", "--json")
    assert (outcome.code, states(outcome)) == (1, {"long": "stopped", "bad": "failed", "late": "pending"})


def test_a_member_is_stopped_at_its_time_limit(cli: Cli, site: Callable[..., Any]) -> None:
    """A run over its limit is stopped with a checkpoint; a script, which has none, is stopped, too."""
    site("toy_worker")
    (cli.folder / "p.yaml").write_text(  # type: ignore[attr-defined]
        "members:\n  a: {time_limit: 2, run: {worker: toy, total_timesteps: 100000, hyperparameters: {step_seconds: 0.01}}}\n"
        "  b: {time_limit: 0.5, script: [sleep, 60]}\n"
    )
    outcome = cli("plan", "run", "p.yaml", "-j", "2", "--json")
    assert (outcome.code, states(outcome)) == (75, {"a": "stopped", "b": "stopped"})
    assert "the time limit of 2 s is over" in outcome.json()["members"]["a"]["reason"]


def test_a_dry_run_starts_nothing(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """It lists the members, and leaves neither runs nor a plan."""
    site("toy_worker")
    (cli.folder / "p.yaml").write_text(f"members: {{a: {{{FAST}}}}}")  # type: ignore[attr-defined]
    outcome = cli("plan", "run", "p.yaml", "--dry-run")
    assert outcome.code == 0
    assert outcome.out.splitlines()[1].split()[:3] == ["a", "run", "pending"]
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "plans").exists()
