"""What a backend is handed: counts, budgets, stop requests, the heartbeat and the callbacks behind three methods."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlctl.errors import RlctlError
from rlctl.events import Episode, Metrics, Progress, RunInfo
from rlctl.runs.checkpoints import Checkpoint
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_json, write_json
from rlctl.worker.beginning import Beginning, Resumed, Weights
from rlctl.worker.curriculum import Curriculum
from rlctl.worker.dispatch import Dispatcher
from rlctl.worker.early_stopping import stops_after_episode
from rlctl.worker.evaluating import Evaluator
from rlctl.worker.eventlog import declare
from rlctl.worker.heartbeat import Heartbeat
from rlctl.worker.observing import EnvObserver
from rlctl.worker.pace import Pace
from rlctl.worker.protocol import Resumable, require_resumable
from rlctl.worker.safe_points import SafePoints
from rlctl.worker.saving import Saver
from rlctl.worker.status import StatusFile
from rlctl.worker.stopping import Limits, Stop, early_stop


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
        evaluator: Evaluator | None = None,
        beginning: Beginning | None = None,
        env_observers: Sequence[EnvObserver] = (),
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
        self._limits = Limits(info.config.get("stop_at"), info.total_timesteps, info.total_episodes)
        self._safe_points = SafePoints(self, dispatcher, saver, evaluator)
        self._beginning = beginning
        self._env_observers: Sequence[EnvObserver] = env_observers
        self._shows_steps = not env_observers
        self._early_stopping: Mapping[str, Any] | None = info.config.get("early_stopping")
        self.curriculum = Curriculum(self.env, directory.events)
        self._dispatcher = dispatcher
        self.last_returns: deque[float] = deque(maxlen=100)
        self._pace = Pace()
        self._heartbeat = Heartbeat(self, self._pace, status, info.config.get("time_limit"))
        self._is_awaited = False  # somebody waits for the end; a run that has had its budget may still be evaluating
        self.at_safe_point = False

    # ---- what a backend calls --------------------------------------------------------------------------------------

    def attach(self, state: Resumable) -> None:
        """Say what is to be saved, resumed and evaluated; call it when the training is built, before its first step."""
        require_resumable(state)
        self._safe_points.attach(state)

    def follow_curriculum(self, tell: Callable[[int], object]) -> None:
        """Say how the environments of the training are told of a stage: `tell(stage)` calls `enter_stage` of each.

        Call it before `restore`; without `env.curriculum`, `tell` is never called.
        """
        self.curriculum.tell = tell

    @property
    def env_observers(self) -> Sequence[EnvObserver]:
        """Who looks at the training environments: what `rlctl.gym.observing.make_training_env` is given for each of them."""
        self._shows_steps = True
        return self._env_observers

    @property
    def resume_path(self) -> Path | None:
        """The folder of the checkpoint that `restore` will read; None for a new run, and once it has been read."""
        return self._beginning.checkpoint.path if isinstance(self._beginning, Resumed) else None

    def restore(self) -> bool:
        """Let the training begin where it is to: put the attached state and the run's counts where the checkpoint has them.

        Call it at the point of the training at which `advance` is called, where everything is to go on, and before that.
        Returns whether the run is resumed; a new one may have got weights to begin with.
        """
        beginning, self._beginning = self._beginning, None
        self.curriculum.require_followed(self.info.worker)
        if not self._shows_steps:
            names = ", ".join(item.name for item in self._env_observers)
            raise RlctlError(f"{self.info.worker} shows no steps of its environments, which {names} asks for")
        if self.step == 0:
            self._safe_points.lend_once()
        if beginning is None:
            return False
        state = self._safe_points.state
        if state is None:
            raise RlctlError(
                f"{self.info.worker} attaches no state, so it can neither be resumed nor begin with weights"
            )
        if isinstance(beginning, Weights):
            beginning.read(state)
            return False
        data = beginning.checkpoint.data
        state.read_state(beginning.checkpoint.path)
        self.step, self.episodes = int(data["step"]), int(data["episodes"])
        self.last_returns.extend(map(float, data["returns"]))  # those that are no JSON stand there as "nan" and "inf"
        self.curriculum.restore(data)
        self._pace.resume(float(data["seconds"]), self.step)
        self._safe_points.resumed_from(beginning.checkpoint, self._pace.seconds())
        return True

    def use_device(self, device: object) -> None:
        """Say what the training is on, such as "cpu" or "cuda:0", where `device` may be `auto`; the manifest keeps it."""
        manifest = read_json(self.directory.manifest) or {}
        write_json(self.directory.manifest, {**manifest, "device": str(device)})

    def limit_resume(self, reason: str) -> None:
        """Say that this run resumes as `state`, not `exact`, and why; it is written to the log and the events once."""
        sentence = f"this run resumes as `state`, not `exact`: {reason}"
        self.declare("resume_limited", sentence, resume="state", reason=reason)

    def declare(self, event_type: str, sentence: str, **data: Any) -> None:
        """Write an event with its `data`, and the sentence to the log; once in a run, also if that is resumed."""
        declare(self.directory.events, event_type, sentence, **data)

    def save(self, reason: str = "periodic") -> Checkpoint | None:
        """Save a checkpoint now, if this step has none; the caller says that this is a safe point."""
        return None if self._beginning is not None else self._safe_points.save(reason)

    def advance(self, step: int, *, safe: bool = True) -> bool:
        """Say that `step` environment steps have been taken in all; returns whether to go on.

        Call it once per iteration, as often as is convenient: it costs well under a microsecond. False means that a
        budget is used up or somebody wants the run to end; `stop` then says which. A library whose own loop already
        ends at `total_timesteps` may go on to its natural end when `stop.kind == "timesteps"`.

        `safe` says that the attached state is whole here, so that it may be saved and evaluated: both happen in this call.
        """
        if self._beginning is not None:
            raise RlctlError(
                f"{self.info.worker} began to train without `run.restore()`: it would not begin where it is to"
            )
        self.at_safe_point = safe
        self.step = int(step)  # a backend's counter may be numpy's, which is no JSON
        seconds = self._heartbeat.when_due()
        if self._dispatcher.wants("rlctl_step"):
            self._dispatcher.call("rlctl_step", progress=self.progress())
        if self.stop is None:
            self._look_for_stop()
        if safe:
            self._safe_points.reached(seconds)
        self.at_safe_point = False
        return self.stop is None

    def goes_on(self) -> bool:
        """Beat the heart during an evaluation; returns whether to go on with it: nobody waits for the end."""
        self._heartbeat.when_due()
        return not self._is_awaited

    def record_episode(
        self,
        episode_return: float,
        length: int,
        *,
        env_index: int = 0,
        step: int | None = None,
        stage: int | None = None,
    ) -> Episode:
        """Report a finished training episode, and return it: undiscounted return, length in that environment's steps.

        In a curriculum, `stage` is what `rlctl.gym.curriculum.stage_of` says of it; None: the one that the run has reached.
        """
        episode = Episode(
            index=self.episodes,
            step=self.step if step is None else int(step),
            episode_return=float(episode_return),
            length=int(length),
            env_index=int(env_index),
            seconds=self._pace.seconds(),
            stage=self.curriculum.stage if stage is None else stage,
        )
        self.episodes += 1
        self.last_returns.append(episode.episode_return)
        if self._early_stopping is not None and self.stop is None:
            self.stop = early_stop(stops_after_episode(self._early_stopping, episode.step, self.last_returns))
        self._dispatcher.call("rlctl_episode_ended", episode=episode)
        self._follow(episode)
        return episode

    def _follow(self, episode: Episode) -> None:
        """Begin the next stage of the curriculum if the last one is over with this episode; after the last the run is."""
        over = self.curriculum.after(episode)
        if over is None:
            return
        reason, changed = over
        if changed is None:
            self.stop = self.stop or Stop("curriculum", f"the last stage of the curriculum is over: {reason}")
        else:
            self._dispatcher.call("rlctl_stage_changed", stage=changed)

    def record_metrics(self, values: Mapping[str, float], *, step: int | None = None) -> None:
        """Report scalars under rlctl's names (docs/metrics.md) or, for a library's own, `backend/<its tag>`."""
        if values and self._dispatcher.wants("rlctl_metrics"):
            at = self.step if step is None else int(step)
            numbers = {name: float(value) for name, value in values.items()}  # numpy's NaN would not be seen as one
            metrics = Metrics(step=at, seconds=self._pace.seconds(), values=numbers)
            self._dispatcher.call("rlctl_metrics", metrics=metrics)

    # ---- what the process around it calls --------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the clock and tell the callbacks; the process calls it, not the backend."""
        self._pace.start()
        self._dispatcher.call("rlctl_training_started", run=self.info)
        self._heartbeat.beat(0.0)

    def finish(self) -> None:
        """Save what the training has become, and evaluate it if it came to its own end; the process calls it."""
        self._safe_points.finish()

    def request_stop(self, reason: str, *, signal: str | None = None, kind: str = "request") -> None:
        """Ask for an end at the next `advance`; the first reason holds. Safe to call from a signal handler."""
        self._is_awaited = self._is_awaited or kind == "request"
        self.stop = self.stop or Stop(kind, reason, signal)

    @property
    def evaluator(self) -> Evaluator | None:
        """What evaluates the policy during training; None where nothing does."""
        return self._safe_points.evaluator

    def progress(self) -> Progress:
        """Return how far the run is."""
        seconds = self._pace.seconds()
        return Progress(
            step=self.step,
            episodes=self.episodes,
            seconds=seconds,
            steps_per_second=self._pace.rate(seconds, self.step),
            return_mean=self.return_mean,
        )

    @property
    def return_mean(self) -> float | None:
        """Mean return of the last 100 training episodes; None before the first."""
        return sum(self.last_returns) / len(self.last_returns) if self.last_returns else None

    def _look_for_stop(self) -> None:
        self.stop = self._limits.reached(self.step, self.episodes)
        if self.stop is None and self._dispatcher.wants("rlctl_should_stop"):
            answer = self._dispatcher.first("rlctl_should_stop", progress=self.progress())
            if answer is not None:
                self.stop = Stop("hook", f"{answer[0]}: {answer[1]}")
