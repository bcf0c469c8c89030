"""What goes wrong around a run: signals, kills, full and read-only disks, libraries that misbehave, failing callbacks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json, read_lines
from rlctl.worker.main import _failure_of

Cli = Callable[..., Any]
Site = Callable[..., Any]
Wait = Callable[..., Any]

TOY = ("run", "toy", "--run-id", "r")
ENDLESS = (*TOY, "-n", "100000000", "--set", "hyperparameters.step_seconds=0.005")


@pytest.fixture
def found(tmp_path: Path, rlctl_env: dict[str, str], site: Site) -> RunDirectory:
    """Return the directory of the test's run "r", which does not exist yet; the toy worker is installed."""
    site("toy_worker")
    return RunDirectory(tmp_path / "runs" / "r")


def hyper(**values: Any) -> list[str]:
    """Return the arguments that set hyper-parameters."""
    return [part for name, value in values.items() for part in ("--set", f"hyperparameters.{name}={json.dumps(value)}")]


def trains(found: RunDirectory) -> bool:
    """Return whether the run has taken a step."""
    return bool((read_json(found.status) or {}).get("step", 0) > 0)


def group_members(group: int) -> list[int]:
    """Return the live processes of a process group; zombies do not count."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state != "Z":
            members.append(int(stat.parent.name))
    return members


def outcome_of(found: RunDirectory) -> tuple[str, str]:
    """Return status and reason of the run's result."""
    result = read_json(found.result) or {}
    return result["status"], result["reason"]


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


# ---- signals -------------------------------------------------------------------------------------------------------------


def test_a_killed_worker_is_a_failed_run(cli: Cli, found: RunDirectory) -> None:
    """A worker that SIGKILL ends: state failed, the signal named, the end of its log shown, exit code 1."""
    outcome = cli(*TOY, *hyper(kill_at=200))

    assert outcome.code == 1
    assert state_of(found) == "failed"
    assert "the worker process was killed by SIGKILL (the kernel does that when memory runs out)" in outcome.err
    assert "about to be killed" in outcome.err
    result = read_json(found.result) or {}
    assert (result["failure"]["kind"], result["exit_code"]) == ("SIGKILL", 1)
    assert "about to be killed" in result["failure"]["log_tail"]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGHUP])
def test_other_deadly_signals_are_named(
    cli: Cli, found: RunDirectory, wait_until: Wait, number: signal.Signals
) -> None:
    """Whatever signal ends the worker is named in the result."""
    process = cli.start(*ENDLESS)  # type: ignore[attr-defined]
    wait_until(lambda: trains(found))
    os.kill((read_json(found.status) or {})["process"]["pid"], number)

    assert process.wait(60) == 1
    assert outcome_of(found) == ("failed", f"the worker process was killed by {number.name}")


@on_linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_host_ends_the_run_cleanly(
    cli: Cli, found: RunDirectory, wait_until: Wait, number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM: the worker ends by itself, leaves nobody in its process group, and the run is stopped."""
    process = cli.start(*ENDLESS, *hyper(child_seconds=600))  # type: ignore[attr-defined]
    wait_until(lambda: trains(found))
    worker = (read_json(found.status) or {})["process"]["pid"]
    assert len(group_members(worker)) == 2

    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 75, err
    assert "stopping at the next safe point" in err
    assert outcome_of(found) == ("stopped", f"stopped by {number.name}")
    assert f"stopped: stopped by {number.name}" in out
    assert group_members(worker) == []
    assert [event["type"] for event in read_lines(found.events)][-2:] == ["training_ended", "run_ended"]


@on_linux
def test_ctrl_c_of_a_terminal_reaches_the_host_only(cli: Cli, found: RunDirectory, wait_until: Wait) -> None:
    """A terminal signals the whole foreground group: the worker is not in it, and still ends cleanly."""
    process = cli.start(*ENDLESS)  # type: ignore[attr-defined]
    wait_until(lambda: trains(found))
    worker = (read_json(found.status) or {})["process"]["pid"]
    assert os.getpgid(worker) == os.getsid(worker) == worker != process.pid

    os.killpg(process.pid, signal.SIGINT)

    assert process.wait(60) == 75
    assert outcome_of(found)[0] == "stopped"


@on_linux
def test_a_second_ctrl_c_kills(cli: Cli, found: RunDirectory, wait_until: Wait) -> None:
    """A worker that does not listen is killed by the second Ctrl-C, long before its grace is over."""
    process = cli.start(*ENDLESS, "--grace", "600", *hyper(ignore_stop=True, child_seconds=600))  # type: ignore[attr-defined]
    wait_until(lambda: trains(found))
    worker = (read_json(found.status) or {})["process"]["pid"]
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None

    process.send_signal(signal.SIGINT)

    _, err = process.communicate(timeout=20)
    assert (process.returncode, "killing the worker" in err) == (130, True)
    assert outcome_of(found) == ("stopped", "killed with SIGKILL while stopping")
    assert group_members(worker) == []


@on_linux
def test_the_grace_ends_a_worker_that_does_not_listen(cli: Cli, found: RunDirectory, wait_until: Wait) -> None:
    """One Ctrl-C is enough: after its grace the worker is killed."""
    process = cli.start(*ENDLESS, "--grace", "1", *hyper(ignore_stop=True))  # type: ignore[attr-defined]
    wait_until(lambda: trains(found))
    process.send_signal(signal.SIGINT)

    _, err = process.communicate(timeout=30)

    assert (process.returncode, "did not end within 1 s and is killed" in err) == (130, True)
    assert state_of(found) == "stopped"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_worker_starts(
    cli: Cli, found: RunDirectory, wait_until: Wait, number: signal.Signals
) -> None:
    """A signal in the first moments, before the worker can hear it, stops the run all the same."""
    process = cli.start(*ENDLESS, *hyper(start_seconds=1))  # type: ignore[attr-defined]
    wait_until(found.config.exists)
    time.sleep(0.05)
    process.send_signal(number)

    process.communicate(timeout=60)

    assert process.returncode in (75, 128 + number)  # whether the worker could hear it, and save itself, already
    assert state_of(found) == "stopped"


@on_linux
def test_a_dead_host_leaves_no_orphan(cli: Cli, found: RunDirectory, wait_until: Wait) -> None:
    """When the host is killed with -9 the worker ends by itself within seconds, with a result and all it had started."""
    process = cli.start(*ENDLESS, "--grace", "3", *hyper(child_seconds=600))  # type: ignore[attr-defined]
    wait_until(lambda: trains(found))
    worker = (read_json(found.status) or {})["process"]["pid"]
    process.kill()
    process.wait()

    wait_until(found.result.exists, timeout=10)

    assert outcome_of(found) == ("stopped", "the process that started the run is gone")
    wait_until(lambda: not group_members(worker), timeout=10)


@on_linux
def test_a_dead_host_leaves_no_orphan_that_does_not_listen(cli: Cli, found: RunDirectory, wait_until: Wait) -> None:
    """A worker that ignores the stop ends its whole group when its grace is over and nobody waits any more."""
    process = cli.start(*ENDLESS, "--grace", "1", *hyper(ignore_stop=True, child_seconds=600))  # type: ignore[attr-defined]
    wait_until(lambda: trains(found))
    worker = (read_json(found.status) or {})["process"]["pid"]
    process.kill()
    process.wait()

    wait_until(lambda: not group_members(worker), timeout=15)

    assert state_of(found) == "lost"


@on_linux
def test_a_closed_terminal_ends_the_run(cli: Cli, found: RunDirectory, wait_until: Wait) -> None:
    """SIGHUP ends the host, and with it the worker, which writes its result."""
    process = cli.start(*ENDLESS)  # type: ignore[attr-defined]
    wait_until(lambda: trains(found))
    os.killpg(process.pid, signal.SIGHUP)
    process.wait(30)

    wait_until(found.result.exists, timeout=10)

    assert outcome_of(found)[0] == "stopped"


@on_linux
def test_what_a_finished_worker_started_does_not_outlive_it(cli: Cli, found: RunDirectory) -> None:
    """A child that the library left behind is ended with the run."""
    outcome = cli(*TOY, "-n", "100", *hyper(child_seconds=600))

    child = int((found.backend / "child.pid").read_text())
    assert outcome.code == 0
    assert (
        not Path(f"/proc/{child}").exists()
        or "Z" in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
    )


# ---- places ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return `disk(options)`: mounts a tmpfs and returns its folder; skips where that is not allowed."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        if not shutil.which("mount"):
            pytest.skip("there is no mount")
        answer = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
        )
        if answer.returncode != 0:
            pytest.skip(f"mount is not allowed here: {answer.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def refused(cli: Cli, place: Path | str, *arguments: str) -> str:
    """Run the toy in a place that cannot work; returns the one line of the refusal."""
    outcome = cli("run", "toy", "-n", "100", "--runs-dir", place, *arguments)
    assert (outcome.code, outcome.out) == (2, ""), outcome.err
    (line,) = outcome.err.splitlines()
    return str(line)


def test_a_place_below_a_file(cli: Cli, found: RunDirectory, tmp_path: Path) -> None:
    """A runs folder that would have to be below a regular file is refused in one line with what to do."""
    (tmp_path / "file").write_text("x")

    line = refused(cli, tmp_path / "file" / "runs")

    assert line.startswith(f'rlctl: cannot make the run\'s directory in "{tmp_path}/file/runs": Not a directory.')
    assert "--runs-dir" in line
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_place_that_belongs_to_the_kernel(cli: Cli, found: RunDirectory) -> None:
    """Nothing can be made in /proc, and that is said."""
    assert 'cannot make the run\'s directory in "/proc/runs"' in refused(cli, "/proc/runs")


def test_a_place_with_too_long_a_name(cli: Cli, found: RunDirectory, tmp_path: Path) -> None:
    """The system's limits on names are an error in one line, too."""
    assert "File name too long" in refused(cli, tmp_path / ("x" * 300))
    assert "File name too long" in refused(cli, tmp_path / "runs", "--run-id", "x" * 300)
    assert not (tmp_path / "runs").exists()


def test_a_read_only_disk(cli: Cli, found: RunDirectory, disk: Callable[..., Path]) -> None:
    """On a read-only file system the refusal says so."""
    folder = disk("size=1m,ro")

    assert "Read-only file system" in refused(cli, folder / "runs")


def test_a_full_disk(cli: Cli, found: RunDirectory, disk: Callable[..., Path]) -> None:
    """Where there is no room for a run's first files the refusal says so, and nothing half-made is left."""
    folder = disk("size=16k")

    assert "No space left on device" in refused(cli, folder / "a" / "runs")
    assert [path.name for path in folder.rglob("*") if path.name not in ("a", "runs")] == []


def test_a_limit_on_the_size_of_files(cli: Cli, found: RunDirectory, tmp_path: Path) -> None:
    """A limit of the shell on file sizes is refused like a full disk, and nothing half-made is left."""
    program = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
        f"sys.argv = {['rlctl', *TOY]!r}; runpy.run_module('rlctl', run_name='__main__')"
    )

    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)

    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert "File too large" in outcome.stderr
    assert not (tmp_path / "runs").exists()


def test_a_run_id_that_exists(cli: Cli, found: RunDirectory) -> None:
    """An id is given once: the second run is refused and the first stays as it is."""
    assert cli(*TOY, "-n", "100").code == 0
    before = {path: path.read_bytes() for path in found.path.rglob("*") if path.is_file()}

    outcome = cli(*TOY, "-n", "200")

    assert (outcome.code, outcome.out) == (2, "")
    assert 'there is a run "r" in' in outcome.err
    assert "Choose another --run-id." in outcome.err
    assert {path: path.read_bytes() for path in found.path.rglob("*") if path.is_file()} == before
    assert list(found.path.parent.iterdir()) == [found.path]


@pytest.mark.parametrize(
    "run_id", ["a/b", "../x", "/tmp/x", "..", ".", "", "@latest", "a b", ".hidden", "a\nb", "a*", "a\\b", "x:y"]
)
def test_a_run_id_that_is_no_name(cli: Cli, found: RunDirectory, run_id: str) -> None:
    """An id that cannot be a folder's name, or would be a reference of another kind, is refused; nothing is made."""
    outcome = cli("run", "toy", f"--run-id={run_id}")

    assert (outcome.code, outcome.out) == (2, "")
    assert "cannot be a run id" in outcome.err
    assert not found.path.parent.exists()


@pytest.mark.parametrize("run_id", ["a\x1b[31mb", "a\rb", "x\x7f", "a\u202eb", "-a"])
def test_a_run_id_that_would_play_with_a_terminal(cli: Cli, found: RunDirectory, run_id: str) -> None:
    """Nor may an id hold signs that move a cursor or turn a line, or look like an option."""
    outcome = cli("run", "toy", f"--run-id={run_id}")

    assert (outcome.code, found.path.parent.exists()) == (2, False)
    assert "\x1b" not in outcome.err


def test_two_runs_start_at_the_same_moment(cli: Cli, found: RunDirectory) -> None:
    """Four runs in one runs folder that none of them has made yet all finish, each in a folder of its own."""
    processes = [cli.start("run", "toy", "-n", "200", "--json") for _ in range(4)]  # type: ignore[attr-defined]
    answers = [(process.communicate(timeout=120)[0], process.returncode) for process in processes]

    assert [code for _, code in answers] == [0] * 4
    ids = {json.loads(out)["run_id"] for out, _ in answers}
    assert {path.name for path in found.path.parent.iterdir()} == ids
    assert len(ids) == 4


def test_of_two_runs_with_one_id_one_is_refused(cli: Cli, found: RunDirectory) -> None:
    """Started at the same moment with the same id, one run trains and the others are refused."""
    processes = [cli.start(*TOY, "-n", "200") for _ in range(4)]  # type: ignore[attr-defined]
    for process in processes:
        process.communicate(timeout=120)

    assert sorted(process.returncode for process in processes) == [0, 2, 2, 2]
    assert outcome_of(found)[0] == "finished"
    assert [path.name for path in found.path.parent.iterdir()] == ["r"]


@pytest.mark.parametrize("settings", [{"fill_disk_at": 300}, {"print_bytes": 10_000_000}])
def test_a_disk_that_fills_up_during_the_run(
    cli: Cli, found: RunDirectory, disk: Callable[..., Path], settings: dict[str, int]
) -> None:
    """When the disk fills up, by data or by the log, the run is failed with the reason in its result, and not left running."""
    root = disk("size=1m")
    here = RunDirectory(root / "r")

    outcome = cli(*TOY, "--runs-dir", root, "-n", "1000000", *hyper(step_seconds=0.001, **settings))

    assert outcome.code == 1
    assert "No space left on device" in outcome.err
    assert "Traceback" not in outcome.err.replace("  Traceback", "")  # the worker's own, indented; not the host's
    assert state_of(here) == "failed"
    assert "No space left on device" in outcome_of(here)[1]


# ---- libraries -----------------------------------------------------------------------------------------------------------


def test_a_hundred_megabytes_of_garbage_change_nothing(cli: Cli, found: RunDirectory, tmp_path: Path) -> None:
    """A library that prints 100 MB of binary garbage costs disk: the result is the same, and the host prints none of it."""
    quiet = cli("run", "toy", "-n", "1000", "--run-id", "quiet")
    begun = time.monotonic()

    loud = cli(*TOY, "-n", "1000", *hyper(print_bytes=100_000_000))

    assert (loud.code, quiet.code) == (0, 0)
    assert time.monotonic() - begun < 30
    assert found.log.stat().st_size >= 100_000_000
    episodes = [
        [(line["step"], line["return"]) for line in read_lines(run.episodes)]
        for run in (found, RunDirectory(tmp_path / "runs" / "quiet"))
    ]
    assert episodes[0] == episodes[1] != []
    assert len(loud.out + loud.err) < 2000


def test_a_failure_after_a_hundred_megabytes_is_shown_briefly(cli: Cli, found: RunDirectory) -> None:
    """The shown end of a log is short, however long the log and its lines are."""
    outcome = cli(*TOY, *hyper(print_bytes=50_000_000, vanish_at=5))

    assert outcome.code == 1
    assert len((read_json(found.result) or {})["failure"]["log_tail"]) <= 16_384
    assert len(outcome.err) < 20_000


@pytest.mark.parametrize("descriptors", [[1], [2], [1, 2], [0], [0, 1, 2]])
def test_a_library_that_closes_descriptors(cli: Cli, found: RunDirectory, descriptors: list[int]) -> None:
    """Closing stdin, stdout or stderr for good does not touch the result."""
    outcome = cli(*TOY, "-n", "500", *hyper(close_fds=descriptors))

    assert (outcome.code, outcome_of(found)) == (0, ("finished", "total_timesteps = 500 reached"))
    assert [event["type"] for event in read_lines(found.events)][-1] == "run_ended"


@pytest.mark.parametrize(
    "how", [{"close_fds": [1, 2]}, {"close_streams": True}, {"close_fds": [0, 1, 2], "close_streams": False}]
)
def test_a_failure_without_streams_is_still_reported(cli: Cli, found: RunDirectory, how: dict[str, Any]) -> None:
    """A library that closed its streams and then fails leaves its traceback in the result."""
    outcome = cli(*TOY, *hyper(raise_at=100, **how))

    assert outcome.code == 1
    assert outcome_of(found) == ("failed", "RuntimeError: told to raise at step 100")
    assert "in _misbehave" in (read_json(found.result) or {})["failure"]["traceback"]


@pytest.mark.parametrize("code", [0, 1, 7])
def test_a_library_that_exits(cli: Cli, found: RunDirectory, code: int) -> None:
    """sys.exit in the middle of training is a failure, also with code 0."""
    outcome = cli(*TOY, *hyper(exit_at=100, exit_code=code))

    assert outcome.code == 1
    assert outcome_of(found) == ("failed", f"SystemExit: {code}")
    assert (read_json(found.result) or {})["step"] == 100


def test_an_exception_that_cannot_be_printed_is_still_reported(found: RunDirectory) -> None:
    """An exception whose own text raises is reported by its class."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    result = _failure_of(MuteError(), None, found)

    assert (result.status, result.reason) == ("failed", "MuteError")
    assert result.failure is not None
    assert "MuteError" in result.failure.traceback


def test_a_library_that_vanishes(cli: Cli, found: RunDirectory) -> None:
    """os._exit leaves no trace: the host writes the result, with the last step that is known."""
    outcome = cli(*TOY, *hyper(vanish_at=100))

    assert outcome.code == 1
    assert outcome_of(found) == ("failed", "the worker process ended with exit code 9 and left no result")
    assert (read_json(found.result) or {})["failure"]["kind"] == "WorkerLost"


@pytest.mark.parametrize(
    ("worker", "words"),
    [
        ("toy_absent", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("toy_raises", "libmoon.so.1: cannot open shared object file"),
    ],
)
def test_a_worker_that_cannot_be_made(cli: Cli, found: RunDirectory, site: Site, worker: str, words: str) -> None:
    """A module that does not import and a constructor that raises are readable failures of the run."""
    site("unusable_workers")

    outcome = cli("run", worker, "--run-id", "r")

    assert outcome.code == 1
    assert words in outcome.err
    assert words in outcome_of(found)[1]


def test_nothing_is_left_beside_the_documented_files(cli: Cli, found: RunDirectory) -> None:
    """A finished run has no temporary files, reserves or hidden names."""
    cli(*TOY, "-n", "500")

    assert {path.name for path in found.path.iterdir()} == {
        "config.json", "manifest.json", "status.json", "result.json", "analytics.json", "events.jsonl", "episodes.jsonl",
        "metrics.jsonl", "logs", "backend", "checkpoints",
    }  # fmt: skip
    assert [path.name for path in (found.path / "logs").iterdir()] == ["worker.log"]
    assert {path.name for path in (found.path / "checkpoints").iterdir()} == {"latest", "step-000000000500"}


# ---- callbacks ------------------------------------------------------------------------------------------------------------

_WORKER_HOOKS = (
    "rlctl_training_started",
    "rlctl_step",
    "rlctl_episode_ended",
    "rlctl_metrics",
    "rlctl_checkpoint_saved",
    "rlctl_should_stop",
    "rlctl_training_ended",
)


@pytest.mark.parametrize("hook", _WORKER_HOOKS)
def test_a_failing_callback_costs_only_itself(cli: Cli, found: RunDirectory, site: Site, hook: str) -> None:
    """A callback that raises in any hook is switched off and reported once; the run and the other callbacks go on."""
    site("toy_callbacks")

    outcome = cli(*TOY, "-n", "500", "--set", f"callbacks.raises={{hook: {hook}, at: 0}}", "--callback", "recorder")

    assert (outcome.code, outcome_of(found)[0]) == (0, "finished")
    failed = [event for event in read_lines(found.events) if event["type"] == "callback_failed"]
    assert [(event["callback"], event["hook"]) for event in failed] == [("raises", hook)]
    assert f"callback raises failed in {hook} and is switched off: RuntimeError" in found.log.read_text()
    recorded = [line["hook"] for line in read_lines(found.path / "recorded.jsonl")]
    assert recorded.count("rlctl_training_ended") == 1
    assert recorded.count("rlctl_step") == 501


def test_a_callbacks_trouble_is_on_the_terminal_and_in_runs_show(cli: Cli, found: RunDirectory, site: Site) -> None:
    """What a callback says of its service, or fails with, is one line on stderr while the run goes on, and is shown later."""
    site("toy_callbacks")

    outcome = cli(*TOY, "-n", "500", "--callback", "troubled", "--callback", "unmakeable")
    shown, data = cli("runs", "show", "r").out, cli("runs", "show", "r", "--json").json()

    failed = "failed in its construction and is switched off: ConnectionError: no server at 127.0.0.1:1"
    assert outcome.code == 0
    for callback, said in (("troubled", "cannot begin: no server. The training goes on."), ("unmakeable", failed)):
        assert outcome.err.count(f"rlctl: callback {callback}: {said}\n") == 1
        assert f"{callback}: {said}" in shown
        assert {"callback": callback, "message": said} in data["callback_troubles"]


def test_old_trouble_is_not_told_again_by_a_resumed_run(cli: Cli, found: RunDirectory, site: Site) -> None:
    """What was told before the run was resumed is not news."""
    site("toy_callbacks")
    cli(*TOY, "-n", "500", "--callback", "unmakeable", "--stop-at", "200")
    events = found.events.read_text()
    said = '{"seq": 99, "time": 0.0, "type": "callback_trouble", "callback": "wandb", "message": "old"}\n'
    found.events.write_text(events + said)

    outcome = cli("resume", "r")

    assert outcome.code == 0
    assert "wandb" not in outcome.err


@pytest.mark.parametrize("hook", _WORKER_HOOKS)
def test_a_failing_critical_callback_fails_the_run(cli: Cli, found: RunDirectory, site: Site, hook: str) -> None:
    """A critical callback that raises in any hook ends the run as failed, with its name."""
    site("toy_callbacks")

    outcome = cli(*TOY, "-n", "500", "--set", f"callbacks.critical={{hook: {hook}, at: 100}}")

    assert (outcome.code, outcome_of(found)[0]) == (1, "failed")
    assert f"critical callback critical failed in {hook}: RuntimeError" in outcome_of(found)[1]


@pytest.mark.parametrize("name", ["unmakeable", "misspelt"])
def test_a_callback_that_cannot_be_made(cli: Cli, found: RunDirectory, site: Site, name: str) -> None:
    """A callback whose constructor raises, or that misspells a hook, is reported, and the run goes on without it."""
    site("toy_callbacks")

    outcome = cli(*TOY, "-n", "100", "--callback", name)

    assert (outcome.code, outcome_of(found)[0]) == (0, "finished")
    assert [event["callback"] for event in read_lines(found.events) if event["type"] == "callback_failed"] == [name]


def test_a_failing_callback_of_the_host_costs_only_itself(cli: Cli, found: RunDirectory, site: Site) -> None:
    """A callback in the host that raises is reported on stderr, and the run goes on."""
    site("toy_callbacks")

    outcome = cli(
        *TOY,
        "-n",
        "300",
        "--set",
        "callbacks.host_raises={hook: rlctl_status_changed, at: 0}",
        *hyper(step_seconds=0.005),
    )

    assert (outcome.code, outcome_of(found)[0]) == (0, "finished")
    assert outcome.err.count("host_raises failed in rlctl_status_changed and is switched off: RuntimeError") == 1


def test_a_callback_of_the_host_that_cannot_be_made(cli: Cli, found: RunDirectory, site: Site) -> None:
    """A host callback whose construction raises is reported, and the run goes on without it."""
    site("toy_callbacks")

    outcome = cli(*TOY, "-n", "100", "--set", "callbacks.host_raises.hook=rlctl_no_such_hook")

    assert (outcome.code, outcome_of(found)[0]) == (0, "finished")
    assert "host_raises failed in its construction and is switched off: PluginError" in outcome.err


@pytest.mark.parametrize("closed", ["0", "1", "2", "012"])
def test_a_host_without_streams_trains(cli: Cli, found: RunDirectory, closed: str) -> None:
    """Started by something that closed stdin, stdout or stderr, as cron and daemons do, the run finishes."""
    program = (
        f"import os, sys; [os.close(int(fd)) for fd in {closed!r}];"
        f"os.execv(sys.executable, [sys.executable, '-m', 'rlctl', *{TOY!r}, '-n', '100'])"
    )

    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)

    assert (outcome.returncode, outcome.stderr if closed != "2" else "") == (0, outcome.stderr if closed != "2" else "")
    assert outcome_of(found)[0] == "finished"
    assert "Traceback" not in outcome.stderr
