"""What stands between a training and a service that may be slow, hang, fail or be gone: a bounded queue and a thread.

The training hands over numbers, which costs it about a microsecond, and never waits for the service. What goes wrong is said
once, when it happens; what was lost is counted, and said at the end.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from attrs import field, frozen

from rlctl import Episode, Evaluation, Metrics, Result, RunInfo, hookimpl
from rlctl.worker.eventlog import append_event

CAPACITY = 20_000
"""Rows that wait at most; later ones are dropped."""

_INTERVAL = 0.5
"""Seconds between two looks at the queue."""


@frozen
class Row:
    """Numbers, or films, of one step of the run; `time` in seconds since 1970."""

    step: int
    values: Mapping[str, float]
    films: Mapping[str, Path] = field(factory=dict)
    time: float = field(factory=time.time)


class Service(Protocol):
    """Where rows go. All but `kill` are called in one thread of their own, never in that of the training."""

    def open(self) -> int:
        """Begin, or go on; returns the last step that the service has of this run already, -1 for a new one."""

    def send(self, rows: list[Row]) -> None:
        """Take rows, in the order in which they came."""

    def close(self, result: Result) -> None:
        """End; `result` says how the run did."""

    def kill(self) -> None:
        """End at once, as it did not answer."""


class Background:
    """Hands rows to a service. `patience`: seconds that the end of the run waits for what is still to be sent."""

    def __init__(
        self, name: str, run: RunInfo, service: Service, patience: float = 30.0, capacity: int = CAPACITY
    ) -> None:
        self._name, self._run, self._service = name, run, service
        self._patience, self._capacity = patience, capacity
        self._rows: deque[Row] = deque()
        self._ending = threading.Event()
        self._result: Result | None = None
        self._trouble: str | None = None  # what the thread has to say, and could not say itself
        self._said = False
        self._accepted = self._sent = self._refused = 0
        self._thread = threading.Thread(target=self._work, name=f"rlctl-{name}", daemon=True)
        self._thread.start()

    # ---- the training's thread -------------------------------------------------------------------------------------

    def put(self, row: Row) -> None:
        """Take a row, unless too many are waiting; returns at once."""
        if len(self._rows) >= self._capacity:
            self._refused += 1
            self._trouble = self._trouble or f"it is {self._capacity} points behind; later ones are dropped"
        else:
            self._accepted += 1
            self._rows.append(row)
        if self._trouble is not None and not self._said:
            self._say_trouble()

    def close(self, result: Result) -> None:
        """Let the rest be sent, for at most `patience` seconds, and say what was not."""
        self._result = result
        self._ending.set()
        self._thread.join(self._patience)
        if self._thread.is_alive():
            self._trouble = self._trouble or f"it did not answer for {self._patience:g} s"
            self._service.kill()
        if self._trouble is not None and not self._said:
            self._say_trouble()
        lost = self._accepted + self._refused - self._sent
        if lost:
            self._tell(f"{lost} of {self._accepted + self._refused} points did not reach it")

    def _say_trouble(self) -> None:
        self._said = True
        self._tell(f"{self._trouble}. The training goes on.")

    def _tell(self, message: str) -> None:
        print(f"rlctl: callback {self._name}: {message}", file=sys.stderr, flush=True)
        append_event(self._run.directory / "events.jsonl", "callback_trouble", callback=self._name, message=message)

    # ---- its own thread --------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            known = self._service.open()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a library may raise anything, and must not end the run
            self._trouble = f"cannot begin: {type(error).__name__}: {error}"
            self._capacity = 0
            return
        last = False
        while not last:
            last = self._ending.wait(_INTERVAL)
            self._send(known)
        self._attempt(lambda: self._service.close(self._result or Result(status="failed", reason="unknown")))

    def _send(self, known: int) -> None:
        waiting = [self._rows.popleft() for _ in range(len(self._rows))]
        rows = [row for row in waiting if row.step > known]
        if not rows or self._attempt(lambda: self._service.send(rows)):
            self._sent += len(waiting)

    def _attempt(self, action: Any) -> bool:
        try:
            action()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
            self._trouble = self._trouble or f"{type(error).__name__}: {error}"
            return False
        return True


class ServiceCallback:
    """A callback whose every event goes to a service in the background; a subclass says which."""

    def __init__(self, run: RunInfo, name: str, service: Service, patience: float) -> None:
        self._directory = run.directory
        self._films = self._whole_films()
        self._background = Background(name, run, service, patience)

    @hookimpl
    def rlctl_episode_ended(self, episode: Episode) -> None:
        values = {"episode/return": episode.episode_return, "episode/length": float(episode.length)}
        self._background.put(Row(episode.step, values))

    @hookimpl
    def rlctl_metrics(self, metrics: Metrics) -> None:
        self._background.put(Row(metrics.step, metrics.values))

    @hookimpl
    def rlctl_evaluation_ended(self, evaluation: Evaluation) -> None:
        self._put_films(evaluation.step)

    @hookimpl
    def rlctl_training_ended(self, result: Result) -> None:
        self._put_films(result.step)
        self._background.close(result)

    def _put_films(self, step: int) -> None:
        """Hand over the films that are new; a film has its name from when it is whole on, so none is half."""
        found = self._whole_films()
        for path in sorted(found - self._films):
            name = path.relative_to(self._directory).with_suffix("").as_posix()
            self._background.put(Row(step, {}, {name: path}))
        self._films |= found

    def _whole_films(self) -> set[Path]:
        films = self._directory / "videos"
        return {path for path in films.rglob("[!.]*") if path.suffix in (".mp4", ".gif")}
