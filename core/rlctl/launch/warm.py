"""Has processes forked from warm ones, so that the second run of a worker does not wait for its imports again.

`rlctl.worker.warm` is the other side. Where it cannot be, a process is started afresh, and its log says why.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from attrs import define, field, frozen

from rlctl.launch.executor import Task
from rlctl.launch.local import LocalExecutor
from rlctl.runs.directory import is_alive, process_identity
from rlctl.worker.warm import CHANGED

_Key = tuple[Any, ...]
_DIED = "the warm process has ended"
_NOT_STARTED = 127
_FORK_SECONDS = 1.0
"""So long a warm process may take to fork; one that takes longer is not warm yet."""


def can_fork() -> bool:
    """Return whether this system shows how many threads a process has: fork is only sound with one."""
    return sys.platform == "linux"


@frozen(eq=False)
class _Server:
    """A warm process, and the socket on which it is asked."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    def ask(self, task: Task) -> tuple[BinaryIO, int]:
        """Ask for a process; returns the other ends of its stdin and of its answers. Raises OSError when we have ended."""
        request = json.dumps({"argv": task.argv, "cores": task.cores}).encode()
        (stdin, holding), (hearing, answers) = os.pipe(), os.pipe()
        try:
            with task.log.open("ab") as log:
                socket.send_fds(self.control, [request], [stdin, log.fileno(), answers])
        except OSError:
            os.close(holding)
            os.close(hearing)
            raise
        finally:
            os.close(stdin)
            os.close(answers)
        os.set_blocking(hearing, False)
        return os.fdopen(holding, "wb"), hearing  # closed with the last who knows it, so that no run trains for nobody

    def end(self) -> None:
        """End it, and leave what it has forked alone."""
        self.control.close()
        self.process.kill()
        self.process.wait()


class WarmExecutor(LocalExecutor):
    """The local executor for many runs: it has those tasks forked that say how to warm up. Close it at the end.

    There is one warm process for each interpreter, way to warm up, folder and environment.
    """

    def __init__(self) -> None:
        self._servers: dict[_Key, _Server] = {}
        self._retired: list[_Server] = []
        self._hopeless: set[_Key] = set()
        self._forked: list[Forked] = []

    def submit(self, task: Task) -> Any:
        """Ask for a forked process, which there is as soon as the warm one is ready; start it afresh where that cannot be."""
        # All of the environment: what a library has read of it while it was imported cannot be known.
        key = (task.warm_up, task.argv[0], str(Path.cwd()), frozenset({**os.environ, **task.environment}.items()))
        if not task.warm_up or not can_fork() or key in self._hopeless:
            return super().submit(task)
        if key not in self._servers:
            self._servers[key] = _start_server(task)
        server = self._servers[key]
        try:
            forked = Forked(task, self, server, *server.ask(task))
        except OSError:
            self.retire(server)
            return self.start_afresh(task, _DIED)
        self._forked.append(forked)
        return forked

    def wait(self, seconds: float) -> None:
        """Wait so long, or until there is news of a process that was asked for: a short run's end is not to be slept through."""
        self._forked = [forked for forked in self._forked if forked.answers >= 0]
        wait_for_answers([forked.answers for forked in self._forked], seconds)

    def start_afresh(self, task: Task, why: str) -> subprocess.Popen[bytes]:
        """Start a process that could not be forked; its log says why."""
        with task.log.open("a") as log:
            log.write(f"rlctl: started afresh, not forked from the warm process: {why}\n")
        return super().submit(task)

    def kill(self, handle: Any) -> None:
        """Kill the process's whole group, or what has not been forked yet."""
        if isinstance(handle, Forked):
            handle.kill_group()
        else:
            super().kill(handle)

    def retire(self, server: _Server, *, for_good: bool = False) -> None:
        """Ask a warm process no more. The next task of its kind gets a new one, unless another would be no better.

        It lives on, as only it can say how those will end that it has forked.
        """
        self._retired.append(server)
        for key in [key for key, known in self._servers.items() if known is server]:
            del self._servers[key]
            if for_good:
                self._hopeless.add(key)

    def close(self) -> None:
        """End the warm processes; what they have forked has ended, or goes on alone."""
        for server in (*self._servers.values(), *self._retired):
            server.end()
        self._servers.clear()
        self._retired.clear()


def wait_for_answers(descriptors: Sequence[int], seconds: float) -> None:
    """Wait until a warm process has said something, no longer than `seconds`; negative descriptors say nothing."""
    poll = select.poll()
    for descriptor in descriptors:
        if descriptor >= 0:
            poll.register(descriptor, select.POLLIN)
    if any(state & select.POLLHUP for _, state in poll.poll(1000 * seconds)):
        # The warm process is dead: there is only looking whether those that it has forked are.
        time.sleep(min(seconds, 0.01))


def _start_server(task: Task) -> _Server:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, task.log.open("ab") as log:
        process = subprocess.Popen(
            (task.argv[0], "-m", "rlctl.worker.warm", *task.warm_up),
            stdin=theirs.fileno(),
            stdout=log,  # what the imports have to say is in the log of the first run
            stderr=subprocess.STDOUT,
            env={**os.environ, **task.environment},
            start_new_session=True,
        )
    return _Server(process, ours)


@define(eq=False)
class Forked:
    """A process that was asked for, as `subprocess.Popen` is one that was started: the same names mean the same."""

    task: Task
    executor: WarmExecutor
    server: _Server
    stdin: BinaryIO
    answers: int
    """The descriptor on which the warm process tells of it, negative when there is no more to be told."""
    pid: int | None = None
    returncode: int | None = None
    _unread: bytes = b""
    _signals: list[int] = field(factory=list)
    _identity: dict[str, Any] = field(factory=dict)
    _fresh: subprocess.Popen[bytes] | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it lives or is still to be forked."""
        if self._fresh is not None:
            return self._fresh.poll()
        if self.returncode is None:
            self._hear()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, as soon as there is a process."""
        if self._fresh is not None:
            self._fresh.send_signal(number)
        elif self.pid is None:
            self._signals.append(number)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        while (code := self.poll()) is None:
            wait_for_answers([self.answers], 0.02)
        return code

    def kill_group(self) -> None:
        """Kill it and all that is in its group, also before it was forked."""
        if self.pid is None and self._fresh is None and self.returncode is None:
            self._withdraw()
        group = self._fresh.pid if self._fresh is not None else self.pid
        if group is not None:
            with contextlib.suppress(ProcessLookupError):  # nobody may be left in the group
                os.killpg(group, signal.SIGKILL)
        self.wait()
        self._close()

    def _withdraw(self) -> None:
        """Wait until it is forked, or sure that it never will be."""
        self._signals = []
        end = time.monotonic() + _FORK_SECONDS
        while self._hear(give_up=True) and self.pid is None:
            if time.monotonic() > end:
                self.executor.retire(self.server)
                self.server.end()  # nearly always it still warms up; what it has forked goes on
            wait_for_answers([self.answers], 0.02)

    # ---- what the warm process says --------------------------------------------------------------------------------

    def _hear(self, *, give_up: bool = False) -> bool:
        """Take in what was answered; return whether more may come. Who gives up wants no fresh process instead."""
        try:
            said = os.read(self.answers, 4096)
        except BlockingIOError:
            return True
        *lines, self._unread = (self._unread + said).split(b"\n")
        for line in lines:
            self._take(*line.decode().split(" ", 1), give_up=give_up)
        if said:
            return True
        if self.returncode is None and self._fresh is None:
            self._mind_the_end(give_up=give_up)
        return False

    def _take(self, word: str, rest: str, *, give_up: bool) -> None:
        if word == "pid":
            self.pid = int(rest)
            self._identity = process_identity(self.pid)
            for number in self._signals:
                self.send_signal(number)
        elif word == "exit":
            self.returncode = int(rest)
        else:
            self.executor.retire(self.server, for_good=rest != CHANGED)
            self._start_afresh(rest, give_up=give_up)

    def _mind_the_end(self, *, give_up: bool) -> None:
        """The warm process has ended: what it has forked goes on, and how that will end nobody can say but its result."""
        if self.pid is None:
            died_warming = self.server.process.wait() > 0
            self.executor.retire(self.server, for_good=died_warming)
            self._start_afresh(_DIED, give_up=give_up)
        elif not is_alive(self._identity):
            self.returncode = -signal.SIGKILL

    def _start_afresh(self, why: str, *, give_up: bool) -> None:
        if give_up:
            self.returncode = -signal.SIGKILL
            return
        self._close()
        try:
            self._fresh = self.executor.start_afresh(self.task, why)
        except OSError as error:
            with self.task.log.open("a") as log:
                log.write(f"rlctl: the process could not be started: {error}\n")
            self.returncode = _NOT_STARTED
            return
        for number in self._signals:
            self._fresh.send_signal(number)

    def _close(self) -> None:
        self.stdin.close()
        if self.answers >= 0:
            os.close(self.answers)
        self.answers = -1
