"""A run for unit tests of a worker's `train`, in the same process and without any of the machinery around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from rlctl.config.check import with_defaults
from rlctl.config.schema import EnvConfig
from rlctl.descriptors import Parameter
from rlctl.events import Episode, Metrics, RunInfo
from rlctl.hooks import hookimpl
from rlctl.runs.directory import RunDirectory, create, new_run_id
from rlctl.worker.dispatch import Dispatcher
from rlctl.worker.run import Run


class _Recorder:
    def __init__(self) -> None:
        self.episodes: list[Episode] = []
        self.metrics: list[Metrics] = []

    @hookimpl
    def rlctl_episode_ended(self, episode: Episode) -> None:
        self.episodes.append(episode)

    @hookimpl
    def rlctl_metrics(self, metrics: Metrics) -> None:
        self.metrics.append(metrics)


class FakeRun(Run):
    """A `Run` that remembers what its backend reported, and in which a failing callback fails the test."""

    def __init__(self, info: RunInfo, recorder: _Recorder, **arguments: Any) -> None:
        super().__init__(info, **arguments)
        self._recorder = recorder
        self.recorded_steps: list[int] = []
        """The step of each call of `advance`, in order."""

    def advance(self, step: int, *, safe: bool = True) -> bool:
        """Note the step; it is no hook's work, as that would make each call slower than a run's."""
        self.recorded_steps.append(step)
        return super().advance(step, safe=safe)

    @property
    def recorded_episodes(self) -> list[Episode]:
        """The episodes that were reported, in order."""
        return self._recorder.episodes

    @property
    def recorded_metrics(self) -> list[Metrics]:
        """The metrics that were reported, in order."""
        return self._recorder.metrics


def fake_run(
    root: Path,
    *,
    hyperparameters: Mapping[str, Any] | None = None,
    parameters: Iterable[Parameter] = (),
    env: str | Mapping[str, Any] = "CartPole-v1",
    total_timesteps: int | None = None,
    total_episodes: int | None = None,
    seed: int = 1,
    algo: str = "test",
    worker: str = "test",
    device: str = "cpu",
    callbacks: Iterable[object] = (),
) -> FakeRun:
    """Return a run over a new directory below `root`, with a budget of 1000 steps when none is given.

    `parameters` (an algorithm's) fill in what `hyperparameters` leaves out. Hand it to `train` and look at
    `recorded_episodes`, `recorded_metrics`, `recorded_steps`; `request_stop("why")` ends it at the next `advance`.
    """
    if total_timesteps is None and total_episodes is None:
        total_timesteps = 1000
    given = dict(hyperparameters or {})
    settings = {**with_defaults(given, parameters), **given}
    said = {"id": env} if isinstance(env, str) else dict(env)
    config: dict[str, Any] = {
        "worker": worker, "algo": algo, "env": attrs.asdict(EnvConfig(**said)), "seed": seed, "device": device,
        "total_timesteps": total_timesteps, "total_episodes": total_episodes, "hyperparameters": settings,
    }  # fmt: skip
    directory = create(root, new_run_id(), {"config.json": {"config": config, "origins": {}}})
    info = _info(directory, config)
    recorder = _Recorder()
    dispatcher = Dispatcher(_raise)
    for index, plugin in enumerate([recorder, *callbacks]):
        dispatcher.register(f"{index} {type(plugin).__name__}", plugin)
    horizon = total_timesteps or 1000
    run = FakeRun(
        info, recorder, directory=directory, hyperparameters=settings, horizon=horizon, dispatcher=dispatcher, threads=1
    )
    run.begin()
    return run


def _info(directory: RunDirectory, config: dict[str, Any]) -> RunInfo:
    names = ("worker", "algo", "seed", "total_timesteps", "total_episodes")
    said = {name: config[name] for name in names}
    return RunInfo(run_id=directory.run_id, directory=directory.path, env_id=config["env"]["id"], config=config, **said)


def _raise(name: str, hook: str, error: BaseException) -> None:
    raise AssertionError(f"{name} failed in {hook}") from error
