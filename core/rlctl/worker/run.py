"""What a backend is handed: counts, budgets, stop requests, the heartbeat and the callbacks behind three methods."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from rlctl.events import Episode, Metrics, Progress, RunInfo
from rlctl.runs.checkpoints import Checkpoint
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_json, read_lines
from rlctl.worker.dispatch import Dispatcher
from rlctl.worker.eventlog import append_event
from rlctl.worker.protocol import Resumable
from rlctl.worker.saving import Saver
from rlctl.worker.status import StatusFile

BEAT_SECONDS = 0.5
"""How often the status is written and a stop request looked for; the worst delay of `runs stop`."""


@frozen
class Stop:
    """Why training is to end. `kind`: `timesteps` or `episodes` (budget), `hook` (a callback's wish), `request`."""

    kind: str
    reason: str
    signal: str | None = None


class Run:
    """One run, as its backend sees it.

    Attributes: `info`, `seed`, `total_timesteps`, `total_episodes` (one of the two is None), `hyperparameters` (checked
    and complete), `env` (the `env` mapping of the configuration), `device`, `threads`, `directory`, `step`, `stop`,
    and `source`, which is what the worker's set-up returned.
    `horizon` is the number of steps that schedules should be laid over, also when the budget is in episodes.
    """

    def __init__(
        self,
        info: RunInfo,
        *,
        directory: RunDirectory,
        hyperparameters: Mapping[str, Any],
        horizon: int,
        dispatcher: Dispatcher,
        status: StatusFile | None = None,
        threads: int | None = None,
        source: Mapping[str, Any] | None = None,
        saver: Saver | None = None,
        resume_from: Checkpoint | None = None,
    ) -> None:
        self.info = info
        self.directory = directory
        self.seed = info.seed
        self.total_timesteps = info.total_timesteps
        self.total_episodes = info.total_episodes
        self.horizon = horizon
        self.hyperparameters = dict(hyperparameters)
        self.env: Mapping[str, Any] = info.config.get("env") or {}
        self.device: str = info.config.get("device", "auto")
        self.threads = threads
        self.source = dict(source or {})
        self.step = 0
        self.episodes = 0
        self.stop: Stop | None = None
        self._stop_at: int | None = info.config.get("stop_at")
        self._saver = saver
        self._resume_from = resume_from
        self._dispatcher = dispatcher
        self._status = status
        self._returns: deque[float] = deque(maxlen=100)
        self._started = time.perf_counter()
        self._next_beat = 0.0
        self._launched = self._started
        self._time_limit: float | None = info.config.get("time_limit")
        self.at_safe_point = False
        self._beats: deque[tuple[float, int]] = deque([(0.0, 0)], maxlen=11)

    # ---- what a backend calls --------------------------------------------------------------------------------------

    def attach(self, state: Resumable) -> None:
        """Say what is to be saved and resumed; call it when the training is built, before its first step."""
        if self._saver is not None:
            self._saver.state = state

    @property
    def resume_path(self) -> Path | None:
        """The folder of the checkpoint that `restore` will read; None for a new run, and once it has been read."""
        return self._resume_from.path if self._resume_from is not None else None

    def restore(self) -> bool:
        """Put the attached state and the run's counts where the checkpoint has them; False when there is none.

        Call it at the point of the training at which `advance` is called, where everything is to go on.
        """
        if self._resume_from is None or self._saver is None or self._saver.state is None:
            return False
        checkpoint, self._resume_from = self._resume_from, None
        data = checkpoint.data
        self._saver.state.read_state(checkpoint.path)
        self.step, self.episodes = int(data["step"]), int(data["episodes"])
        self._returns.extend(map(float, data["returns"]))  # those that are no JSON stand there as "nan" and "inf"
        self._started -= float(data["seconds"])
        self._beats = deque([(self._seconds(), self.step)], maxlen=11)
        self._saver.resumed_at(self.step, self._seconds())
        return True

    def limit_resume(self, reason: str) -> None:
        """Say that this run resumes as `state`, not `exact`, and why; it is written to the log and the events once."""
        event = {"resume": "state", "reason": reason}
        if any(event.items() <= known.items() for known in read_lines(self.directory.events)):
            return  # said before this run was resumed
        append_event(self.directory.events, "resume_limited", **event)
        print(f"rlctl: this run resumes as `state`, not `exact`: {reason}", file=sys.stderr, flush=True)

    def save(self, reason: str = "periodic") -> None:
        """Save a checkpoint now; the caller says that this is a safe point."""
        if self._saver is not None and self._resume_from is None:
            returns = [value if math.isfinite(value) else repr(value) for value in self._returns]
            counters = {"step": self.step, "episodes": self.episodes, "returns": returns}
            self._saver.save({**counters, "seconds": round(self._seconds(), 3)}, self._seconds(), reason)

    def advance(self, step: int, *, safe: bool = True) -> bool:
        """Say that `step` environment steps have been taken in all; returns whether to go on.

        Call it once per iteration, as often as is convenient: it costs well under a microsecond. False means that a
        budget is used up or somebody wants the run to end; `stop` then says which. A library whose own loop already
        ends at `total_timesteps` may go on to its natural end when `stop.kind == "timesteps"`.

        `safe` says that the attached state is whole here, so that it may be saved: checkpoints are made in this call.
        """
        self.at_safe_point = safe
        self.step = int(step)  # a backend's counter may be numpy's, which is no JSON
        seconds = self._seconds()
        if seconds >= self._next_beat:
            self._beat(seconds)
        if self._dispatcher.wants("rlctl_step"):
            self._dispatcher.call("rlctl_step", progress=self.progress())
        if self.stop is None:
            self._look_for_stop()
        if safe and self._saver is not None:
            if self.stop is not None and self.stop.kind != "timesteps":
                self.save("final")
            elif self._saver.is_due(self.step, seconds):
                self.save()
        self.at_safe_point = False
        return self.stop is None

    def _seconds(self) -> float:
        return time.perf_counter() - self._started

    def record_episode(
        self, episode_return: float, length: int, *, env_index: int = 0, step: int | None = None
    ) -> None:
        """Report a finished training episode: its undiscounted return and its length in steps of that environment."""
        episode = Episode(
            index=self.episodes,
            step=self.step if step is None else int(step),
            episode_return=float(episode_return),
            length=int(length),
            env_index=int(env_index),
            seconds=self._seconds(),
        )
        self.episodes += 1
        self._returns.append(episode.episode_return)
        self._dispatcher.call("rlctl_episode_ended", episode=episode)

    def record_metrics(self, values: Mapping[str, float], *, step: int | None = None) -> None:
        """Report scalars under rlctl's names (docs/metrics.md) or, for a library's own, `backend/<its tag>`."""
        if values and self._dispatcher.wants("rlctl_metrics"):
            at = self.step if step is None else int(step)
            numbers = {name: float(value) for name, value in values.items()}  # numpy's NaN would not be seen as one
            metrics = Metrics(step=at, seconds=self._seconds(), values=numbers)
            self._dispatcher.call("rlctl_metrics", metrics=metrics)

    # ---- what the process around it calls --------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the clock and tell the callbacks; the process calls it, not the backend."""
        self._started = self._launched = time.perf_counter()
        self._dispatcher.call("rlctl_training_started", run=self.info)
        self._beat(0.0)

    def request_stop(self, reason: str, *, signal: str | None = None, kind: str = "request") -> None:
        """Ask for an end at the next `advance`; the first request holds. Safe to call from a signal handler."""
        if self.stop is None or self.stop.kind in ("timesteps", "episodes"):
            self.stop = Stop(kind, reason, signal)

    def progress(self) -> Progress:
        """Return how far the run is."""
        seconds = self._seconds()
        then, step = self._beats[0]
        return Progress(
            step=self.step,
            episodes=self.episodes,
            seconds=seconds,
            steps_per_second=(self.step - step) / (seconds - then) if seconds > then and self.step > step else None,
            return_mean=self.return_mean,
        )

    @property
    def return_mean(self) -> float | None:
        """Mean return of the last 100 training episodes; None before the first."""
        return sum(self._returns) / len(self._returns) if self._returns else None

    def _look_for_stop(self) -> None:
        if self._stop_at is not None and self.step >= self._stop_at:
            self.stop = Stop("request", f"stop_at = {self._stop_at} reached")
        elif self.total_timesteps is not None and self.step >= self.total_timesteps:
            self.stop = Stop("timesteps", f"total_timesteps = {self.total_timesteps} reached")
        elif self.total_episodes is not None and self.episodes >= self.total_episodes:
            self.stop = Stop("episodes", f"total_episodes = {self.total_episodes} reached")
        elif self._dispatcher.wants("rlctl_should_stop"):
            answer = self._dispatcher.first("rlctl_should_stop", progress=self.progress())
            if answer is not None:
                self.stop = Stop("hook", f"{answer[0]}: {answer[1]}")

    def _beat(self, seconds: float) -> None:
        self._next_beat = seconds + BEAT_SECONDS
        self._beats.append((seconds, self.step))
        if self._status is not None:
            self._status.write("running", self.progress(), self._eta())
        if self._time_limit is not None and time.perf_counter() - self._launched >= self._time_limit:
            self.request_stop(f"time_limit = {self._time_limit:g} s reached")
        request = read_json(self.directory.stop_request)
        if request is not None:
            self.request_stop(str(request.get("reason", "requested")), kind=str(request.get("kind", "request")))

    def _eta(self) -> float | None:
        """Return the estimated seconds left, from the overall rate; None before anything is known."""
        seconds = self._seconds()
        total, done = (
            (self.total_timesteps, self.step)
            if self.total_timesteps is not None
            else (self.total_episodes, self.episodes)
        )
        return None if not total or not done else max(0.0, (total - done) * seconds / done)
