"""Follows a run's directory while its process lives: progress, stop requests, and a result whatever happened."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import attrs

from rlctl.errors import ExitCode
from rlctl.events import Failure, Progress, Result, RunInfo
from rlctl.launch.executor import Executor, NotStartedError, Task
from rlctl.launch.mirroring import Mirroring
from rlctl.runs.directory import RunDirectory, files_of
from rlctl.runs.files import LineReader, read_json, write_json
from rlctl.worker.dispatch import Dispatcher
from rlctl.worker.eventlog import append_event, callback_troubles
from rlctl.worker.relay import RelayReader
from rlctl.worker.status import close_status, finite

_POLL_SECONDS = 0.05


class Interruptions:
    """Signals that the user sent us while we wait."""

    def __init__(self) -> None:
        self.received: list[int] = []

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Collect SIGINT and SIGTERM instead of dying of them; outside of the main thread they are not ours to catch."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handler(number: int, _: FrameType | None) -> None:
            self.received.append(number)

        before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, previous in before.items():
                signal.signal(number, previous)


@attrs.define
class Supervisor:
    """Waits for one run. `observers` are told of its progress; `report` gets a line for the user now and then.

    `run` does all. Who follows several runs at once calls `begin`, `look` again and again, and `end` for each of them.
    """

    directory: RunDirectory
    info: RunInfo
    executor: Executor
    observers: Dispatcher
    report: Callable[[str], None]
    grace: float = 30.0
    relayed: bool = False
    mirror: Mirroring | None = None
    _status_seen: int = 0
    _last_update: Any = None
    _handle: object = None
    _deadline: float | None = None
    _received: list[int] = attrs.field(factory=list)
    _relay: RelayReader = attrs.field(init=False)
    _events: LineReader = attrs.field(init=False)

    def run(self, task: Task) -> Result:
        """Place the task, follow it to its end and return how it ended. One signal stops it, a second one kills it."""
        interruptions = Interruptions()
        with interruptions.caught():
            try:
                self.begin(task)
            except OSError as error:
                return self.not_started(error)
            return self._to_its_end(interruptions)

    def run_on(self, handle: object) -> Result:
        """Do as `run` does for a task that another process has placed, which has left."""
        interruptions = Interruptions()
        with interruptions.caught():
            self.follow(handle)
            return self._to_its_end(interruptions)

    def _to_its_end(self, interruptions: Interruptions) -> Result:
        while (code := self.look()) is None:
            if len(interruptions.received) > len(self._received):
                self.interrupt(interruptions.received[len(self._received)])
            time.sleep(_POLL_SECONDS)
        result, signals = self.end(code), len(interruptions.received)
        while self.settled() is None:
            if len(interruptions.received) > signals:
                self.abandon()
            time.sleep(_POLL_SECONDS)
        return result

    def begin(self, task: Task) -> None:
        """Place the task. Raises OSError when it cannot be started."""
        self._begin_reading()
        self._begin_following(self.executor.submit(task))

    def follow(self, handle: object) -> None:
        """Follow a task that another process has placed, which has left."""
        self._begin_reading()
        self._begin_following(handle)

    def _begin_reading(self) -> None:
        self._events = LineReader(self.directory.events)
        deque(self._events.read(), maxlen=0)  # those of the run before it was resumed have been told
        self._relay = RelayReader(self.directory.relay, self.info, self.observers, self._stop_for_hook)

    def _begin_following(self, handle: object) -> None:
        self._handle = handle
        if self.mirror is not None:
            self.mirror.begin()

    def not_started(self, error: OSError) -> Result:
        """Return the result of a run whose task could not be placed."""
        return self._end(self._lost(f"the worker process could not be started: {error}", None))

    def look(self) -> int | None:
        """Pass on what is new; return the exit code when the process has ended, else None. Kills it when its grace is over.

        Raises NotStartedError for a task that could not be started since.
        """
        code = self._polled()
        if self.relayed:
            self._relay.replay()
        self._tell_progress()
        if self.mirror is not None:
            self.mirror.look()
        for name, trouble in callback_troubles(self._events.read()):
            self.report(f"callback {name}: {trouble}")
        if code is not None:
            self.executor.kill(self._handle)  # what the worker started must not outlive it
            return code
        if self._deadline is None and (self._received or self.directory.stop_request.exists()):
            self._deadline = time.monotonic() + self.grace
        if self._deadline is not None and time.monotonic() > self._deadline:
            self.report(f"the worker did not end within {self.grace:g} s and is killed")
            self.executor.kill(self._handle)
        return None

    def _polled(self) -> int | None:
        try:
            return self.executor.poll(self._handle)
        except NotStartedError:
            if self.mirror is not None:
                self.mirror.give_up("it could not be started")
            raise

    def interrupt(self, number: int) -> None:
        """Pass a signal on to the worker, so that it stops; the second one kills it."""
        self._received.append(number)
        if len(self._received) > 1:
            self.report("killing the worker")
            self.executor.kill(self._handle)
        else:
            self.report("stopping at the next safe point; once more to kill")
            self.executor.cancel(self._handle, number)

    def end(self, code: int) -> Result:
        """Return how the run ended whose process ended with this exit code; its directory says it, too."""
        if code == ExitCode.FENCED:  # it is not over, and not ours to say how it ends, or to mirror
            if self.mirror is not None:
                self.mirror.give_up("another process goes on with it")
            return self._cut_off("another process goes on with it")
        return self._end(self._result(code, self._received))

    def settled(self) -> bool | None:
        """Return whether all that the run left is where `save_uri` says, once that is known, else None."""
        if self.mirror is None:
            return True
        return self.mirror.is_whole() if self.mirror.is_over() else None

    def abandon(self) -> None:
        """Wait no longer for what follows the end."""
        if self.mirror is not None:
            self.mirror.give_up("interrupted")

    def _stop_for_hook(self, reason: str) -> None:
        write_json(self.directory.stop_request, {"reason": reason, "kind": "hook", "requested_at": time.time()})

    def _tell_progress(self) -> None:
        try:
            changed = self.directory.status.stat().st_mtime_ns
        except OSError:
            return
        if changed == self._status_seen:
            return  # nearly always: reading it twenty times a second would cost a hundredth of a core
        self._status_seen = changed
        status = read_json(self.directory.status)
        if status is None or status.get("updated_at") == self._last_update or "step" not in status:
            return
        names = [item.name for item in attrs.fields(Progress)]
        said: dict[str, Any] = {name: status.get(name) for name in names}
        progress = Progress(**said)
        self.observers.call("rlctl_status_changed", run=self.info, progress=progress)
        self._last_update = status["updated_at"]

    # ---- the end ---------------------------------------------------------------------------------------------------

    def _result(self, code: int, received: list[int]) -> Result:
        written = result_of(self.directory)
        if written is not None:
            return written
        name = signal.Signals(-code).name if code < 0 else None
        if received or self.directory.stop_request.exists():
            # An interpreter that is interrupted while it starts ends with code 1, not with the signal.
            interrupted = ExitCode.INTERRUPTED if signal.SIGINT in received else ExitCode.TERMINATED
            how = f"killed with {name}" if name else f"ended with exit code {code}"
            lost = self._lost(f"{how} while stopping", code)
            return attrs.evolve(lost, status="stopped", failure=None, exit_code=interrupted)
        if code == ExitCode.STOPPED:  # a worker that says so has left a result
            return self._cut_off("it was cut off, and is placed nowhere now; its log says why")
        if name is None:
            return self._lost(f"the worker process ended with exit code {code} and left no result", code)
        hint = " (the kernel does that when memory runs out)" if name == "SIGKILL" else ""
        return self._lost(f"the worker process was killed by {name}{hint}", code)

    def _cut_off(self, reason: str) -> Result:
        """Return the result of a run that can be gone on with, as nothing of its own has ended it."""
        lost = self._lost(reason, None)
        return attrs.evolve(lost, status="stopped", failure=None, exit_code=ExitCode.STOPPED)

    def _lost(self, reason: str, code: int | None) -> Result:
        """Return the result of a worker that could not write its own, from the last status that it wrote."""
        status = read_json(self.directory.status) or {}
        kind = signal.Signals(-code).name if code is not None and code < 0 else "WorkerLost"
        return Result(
            status="failed",
            reason=reason,
            step=status.get("step", 0),
            episodes=status.get("episodes", 0),
            seconds=status.get("seconds", 0.0),
            return_mean=status.get("return_mean"),
            failure=Failure(kind=kind, message=reason, log_tail=self.directory.log_tail()),
            exit_code=ExitCode.RUN_FAILED,
        )

    def _end(self, result: Result) -> Result:
        self.directory.release_reserve()
        try:
            if not self.directory.result.exists():
                close_status(self.directory.status, result)
                write_json(self.directory.result, finite(attrs.asdict(result)))
            append_event(self.directory.events, "run_ended", status=result.status, reason=result.reason)
        except OSError as error:
            self._complain(error)
        self.observers.call("rlctl_run_ended", run=self.info, result=result)
        try:
            write_json(
                self.directory.analytics, files_of(self.directory)
            )  # last: it lists what the callbacks have left
        except OSError as error:
            self._complain(error)
        if self.mirror is not None:
            self.mirror.ended()
        return result

    def _complain(self, error: OSError) -> None:
        self.report(f"the outcome could not be written to {self.directory.path}: {error.strerror or error}")


def result_of(directory: RunDirectory) -> Result | None:
    """Return how a run has ended; None for one that has not."""
    data = read_json(directory.result)
    if data is None:
        return None
    failure = data.pop("failure", None)
    return Result(**data, failure=Failure(**failure) if failure else None)
