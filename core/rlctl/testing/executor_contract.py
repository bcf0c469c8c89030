"""What every executor promises, as tests that a plugin inherits."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from rlctl.launch.executor import Executor, Task
from rlctl.launch.start import make_executor
from rlctl.plugins import discover
from rlctl.testing.processes import wait_until

Submit = Callable[..., "Placed"]


class Placed:
    """A task that was handed to the executor."""

    def __init__(self, executor: Executor, task: Task) -> None:
        self.executor = executor
        self.log = task.log
        self.handle = executor.submit(task)

    def exit_code(self, seconds: float) -> int:
        """Wait for the end and return the exit code."""
        wait_until(lambda: self.executor.poll(self.handle) is not None, seconds, "the task has ended")
        code = self.executor.poll(self.handle)
        assert code is not None
        return code

    def says(self, text: str, seconds: float) -> str:
        """Wait until the log has `text` and return the whole log."""
        wait_until(lambda: text in self._read(), seconds, f"its log says {text!r}")
        return self._read()

    def _read(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class ExecutorContract:
    """Inherit it as `class TestMine(ExecutorContract)` and say which executor.

    The tasks are tiny Python programs; they must be able to write into the test's temporary folder.
    """

    executor: ClassVar[str]
    seconds: ClassVar[float] = 20.0
    """How long the executor may take to start a task or to notice its end."""

    @classmethod
    def make(cls) -> Executor:
        """Return the executor, made as rlctl makes it; override it to point it somewhere."""
        return make_executor(cls.executor, discover())

    @pytest.fixture
    def submit(self, tmp_path: Path) -> Iterator[Submit]:
        """Return a function that places a Python program, with variables to add to its environment."""
        placed: list[Placed] = []

        def place(program: str, **environment: str) -> Placed:
            log = tmp_path / f"task-{len(placed)}.log"
            task = Task(run_id=log.stem, argv=(sys.executable, "-uc", program), environment=environment, log=log)
            placed.append(Placed(self.make(), task))
            return placed[-1]

        yield place
        for item in placed:
            item.executor.kill(item.handle)

    def test_a_task_that_ends_has_its_exit_code(self, submit: Submit) -> None:
        """`poll` returns the exit code of a task that has ended."""
        assert submit("raise SystemExit(7)").exit_code(self.seconds) == 7

    def test_a_task_that_runs_has_none(self, submit: Submit) -> None:
        """`submit` returns while the task still runs, and `poll` then returns None."""
        placed = submit("import time; print('running'); time.sleep(60)")
        placed.says("running", self.seconds)
        assert placed.executor.poll(placed.handle) is None

    def test_output_goes_to_the_log(self, submit: Submit) -> None:
        """What a task writes to stdout and stderr is in its log, and nowhere else."""
        placed = submit("import os; os.write(1, b'to stdout\\n'); os.write(2, b'to stderr\\n')")
        placed.exit_code(self.seconds)
        placed.says("to stdout\n", self.seconds)
        placed.says("to stderr\n", self.seconds)

    def test_the_log_is_appended_to(self, submit: Submit, tmp_path: Path) -> None:
        """What stands in the log already is kept: a run that is resumed goes on in it."""
        (tmp_path / "task-0.log").write_text("before\n")
        placed = submit("print('after')")
        placed.exit_code(self.seconds)
        assert placed.says("after", self.seconds).startswith("before\n")

    def test_its_environment_is_added(self, submit: Submit) -> None:
        """A task has the variables that it asks for beside those that it would have anyway."""
        submit("import os; print(os.environ['TOLD'], len(os.environ) > 1)", TOLD="yes").says("yes True", self.seconds)

    def test_its_stdin_stays_open(self, submit: Submit) -> None:
        """A task does not read the end of its stdin as long as somebody waits for it."""
        program = "import select; print('open' if not select.select([0], [], [], 1)[0] else 'ended')"
        submit(program).says("open", self.seconds + 1)

    def test_cancel_sends_the_signal(self, submit: Submit) -> None:
        """`cancel` delivers its signal to the task, which ends itself as it likes."""
        placed = submit(
            "import signal, sys, time\n"
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
            "print('ready'); time.sleep(60)"
        )
        placed.says("ready", self.seconds)
        placed.executor.cancel(placed.handle, signal.SIGTERM)
        assert placed.exit_code(self.seconds) == 9

    def test_cancel_after_the_end_is_harmless(self, submit: Submit) -> None:
        """A signal to a task that has ended goes nowhere, and its exit code stays."""
        placed = submit("raise SystemExit(5)")
        placed.exit_code(self.seconds)
        placed.executor.cancel(placed.handle, signal.SIGTERM)
        assert placed.exit_code(self.seconds) == 5

    def test_a_killed_task_has_ended_by_a_signal(self, submit: Submit) -> None:
        """`kill` ends a task that ignores every request, and `poll` returns the negative number of the signal."""
        placed = submit(
            "import signal, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "print('ready'); time.sleep(60)"
        )
        placed.says("ready", self.seconds)
        placed.executor.kill(placed.handle)
        assert placed.exit_code(self.seconds) == -signal.SIGKILL

    def test_kill_reaches_grandchildren(self, submit: Submit) -> None:
        """`kill` ends what the task has started, too, also when the task itself has ended before."""
        placed = submit(
            "import subprocess, sys\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
            "print('child', child.pid, 'end')"
        )
        child = int(placed.says("end", self.seconds).partition("child ")[2].split()[0])
        placed.exit_code(self.seconds)
        assert _lives(child), "the grandchild was to outlive the task"
        placed.executor.kill(placed.handle)
        wait_until(lambda: not _lives(child), self.seconds, "the grandchild has ended")

    def test_kill_twice_is_harmless(self, submit: Submit) -> None:
        """Killing a task that has been killed does nothing."""
        placed = submit("import time; time.sleep(60)")
        placed.executor.kill(placed.handle)
        placed.executor.kill(placed.handle)
        assert placed.exit_code(self.seconds) < 0


def _lives(pid: int) -> bool:
    from rlctl.runs.directory import is_alive, process_identity

    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return process_identity(pid)["started"] is not None and is_alive(process_identity(pid))
