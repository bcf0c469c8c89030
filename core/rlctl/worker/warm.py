"""A warm process of a worker: it has imported and tried out what trainings need, and forks a process for each of them.

    python -m rlctl.worker.warm WHAT...

`rlctl.launch.warm` starts it, with a socket as stdin. Each message on it asks for a process that does what a fresh
`python -m MODULE ...` would do; three descriptors come along: its stdin, its log, and a pipe for answers, which are lines:
`pid N` of the process, when it leads a session of its own; `exit N`, its exit code, or `refused WHY`. An ended process is kept as a
zombie until nobody reads its answers any more, so that no signal can meet a stranger. This process has one thread, for
nothing but `fork` survives one, and it ends with its socket.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from attrs import define, field

from rlctl.descriptors import resolve
from rlctl.distributions import entry_points
from rlctl.hooks import ENTRY_POINT_GROUP

CHANGED = "files of what it has imported have changed"
"""The one reason to refuse that another warm process of the same kind would not have."""

forked_from: int | None = None
"""The warm process from which this one was forked; None in one that was started afresh."""


def origin() -> str:
    """Return how this process came to be: "forked" or "fresh"."""
    return "fresh" if forked_from is None else "forked"


def find_plugins() -> None:
    """Read once which plugins there are, for all that will be forked."""
    entry_points(ENTRY_POINT_GROUP)


def main(what: list[str]) -> None:
    """Import each "module" of `what` and call each "module:function", then fork as asked.

    Returns where this is the warm process and its host is gone; in a forked one, where what it was to do is done.
    """
    control = socket.socket(fileno=os.dup(0))
    control.set_inheritable(False)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for name in what:
        if ":" in name:
            resolve(name)()
        else:
            importlib.import_module(name)
    with warnings.catch_warnings():
        pass  # on the way out Python forgets which warnings it has shown: each process is to show them
    gc.collect()
    gc.freeze()  # what is here stays; looking it through would copy its memory in each process
    argv = _Server(control, _modification_times()).serve()
    if argv is not None:
        sys.argv = argv[2:]
        code: Any = None
        try:
            runpy.run_module(argv[2], run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            code = ended.code
        _exit(code)


def _exit(code: Any) -> None:
    """End as the interpreter would, but for taking its modules apart: that copies all memory that was shared until now.

    What this leaves out is what Python does not promise: `__del__` of what is still in use. Files are flushed. What was registered
    with `atexit` is called if this process has registered it, see `_forget_exit_functions`.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing ends what it has forked
    atexit._run_exitfuncs()  # noqa: SLF001
    for kind in (io.TextIOWrapper, io.BufferedWriter):
        for item in gc.get_objects():  # those that were made since the fork; the others are frozen
            if issubclass(type(item), kind):
                with contextlib.suppress(Exception):
                    item.flush()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    if code is not None and not isinstance(code, int):
        with contextlib.suppress(Exception):
            print(code, file=sys.stderr, flush=True)
        code = 1
    os._exit((code or 0) & 0xFF)


def _forget_exit_functions() -> None:
    """Leave to the warm process what it is to do at its end, as `multiprocessing` does where it forks.

    It is PyTorch mostly, which takes its tables apart then: 40 ms of each run, and as many copied pages as its training has.
    """
    atexit._clear()  # noqa: SLF001
    for module, function in (("logging", "shutdown"), ("multiprocessing.util", "_exit_function")):
        if module in sys.modules:  # these two are of the process that they are called in
            atexit.register(getattr(sys.modules[module], function))


@define
class _Server:
    """Answers requests, and tells of the processes that it has forked.

    `_children` are answers' descriptor → pid; of those in `_told` the end was told.
    """

    control: socket.socket
    imported: dict[str, int | None]
    _children: dict[int, int] = field(factory=dict)
    _told: set[int] = field(factory=set)

    def serve(self) -> list[str] | None:
        """Return the command that this process is to run, in a forked one; None when nobody will ask any more."""
        woken, waker = os.pipe()
        for end in (woken, waker):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, _nothing)  # a handler there must be, for the signal to be written to the pipe
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        while True:
            ready = self._wait(woken)
            if woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, 4096)
                self._tell_ends()
            for answers in ready & self._told:
                self._forget(answers)
            if self.control.fileno() in ready:
                message, descriptors, _, _ = socket.recv_fds(self.control, 65_536, 3)
                if not message:
                    return None
                request = json.loads(message)
                if self._fork(request, *descriptors):
                    for end in (woken, waker):
                        os.close(end)
                    return list(request["argv"])

    def _wait(self, woken: int) -> set[int]:
        """Return the descriptors on which something has happened: of an answers' pipe, that nobody reads it any more."""
        poll = select.poll()
        for readable in (woken, self.control.fileno()):
            poll.register(readable, select.POLLIN)
        for answers in self._told:
            poll.register(answers, 0)
        return {descriptor for descriptor, _ in poll.poll()}

    def _tell_ends(self) -> None:
        for answers, pid in self._children.items():
            if answers in self._told:
                continue
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None:
                self._told.add(answers)
                code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
                _say(answers, f"exit {code}")

    def _forget(self, answers: int) -> None:
        self._told.discard(answers)
        os.waitpid(self._children.pop(answers), 0)
        os.close(answers)

    def _fork(self, request: dict[str, Any], stdin: int, log: int, answers: int) -> bool:
        """Fork, or say why not; return True in the forked process, which is then as a fresh one would be."""
        reason = _why_not(stdin, self.imported)
        pid = -1
        if reason is None:
            try:
                pid = os.fork()
            except OSError as error:
                reason = f"it cannot be forked: {error.strerror}"
        if pid == 0:
            self._become(request, stdin, log, answers)
            return True
        os.close(stdin)
        os.close(log)
        if reason is None:
            self._children[answers] = pid
        else:
            _say(answers, f"refused {reason}")
            os.close(answers)
        return False

    def _become(self, request: dict[str, Any], stdin: int, log: int, answers: int) -> None:
        """Be a process with a session, signals, descriptors and generators of its own; ends it if that fails."""
        global forked_from
        try:
            forked_from = os.getppid()
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for source, target in ((stdin, 0), (log, 1), (log, 2)):
                os.dup2(source, target)
            for descriptor in (stdin, log, *self._children):
                os.close(descriptor)
            self.control.close()
            _forget_exit_functions()
            if request["cores"]:
                os.sched_setaffinity(0, request["cores"])
            if numpy := sys.modules.get("numpy"):
                numpy.random.seed()  # Python's own generator does so by itself
            print(f"rlctl: forked from the warm process {forked_from}", file=sys.stderr, flush=True)
            _say(answers, f"pid {os.getpid()}")
            os.close(answers)
        except BaseException:  # noqa: BLE001 - whatever it is, two warm processes must not come of it
            traceback.print_exc()
            os._exit(1)


def _why_not(stdin: int, imported: dict[str, int | None]) -> str | None:
    """Return why a process forked now would not be as a fresh one, or would be of no use to anyone."""
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    if threads != 1:
        return f"it has {threads} threads"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "it uses a GPU"
    poll = select.poll()
    poll.register(stdin, 0)
    if poll.poll(0):  # the other end is closed
        return "nobody waits for it any more"
    if any(_modified(file) != time for file, time in imported.items()):
        return CHANGED
    return None


def _modification_times() -> dict[str, int | None]:
    """Return file → time of all that was imported: a run is to be trained by the code that its manifest speaks of."""
    return {file: _modified(file) for file in _files(list(sys.modules.values()))}


def _files(modules: Iterable[Any]) -> set[str]:
    return {file for module in modules if isinstance(file := getattr(module, "__file__", None), str)}


def _modified(file: str) -> int | None:
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116 - a third of the time that a Path takes, and there are thousands
    except OSError:
        return None


def _say(answers: int, line: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody wants to know
        os.write(answers, f"{line}\n".encode())


def _nothing(_: int, __: FrameType | None) -> None:
    """Do nothing; the pipe is written to."""


if __name__ == "__main__":
    # The module that others import, not this second copy of it.
    resolve("rlctl.worker.warm:main")(sys.argv[1:])
