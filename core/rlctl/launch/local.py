"""The built-in executor: a process on this machine, in a session of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

from rlctl.launch.executor import Task


class LocalExecutor:
    """Starts tasks as child processes. Ctrl-C in the terminal reaches only us, as each child has its own session."""

    def submit(self, task: Task) -> subprocess.Popen[bytes]:
        """Start the task; output goes to its log, so that nothing a library prints can reach the protocol."""
        with task.log.open("ab") as log, _pinned_to(task.cores):
            return subprocess.Popen(
                task.argv,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **task.environment},
                start_new_session=True,
            )

    def poll(self, handle: Any) -> int | None:
        """Return the exit code of an ended process, or None."""
        return handle.poll()  # type: ignore[no-any-return]

    def cancel(self, handle: Any, signal_number: int) -> None:
        """Send a signal to the process, if it still lives."""
        if handle.poll() is None:
            handle.send_signal(signal_number)

    def kill(self, handle: Any) -> None:
        """Kill the process's whole group; what it started must not outlive it."""
        with contextlib.suppress(ProcessLookupError):  # nobody may be left in the group
            os.killpg(handle.pid, signal.SIGKILL)
        handle.wait()


@contextlib.contextmanager
def _pinned_to(cores: tuple[int, ...]) -> Iterator[None]:
    """Have this thread on these cores while it makes a process, which inherits them before it has a thread of its own."""
    if not cores:
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
