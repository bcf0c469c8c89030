"""What a plugin's author writes, with all of its types: a worker, a callback, an executor, a command, a check, and tests.

Nothing here is run; tests/typing/test_typing.py has mypy --strict read it as it would a stranger's package.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import click
from attrs import field, frozen

import rlctl
from rlctl import (
    ActionSpace,
    AlgorithmDescriptor,
    CallbackDescriptor,
    Conversion,
    ConvertedConfig,
    ConverterDescriptor,
    Episode,
    ExecutorDescriptor,
    Metrics,
    ObservationSpace,
    Parameter,
    Process,
    Progress,
    Result,
    Run,
    RunConfig,
    RunInfo,
    RunResult,
    Worker,
    WorkerDescriptor,
    hookimpl,
    parameters_of,
)
from rlctl.errors import Problem
from rlctl.launch.executor import Executor, Task
from rlctl.testing import CallbackContract, ExecutorContract, FakeRun, WorkerContract, fake_distribution, fake_run


@frozen(kw_only=True)
class Settings:
    """Hyper-parameters as an attrs class."""

    learning_rate: float = field(default=1e-3, metadata={"doc": "Step size.", "exclusive_minimum": 0})
    layers: list[int] = field(factory=lambda: [64, 64], metadata={"doc": "Units of the hidden layers."})


class MyWorker:
    """A backend."""

    def train(self, run: Run) -> None:
        """Walk at random."""
        settings = Settings(**run.hyperparameters)
        generator = random.Random(run.seed)
        weights: Path = run.directory.backend / "weights.bin"
        step = 0
        while run.advance(step):
            step += 1
            run.record_metrics({"train/loss": settings.learning_rate * generator.random()}, step=step)
            if step % 10 == 0:
                run.record_episode(1.0, 10, env_index=0, step=step)
        if run.stop is not None and run.stop.kind == "timesteps":
            weights.write_bytes(b"")


def make_worker() -> Worker:
    """A worker's class fulfils the protocol without inheriting it."""
    return MyWorker()


class MyCallback:
    """A callback of the worker process."""

    def __init__(self, run: RunInfo, every: int) -> None:
        self._path: Path = run.directory / "mine.txt"
        self._every = every
        self._best: float | None = None

    @hookimpl
    def rlctl_episode_ended(self, episode: Episode) -> None:
        """Keep the best."""
        if self._best is None or episode.episode_return > self._best:
            self._best = episode.episode_return

    @hookimpl
    def rlctl_metrics(self, metrics: Metrics) -> None:
        """Write the loss."""
        loss: float = metrics.values["train/loss"]
        self._path.write_text(f"{metrics.step} {loss}")

    @hookimpl
    def rlctl_should_stop(self, progress: Progress) -> str | None:
        """Stop when it is solved."""
        return "solved" if (progress.return_mean or 0.0) > 0.5 else None

    @hookimpl(trylast=True)
    def rlctl_training_ended(self, result: Result) -> None:
        """Say why it failed."""
        if result.failure is not None:
            self._path.write_text(result.failure.traceback)


class MyExecutor:
    """An executor that never starts anything."""

    def submit(self, task: Task) -> str:
        """Return a handle."""
        return task.run_id

    def poll(self, handle: object) -> int | None:
        """It has ended at once."""
        return 0

    def cancel(self, handle: object, signal_number: int) -> None:
        """There is nothing to cancel."""

    def kill(self, handle: object) -> None:
        """There is nothing to kill."""


def make_executor() -> Executor:
    """An executor's class fulfils the protocol without inheriting it."""
    return MyExecutor()


@hookimpl
def rlctl_workers() -> Iterable[WorkerDescriptor]:
    """Bring the worker."""
    algorithm = AlgorithmDescriptor(
        name="walk",
        action_spaces=[ActionSpace.DISCRETE],
        observation_spaces=[ObservationSpace.VECTOR],
        hyperparameters=parameters_of(Settings),
        default_env="CartPole-v1",
        default_total_timesteps=1000,
    )
    return [WorkerDescriptor(name="mine", summary="walks", entry_point="mine.worker:MyWorker", algorithms=[algorithm])]


@hookimpl
def rlctl_callbacks() -> Iterable[CallbackDescriptor]:
    """Bring the callback."""
    every = Parameter(name="every", kinds=("integer",), default=10, doc="Steps between lines.", minimum=1)
    return [
        CallbackDescriptor(
            name="mine", summary="writes", factory="mine.callback:MyCallback", options=[every], process=Process.WORKER
        )
    ]


@hookimpl
def rlctl_executors() -> Iterable[ExecutorDescriptor]:
    """Bring the executor."""
    return [ExecutorDescriptor(name="mine", summary="nowhere", factory="mine.executor:MyExecutor")]


def convert(path: Path) -> Conversion:
    """Make a configuration of a file of another system."""
    made = ConvertedConfig(name=path.stem, config={"worker": "mine"}, left_out=[Problem("speed", "is not known here")])
    return Conversion(system="notes", configs=[made])


@hookimpl
def rlctl_converters() -> Iterable[ConverterDescriptor]:
    """Bring the converter."""
    return [ConverterDescriptor(name="mine", summary="notes", convert="mine.notes:convert")]


@hookimpl
def rlctl_commands() -> Iterable[click.Command]:
    """Bring a command."""
    return [click.Command("mine", callback=lambda: None)]


@hookimpl
def rlctl_check_run(config: RunConfig, worker: WorkerDescriptor) -> Iterable[Problem]:
    """Refuse what cannot work."""
    if worker.name == "mine" and config.env.num_envs not in (None, 1):
        yield Problem("env.num_envs", f"got {config.env.num_envs}", hint="Take one.")


def use_it() -> float | None:
    """Train from a program."""
    outcome: RunResult = rlctl.run(RunConfig(worker="mine", env="CartPole-v1", callbacks=["jsonl"]), plugins=[object()])
    returns: list[float] = [episode.episode_return for episode in outcome.episodes()]
    return max(returns, default=outcome.result.return_mean)


class TestMine(WorkerContract):
    """Keeps what every worker promises."""

    worker = "mine"
    env = "CartPole-v1"
    total_timesteps = 500
    hyperparameters = {"layers": [8]}


class TestMyCallback(CallbackContract):
    """Keeps what every callback promises."""

    callback = "mine"
    options = {"every": 5}


class TestMyExecutor(ExecutorContract):
    """Keeps what every executor promises."""

    executor = "mine"


def test_it_walks(tmp_path: Path) -> None:
    """A unit test of `train`."""
    fake_distribution(tmp_path / "site", "mine", {"mine": "mine.plugin"}, {"mine.plugin": ""}, version="2.0")
    run: FakeRun = fake_run(tmp_path, parameters=parameters_of(Settings), total_timesteps=20)
    MyWorker().train(run)
    episodes: list[Episode] = run.recorded_episodes
    assert [episode.length for episode in episodes] == [10, 10]
