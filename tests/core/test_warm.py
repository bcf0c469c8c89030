"""Processes that are forked from a warm one: they keep what every executor promises, and nobody can tell them from fresh ones."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from rlctl.launch.executor import Task
from rlctl.launch.warm import Forked, WarmExecutor, can_fork
from rlctl.runs.directory import is_alive, process_identity
from rlctl.runs.files import read_lines
from rlctl.testing import ExecutorContract
from rlctl.testing.processes import members_of_group

pytestmark = pytest.mark.skipif(not can_fork(), reason="nothing is forked on this system")

TOLD = """
import atexit
import logging.handlers
import sys

def warm_up():
    print("warmed up", flush=True)
    atexit.register(print, "the end of the warm process")

if __name__ == "__main__":
    exec(sys.argv[1])
"""
"""Does in a forked process what a test tells it to."""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the module `told` on the path of all processes, and return its file."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "told.py").write_text(TOLD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    return folder / "told.py"


class _Telling(WarmExecutor):
    """Has the contract's programs forked: as a module, which is what can be."""

    def submit(self, task: Task) -> Any:
        python, _, program = task.argv
        argv = (python, "-m", "told", program)
        return super().submit(
            attrs.evolve(task, argv=argv, environment={**task.environment, "PYTHONUNBUFFERED": "1"}, warm_up=("told",))
        )


WARM: tuple[str, ...] = ("told:warm_up",)


class TestForkedProcesses(ExecutorContract):
    """What was forked is a task like any other."""

    executor = "local"
    _made: list[WarmExecutor]

    @pytest.fixture(autouse=True)
    def closed(self, told: Path) -> Iterator[None]:
        """The module is there, and no warm process is left."""
        type(self)._made = []
        yield
        for executor in self._made:
            executor.close()

    @classmethod
    def make(cls) -> WarmExecutor:
        """Return an executor that forks them."""
        cls._made.append(_Telling())
        return cls._made[-1]


class Place:
    """Places programs, all with one executor."""

    def __init__(self, folder: Path) -> None:
        self.executor = WarmExecutor()
        self.folder = folder
        self.handles: list[Any] = []

    def __call__(self, program: str, warm_up: tuple[str, ...] = WARM, **environment: str) -> Any:
        """Return the handle of a program's process; its log is `self.log(handle)`."""
        import sys

        task = Task(
            run_id="r", argv=(sys.executable, "-m", "told", program), warm_up=warm_up, log=self._log(len(self.handles)),
            environment={"PYTHONUNBUFFERED": "1", **environment},
        )  # fmt: skip
        self.handles.append(self.executor.submit(task))
        return self.handles[-1]

    def _log(self, number: int) -> Path:
        return self.folder / f"{number}.log"

    def log(self, handle: Any) -> str:
        """Return what its process, or the warm one that was started for it, has written."""
        return self._log(self.handles.index(handle)).read_text()

    def ended(self, program: str, **more: Any) -> str:
        """Place a program, wait for its end, and return its log."""
        handle = self(program, **more)
        assert handle.wait() == 0, self.log(handle)
        return self.log(handle)


@pytest.fixture
def place(told: Path, tmp_path: Path) -> Iterator[Place]:
    """Return `place(program)`; whatever is left of them is killed."""
    placing = Place(tmp_path)
    yield placing
    for handle in placing.handles:
        placing.executor.kill(handle)
    placing.executor.close()


def lines(text: str) -> list[str]:
    """Return what a program has printed: what is not the warm process's and not ours."""
    return [line for line in text.splitlines() if line != "warmed up" and not line.startswith("rlctl: ")]


# ---- as a fresh one ------------------------------------------------------------------------------------------------------


def test_processes_are_forked_from_one_that_warms_up_once(place: Place) -> None:
    """The second log has nothing of the warming up, and both name the same warm process, which they are children of."""
    program = "import os; print(os.getppid())"
    first, second = place.ended(program), place.ended(program)
    assert first.splitlines()[0] == "warmed up"
    assert "warmed up" not in second
    (parent,) = lines(first)
    assert lines(second) == [parent]
    assert f"rlctl: forked from the warm process {parent}" in second


def test_who_waits_hears_of_an_end_at_once(place: Place) -> None:
    """A host need not sleep through the end of a short run."""
    handle, begun = place("pass"), time.monotonic()
    while handle.poll() is None:
        place.executor.wait(60)
    assert time.monotonic() - begun < 50


def test_a_forked_process_has_a_session_signals_and_descriptors_of_its_own(place: Place) -> None:
    """It leads its session and group, hears signals as a fresh one, and has no descriptor but its three."""
    program = (
        "import os, signal; print(os.getsid(0) == os.getpgrp() == os.getpid(), signal.getsignal(signal.SIGCHLD), "
        "signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), signal.pthread_sigmask(0, []), "
        "sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"
    )
    said = lines(place.ended(program))
    own, *_ = said
    assert own.startswith("True 0 <built-in function default_int_handler> 0 set() [0, 1, 2]"), said


def test_arguments_module_and_folder_are_those_of_a_fresh_process(place: Place, tmp_path: Path) -> None:
    """sys.argv, __main__ and the current folder."""
    fresh = place.ended(AS_FRESH, warm_up=())
    forked = place.ended(AS_FRESH)
    assert lines(forked) == lines(fresh)
    assert "forked" in forked and "forked" not in fresh


AS_FRESH = (
    "import os, sys, __main__; print(sys.argv, sys.orig_argv[0], os.getcwd(), __main__.__spec__.name, sys.flags, "
    "os.environ['PATH'], sys.path, sys.stdout.encoding, sys.stdout.write_through)"
)


def test_processes_of_another_environment_are_forked_from_another_one(place: Place) -> None:
    """What a library has read while it was imported is what its run's environment says."""
    program = "import os; print(os.environ['THREADS'], os.getppid())"
    said = [lines(place.ended(program, THREADS=number))[0].split() for number in ("1", "2", "1")]
    assert [threads for threads, _ in said] == ["1", "2", "1"]
    assert said[0] == said[2] != said[1]


def test_forked_processes_draw_different_numbers(place: Place) -> None:
    """Who seeds nothing gets numbers of its own, from Python's generator and from numpy's."""
    program = "import random, numpy; print(random.random(), numpy.random.random(), numpy.random.default_rng().random())"
    drawn = [lines(place.ended(program, warm_up=("numpy", "random")))[0].split() for _ in range(2)]
    assert len({number for row in drawn for number in row}) == 6


def test_warnings_are_shown_again_in_each_process(place: Place, told: Path) -> None:
    """A warning that the warm process has shown is no secret in a forked one."""
    told.write_text(
        f"import warnings\ndef warn(): warnings.warn('mind this')\n{TOLD.replace('print(', 'warn() or print(')}"
    )
    place.ended("pass")
    program = "import told; told.warn()"
    assert "mind this" in place.ended(program)
    assert "mind this" in place.ended(program)


def test_what_is_left_open_is_written(place: Place, tmp_path: Path) -> None:
    """At its end files are flushed, functions of atexit called, threads waited for, in a process that is not taken apart."""
    program = (
        "import atexit, sys, threading, time, builtins, told\n"
        f"builtins.kept = open({str(tmp_path / 'left')!r}, 'w'); builtins.kept.write('all of it')\n"
        "atexit.register(print, 'at exit')\n"
        "held = told.logging.handlers.MemoryHandler(9, target=told.logging.StreamHandler(sys.stdout))\n"
        "told.logging.getLogger().addHandler(held)\n"
        "told.logging.warning('logged')\n"
        "threading.Thread(target=lambda: (time.sleep(0.3), print('thread'))).start()\n"
    )
    assert lines(place.ended(program)) == ["thread", "at exit", "logged"]
    assert (tmp_path / "left").read_text() == "all of it"


@pytest.mark.parametrize(
    ("program", "code", "words"),
    [
        ("pass", 0, ""),
        ("raise SystemExit(75)", 75, ""),
        ("raise SystemExit('too bad')", 1, "too bad"),
        ("raise ValueError('wrong')", 1, "ValueError: wrong"),
        ("import os; os._exit(9)", 9, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV, ""),
    ],
)
def test_the_exit_code_is_that_of_a_fresh_process(place: Place, program: str, code: int, words: str) -> None:
    """However it ends."""
    for warm_up in ((), WARM):
        handle = place(program, warm_up=warm_up)
        assert handle.wait() == code
        assert words in place.log(handle)


def test_a_forked_process_is_pinned_to_its_cores(place: Place, tmp_path: Path) -> None:
    """As `--affinity` asks."""
    import sys

    core = random.choice(sorted(os.sched_getaffinity(0)))
    program = "import os; print(os.sched_getaffinity(0))"
    task = Task(
        run_id="r", argv=(sys.executable, "-m", "told", program), warm_up=WARM, log=tmp_path / "0.log",
        environment={}, cores=(core,),
    )  # fmt: skip
    place.handles.append(place.executor.submit(task))
    assert place.handles[0].wait() == 0
    assert lines(place.log(place.handles[0])) == [str({core})]


# ---- where none can be forked --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("doing", "why"),
    [
        (
            "import threading, time; threading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
            "it has 2 threads",
        ),
        ("raise RuntimeError('no way')", "the warm process has ended"),
        ("import os; os._exit(3)", "the warm process has ended"),
    ],
)
def test_a_process_that_cannot_be_forked_is_started_afresh(place: Place, told: Path, doing: str, why: str) -> None:
    """Its log says why; the next one of its kind does not try."""
    told.write_text(f"{TOLD.replace('print(', f'exec({doing!r}) or print(')}")
    first = place.ended("import os; print(os.getppid())")
    assert f"rlctl: started afresh, not forked from the warm process: {why}" in first
    assert lines(first)[-1] == str(os.getpid())
    second = place("pass")
    assert not isinstance(second, Forked)


def test_changed_code_is_not_run_from_memory(place: Place, told: Path) -> None:
    """A process that is started after a module was changed runs the new one; so does the next, forked again."""
    told.write_text(TOLD + "\nword = 'old'\n")
    program = "import told; print(told.word)"
    assert lines(place.ended(program)) == ["old"]
    told.write_text(TOLD + "\nword = 'brand new'\n")
    changed, after = place.ended(program), place.ended(program)
    assert lines(changed) == lines(after) == ["brand new"]
    assert "files of what it has imported have changed" in changed
    assert "forked from" in after


def test_a_process_goes_on_when_the_warm_one_is_killed(place: Place, wait_until: Callable[..., Any]) -> None:
    """It is followed to its end; the next one is started afresh, as its log says, and the one after that is forked again."""
    handle = place("import time; print('begun'); time.sleep(2); print('done')")
    wait_until(lambda: "begun" in place.log(handle))
    os.kill(handle.server.process.pid, signal.SIGKILL)
    handle.server.process.wait()
    assert handle.poll() is None
    handle.wait()
    assert lines(place.log(handle)) == ["begun", "done"]
    assert "started afresh, not forked from the warm process: the warm process has ended" in place.ended("pass")
    assert "forked from" in place.ended("pass")


def test_a_warm_process_that_is_killed_while_it_warms_up_costs_no_run(place: Place, told: Path) -> None:
    """Who waits for it is started afresh."""
    told.write_text(TOLD.replace("print(", "__import__('time').sleep(99) or print("))
    handle = place("print('here')")
    assert handle.poll() is None
    os.kill(handle.server.process.pid, signal.SIGKILL)
    assert handle.wait() == 0
    assert lines(place.log(handle)) == ["here"]


# ---- stopped before it was forked ----------------------------------------------------------------------------------------


def test_what_was_not_forked_yet_can_be_killed(place: Place, told: Path, tmp_path: Path) -> None:
    """Then it never is."""
    told.write_text(TOLD.replace("print(", "__import__('time').sleep(99) or print("))
    handle = place(f"open({str(tmp_path / 'begun')!r}, 'w')")
    server = process_identity(handle.server.process.pid)
    place.executor.kill(handle)
    assert handle.poll() == -signal.SIGKILL
    assert not is_alive(server)
    assert not (tmp_path / "begun").exists()


def test_a_signal_that_comes_too_early_is_not_lost(place: Place) -> None:
    """It is delivered as soon as there is a process."""
    handle = place("import time; time.sleep(99)")
    place.executor.cancel(handle, signal.SIGTERM)
    assert handle.wait() == -signal.SIGTERM


def test_nothing_is_forked_for_who_is_gone(place: Place, told: Path, tmp_path: Path) -> None:
    """A request whose host has died meanwhile is not heeded: the next host may have begun the run again."""
    handle = place("pass")
    handle.wait()
    holding, hearing = handle.server.ask(
        attrs.evolve(handle.task, argv=(*handle.task.argv[:3], f"open({str(tmp_path / 'begun')!r}, 'w')"))
    )
    holding.close()
    handle.server.control.close()
    os.set_blocking(hearing, True)
    said = b""
    while more := os.read(hearing, 100):
        said += more
    os.close(hearing)
    # Forked before the end of stdin was there to see, it would see it itself, as a fresh process does.
    assert b"refused nobody waits for it any more" in said or (tmp_path / "begun").exists()


# ---- plans ---------------------------------------------------------------------------------------------------------------


def warm_processes_of(host: int) -> list[int]:
    """Return the warm processes that a host has started."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if b"rlctl.worker.warm" in command and parent == host:
                found.append(int(folder.name))
    return found


def processes_of(root: Path) -> dict[str, str]:
    """Return run → how its process came to be, forked or fresh."""
    return {
        path.parent.name.split(".")[1]: line["process"]
        for path in root.glob("*/events.jsonl")
        for line in read_lines(path)
        if line["type"] == "training_started"
    }


def test_seeds_are_forked_and_a_single_run_is_not(
    cli: Callable[..., Any], site: Callable[..., Any], tmp_path: Path
) -> None:
    """As their events say. So it is with a plan of a single run, and with threads that would not survive it."""
    site("toy_worker")
    many = ("run", "toy", "-n", 60, "-j", 2)
    assert cli(*many, "--seeds", "0..2", "--name", "seeds").code == 0
    assert cli(*many, "--seeds", "0..0", "--name", "single").code == 0
    assert cli(*many, "--seeds", "0..1", "--name", "threads", "--set", "threads=2").code == 0
    shown = cli("runs", "show", next((tmp_path / "runs").glob("seeds*")).name).out
    assert "process    forked from a warm one" in shown
    processes = {path.name.split(".")[0]: set() for path in (tmp_path / "runs").iterdir()}
    for path in (tmp_path / "runs").glob("*/events.jsonl"):
        processes[path.parent.name.split(".")[0]] |= {
            line["process"] for line in read_lines(path) if line["type"] == "training_started"
        }
    assert processes == {"seeds": {"forked"}, "single": {"fresh"}, "threads": {"fresh"}}


def test_a_killed_host_leaves_no_warm_process(
    cli: Any, site: Callable[..., Any], tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    """Nor its members, which save and end; `plan resume` ends all, exactly, forked again."""
    site("toy_worker")
    options = ("-n", 400, "--set", "hyperparameters.step_seconds=0.01", "--set", "checkpoint.every_steps=50")
    host = cli.start("run", "toy", *options, "--seeds", "0..1", "-j", 2, "--name", "killed")
    wait_until(lambda: len(list((tmp_path / "runs").glob("*/checkpoints/step-*"))) >= 2, 60)
    (warm,) = warm_processes_of(host.pid)
    members = [int(name) for name in Path(f"/proc/{warm}/task/{warm}/children").read_text().split()]
    assert len(members) == 2

    os.kill(host.pid, signal.SIGKILL)
    host.wait()

    wait_until(lambda: not members_of_group(warm), 20)
    wait_until(lambda: not any(members_of_group(member) for member in members), 60)
    resumed = cli("plan", "resume", "killed", "-j", 2)
    assert resumed.code == 0, resumed.err
    assert "goes on from step" in resumed.err
    assert set(processes_of(tmp_path / "runs").values()) == {"forked"}
