"""Where the members of a plan run: which executor places them, on which GPUs and cores; and what a terminal shows of them."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlctl.cli._live import table_of
from rlctl.plans.host import Row
from rlctl.plans.schedule import Demand, Slots

Cli = Callable[..., Any]

SAYS_WHERE = """
import json, os, pathlib, sys, time
said = {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "cores": sorted(os.sched_getaffinity(0))}
pathlib.Path(sys.argv[1]).with_suffix(".part").write_text(json.dumps(said))
pathlib.Path(sys.argv[1]).with_suffix(".part").rename(sys.argv[1])
while len(list(pathlib.Path.cwd().glob("*.said"))) < int(sys.argv[2]): time.sleep(0.05)
"""
"""Says in a file where it runs, and waits for others to say it, so that all of them do so at once."""


def write_plan(cli: Cli, members: dict[str, Any], **more: Any) -> None:
    """Write p.json into the current folder of the command line."""
    (cli.folder / "p.json").write_text(json.dumps({"members": members, **more}))  # type: ignore[attr-defined]


def saying(cli: Cli, name: str, together: int, **more: Any) -> dict[str, Any]:
    """Return a member that says where it runs, while `together` of them do."""
    (cli.folder / "says.py").write_text(SAYS_WHERE)  # type: ignore[attr-defined]
    return {"script": ["python", "says.py", f"{name}.said", together], "time_limit": 60, **more}


def said(cli: Cli, name: str) -> dict[str, Any]:
    """Return what a member has said."""
    found: dict[str, Any] = json.loads((cli.folder / f"{name}.said").read_text())  # type: ignore[attr-defined]
    return found


# ---- executors -----------------------------------------------------------------------------------------------------------


def test_one_executor_can_place_all_members(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """`--executor` holds for runs, whatever their configurations say, for tasks, and for runs that are gone on with."""
    site("toy_worker", "toy_executor")
    run = {"worker": "toy", "total_timesteps": 60, "executor": "local", "checkpoint": {"every_steps": 20}}
    write_plan(cli, {"a": {"run": {**run, "hyperparameters": {"raise_at": 50}}}, "b": {"script": "true"}})

    assert cli("plan", "run", "p.json", "--executor", "toy").code == 1
    outcome = cli("plan", "retry", "p.json", "a", "--executor", "toy")

    assert "goes on from step 40" in outcome.err
    notes = {path.parent.parent.name.split(".")[1]: path.read_text() for path in tmp_path.rglob("executor.txt")}
    assert notes.keys() == {"a", "b"}
    assert notes["a"].count("submit") == 2


def test_a_plan_without_a_word_on_executors_is_placed_as_its_runs_say(
    cli: Cli, site: Callable[..., Any], tmp_path: Path
) -> None:
    """A run by the executor of its configuration, a task by the local one."""
    site("toy_worker", "toy_executor")
    write_plan(
        cli,
        {"a": {"run": {"worker": "toy", "total_timesteps": 60}}, "b": {"script": "true"}},
        defaults={"executor": "toy"},
    )
    assert cli("plan", "run", "p.json").code == 0
    assert [path.parent.parent.name.split(".")[1] for path in tmp_path.rglob("executor.txt")] == ["a"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--executor", "toi"], 3, 'Did you mean "toy"?'),
        (["--executor", "toy", "--affinity"], 2, '"toy" may place it elsewhere'),
        (["--affinity", "-j", "9999"], 2, "9999 slots are more than the"),
    ],
)
def test_what_cannot_be_placed_is_refused_before_anything_starts(
    fast_cli: Cli, cli: Cli, site: Callable[..., Any], tmp_path: Path, options: list[str], code: int, words: str
) -> None:
    """By `plan check`, too."""
    site("toy_worker", "toy_executor")
    write_plan(cli, {"b": {"script": "true"}})
    for command in ("run", "check"):
        outcome = fast_cli("plan", command, cli.folder / "p.json", *options)  # type: ignore[attr-defined]
        assert (outcome.code, words in outcome.err) == (code, True), outcome.err
    assert not (tmp_path / "plans").exists()


def test_what_an_engine_still_has_is_followed_again(
    cli: Cli, site: Callable[..., Any], tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    """After kill -9 of its host a run goes on, and so does a script; `plan resume` follows both, and starts neither again."""
    site("toy_worker", "toy_engine")
    (tmp_path / "engine").mkdir()
    engine = ("--executor", "engine", "--address", tmp_path / "engine")
    slow = {"worker": "toy", "total_timesteps": 300, "hyperparameters": {"step_seconds": 0.05}}
    write_plan(cli, {"a": {"run": slow}, "b": saying(cli, "b", 2), "c": {"script": "true", "needs": ["a", "b"]}})
    host = cli.start("plan", "run", "p.json", "-j", 2, *engine)  # type: ignore[attr-defined]
    wait_until(lambda: (cli.folder / "b.said").exists() and list(tmp_path.rglob("episodes.jsonl")), 60)  # type: ignore[attr-defined]
    host.kill()
    host.wait()
    status = cli("plan", "status", "p", "--json").json()
    assert [member["state"] for member in status["members"]] == ["running", "running", "pending"]
    (cli.folder / "other.said").touch()  # type: ignore[attr-defined]

    resumed = cli("plan", "resume", "p", "-j", 2, *engine)

    assert resumed.code == 0, resumed.err
    assert "a: was placed before, and is followed again" in resumed.err
    assert len(list((tmp_path / "engine").iterdir())) == 3


def test_a_member_elsewhere_takes_one_slot_here_and_the_resources_there(
    cli: Cli, site: Callable[..., Any], tmp_path: Path
) -> None:
    """What this machine has not got is no reason to refuse it; what the engine has not got is one."""
    site("toy_engine")
    (tmp_path / "engine").mkdir()
    engine = ("--executor", "engine", "--address", tmp_path / "engine")
    members = {name: saying(cli, name, 2, resources={"cpus": 999, "memory_mb": 10**9}) for name in ("a", "b")}
    write_plan(cli, members)
    assert cli("plan", "run", "p.json", "-j", 2, *engine).code == 0

    write_plan(cli, {"g": {"script": "true", "resources": {"gpus": 1}}}, name="q")
    refused = cli("plan", "run", "p.json", *engine)
    assert refused.code == 2
    assert "members.g.resources: this engine has no GPU" in refused.err
    assert not (tmp_path / "plans" / "q").exists()


# ---- GPUs and cores ------------------------------------------------------------------------------------------------------


def test_each_member_sees_the_gpus_that_are_its_own(cli: Cli) -> None:
    """Slots are what this process may see, here two that are not there; who takes none is left as it is."""
    members = {name: saying(cli, name, 3, resources={"gpus": 1}) for name in ("a", "b")}
    write_plan(cli, {**members, "c": saying(cli, "c", 3)})

    outcome = cli("plan", "run", "p.json", "-j", 3, env={"CUDA_VISIBLE_DEVICES": "GPU-5e,GPU-7f"})

    assert outcome.code == 0, outcome.err
    assert {said(cli, "a")["gpus"], said(cli, "b")["gpus"]} == {"GPU-5e", "GPU-7f"}
    assert said(cli, "c")["gpus"] == "GPU-5e,GPU-7f"


def test_more_gpus_than_there_are_is_refused(cli: Cli) -> None:
    """Such a member would wait for ever."""
    write_plan(cli, {"a": saying(cli, "a", 1, resources={"gpus": 3})})
    outcome = cli("plan", "check", "p.json", env={"CUDA_VISIBLE_DEVICES": "4,6"})
    assert outcome.code == 2
    assert "it needs 3, there are 2" in outcome.err


def test_a_pinned_member_has_cores_of_its_own(cli: Cli) -> None:
    """One slot is one core, which no other member has meanwhile; without --affinity all have all."""
    cores = sorted(os.sched_getaffinity(0))
    names = [f"m{index}" for index in range(min(2, len(cores)))]
    write_plan(cli, {name: saying(cli, name, len(names)) for name in names})

    outcome = cli("plan", "run", "p.json", "-j", len(names), "--affinity")

    assert outcome.code == 0, outcome.err
    assert sorted(said(cli, name)["cores"] for name in names) == [[core] for core in cores[: len(names)]]
    write_plan(cli, {"free": saying(cli, "free", 1)})
    assert cli("plan", "run", "p.json").code == 0
    assert said(cli, "free")["cores"] == cores


def test_the_seeds_of_a_training_can_be_pinned(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """`rlctl run --seeds --affinity` is the same; the training is the one that is not pinned, and --affinity alone is refused."""
    site("toy_worker")
    arguments = ("run", "toy", "-n", 100, "--seeds", "3", "-j", 1)
    assert cli(*arguments, "--affinity", "--name", "pinned").code == 0
    assert cli(*arguments, "--name", "free").code == 0
    episodes = [json.loads(line) for path in sorted(tmp_path.rglob("episodes.jsonl")) for line in path.open()]
    returns = [(line["step"], line["return"]) for line in episodes]
    assert returns[: len(returns) // 2] == returns[len(returns) // 2 :] != []
    assert cli("run", "toy", "--affinity").code == 2


def test_cores_are_slots() -> None:
    """As many as a member has CPUs; they come back."""
    slots = Slots(3, cores=[2, 4, 6])
    first, second = slots.take(Demand(2)), slots.take(Demand(1))
    assert (first.cores, second.cores) == ((2, 4), (6,))
    slots.give_back(first)
    assert slots.take(Demand(1)).cores == (2,)


# ---- what a terminal shows -----------------------------------------------------------------------------------------------


def on_a_terminal(cli: Cli, *arguments: object) -> str:
    """Return what a command writes to a terminal on its stderr."""
    ours, theirs = pty.openpty()
    process = cli.start(*arguments, stderr=theirs, env={"TERM": "xterm", "COLUMNS": "120"})  # type: ignore[attr-defined]
    os.close(theirs)
    shown, end = b"", time.monotonic() + 100
    while time.monotonic() < end:
        if not select.select([ours], [], [], 0.2)[0]:
            continue
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the last one who had it open has ended
            break
    os.close(ours)
    process.wait(timeout=10)
    return shown.decode("utf-8", "replace")


def test_a_terminal_shows_a_table_of_all_members(cli: Cli, site: Callable[..., Any]) -> None:
    """It is drawn again as they fare, and stays when all is done; lines run above it."""
    pytest.importorskip("rich")
    site("toy_worker")
    slow = {"worker": "toy", "total_timesteps": 300, "hyperparameters": {"step_seconds": 0.01}}
    write_plan(cli, {"slow": {"run": slow}, "after": {"script": "true", "needs": ["slow"]}})

    shown = on_a_terminal(cli, "plan", "run", "p.json")

    assert "MEMBER" in shown
    assert "1 running, 1 pending" in shown
    assert "rlctl: slow: started in" in shown
    last = shown[shown.rindex("MEMBER") :]
    assert "2 finished" in last
    assert {"slow", "after"} <= set(last.split())


def test_elsewhere_there_are_plain_lines(cli: Cli) -> None:
    """A pipe gets no table."""
    write_plan(cli, {"a": {"script": "true"}})
    outcome = cli("plan", "run", "p.json")
    assert "rlctl: a: finished (1 of 1 members are finished)" in outcome.err
    assert "MEMBER" not in outcome.err


def test_a_table_that_does_not_fit_says_how_many_it_hides() -> None:
    """And what a member is called cannot change how it looks."""
    console = pytest.importorskip("rich.console").Console(width=100, record=True, file=io.StringIO())
    rows = [Row(member="[red]a[/red]", kind="run", state="running", step=1500), *(
        Row(member=f"m{index}", kind="script", state="pending") for index in range(40)
    )]  # fmt: skip
    console.print(table_of(rows, 10))
    shown = console.export_text()
    assert "[red]a[/red]" in shown
    assert "1 500" in shown
    assert "1 running, 40 pending; 31 of them are not shown" in " ".join(shown.split())
