"""What every callback promises, as tests that a plugin inherits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rlctl import CallbackDescriptor, Episode, Metrics, Process, Progress, Result, RunConfig, RunInfo, hooks, run
from rlctl.config.check import with_defaults
from rlctl.descriptors import resolve
from rlctl.plugins import discover
from rlctl.requirements import all_missing
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_lines, write_json
from rlctl.testing import processes, toy
from rlctl.testing.distributions import on_path
from rlctl.testing.runs import fake_run
from rlctl.worker.dispatch import Dispatcher

BY_PROCESS = {
    Process.WORKER: {
        "rlctl_training_started", "rlctl_step", "rlctl_episode_ended", "rlctl_metrics", "rlctl_safe_point",
        "rlctl_checkpoint_due", "rlctl_checkpoint_saved", "rlctl_should_stop", "rlctl_training_ended",
    },
    Process.HOST: {"rlctl_status_changed", "rlctl_run_ended"},
}  # fmt: skip
"""The hooks that are called for callbacks of each process."""


class CallbackContract:
    """Inherit it as `class TestMine(CallbackContract)` and say which callback, with which options."""

    callback: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    implements_nothing: ClassVar[bool] = False
    """Set it for a callback that has no hook on purpose."""

    @classmethod
    def descriptor(cls) -> CallbackDescriptor:
        """Return what the plugin says of the callback."""
        return discover().callback(cls.callback).descriptor

    @classmethod
    def make(cls, info: RunInfo) -> object:
        """Return the callback for a run, made as rlctl makes it."""
        descriptor = cls.descriptor()
        return resolve(descriptor.factory)(info, **with_defaults(cls.options, descriptor.options))

    @classmethod
    def implemented(cls, made: object) -> set[str]:
        """Return the hooks that an object implements; raises PluginError for one that does not exist."""
        dispatcher = Dispatcher(_fail)
        dispatcher.register(cls.callback, made)
        return {name for name in vars(hooks) if name.startswith("rlctl_") and dispatcher.wants(name)}

    @pytest.fixture
    def info(self, tmp_path: Path) -> RunInfo:
        """A run that has just begun."""
        info = fake_run(tmp_path / "runs").info
        write_json(info.directory / "status.json", {"state": "running", "supervisor": None})
        return info

    @pytest.fixture
    def toy_worker(self, tmp_path: Path) -> Iterator[None]:
        """A worker to observe, installed for the length of a test."""
        with on_path(toy.install(tmp_path / "site")):
            yield

    # ---- what it declares ------------------------------------------------------------------------------------------

    def test_listing_it_imports_nothing_heavy(self) -> None:
        """Asking for the callback imports neither what it writes with nor any backend."""
        plugin = discover().callback(self.callback).plugin
        identity = (plugin.distribution, plugin.name, "rlctl_callbacks", self.callback)
        found = processes.ask_python(processes.FRONT, *identity, *processes.HEAVY)
        assert (found["found"], found["imported"]) == (1, [])

    def test_its_factory_resolves(self) -> None:
        """The factory names something callable that can be imported where the callback lives."""
        assert processes.ask_python(processes.RESOLVES, self.descriptor().factory)

    def test_its_defaults_are_valid(self) -> None:
        """The defaults of its options pass their own validation."""
        options = [option for option in self.descriptor().options if not option.required]
        assert [problem for option in options if (problem := option.problem_with(option.default))] == []

    def test_what_it_requires_is_installed(self) -> None:
        """Everything that the descriptor requires is here, or the other promises would mean nothing."""
        assert all_missing(self.descriptor().requires) == []

    # ---- what it is ------------------------------------------------------------------------------------------------

    def test_it_implements_hooks_of_its_process(self, info: RunInfo) -> None:
        """It has at least one hook that is called in the process where it lives, or none by declaration; all exist."""
        made = self.make(info)
        implemented = self.implemented(made)
        called = implemented & BY_PROCESS[self.descriptor().process]
        _end(made, info)
        assert (called == set()) is self.implements_nothing, f"implements {sorted(implemented)}"

    def test_it_survives_what_is_not_finite(self, info: RunInfo) -> None:
        """Returns and metrics that are NaN or infinite, and a run that never began to count, do not make it raise."""
        dispatcher = Dispatcher(_fail)
        dispatcher.register(self.callback, self.make(info))
        dispatcher.call("rlctl_training_started", run=info)
        for number, value in enumerate((math.nan, math.inf, -math.inf)):
            episode = Episode(index=number, step=number, episode_return=value, length=1)
            metrics = Metrics(step=number, seconds=0.0, values={"train/loss": value, "backend/x": 1.0})
            progress = Progress(step=number, episodes=number, seconds=0.0, return_mean=value)
            dispatcher.call("rlctl_step", progress=progress)
            dispatcher.call("rlctl_episode_ended", episode=episode)
            dispatcher.call("rlctl_metrics", metrics=metrics)
            dispatcher.call("rlctl_status_changed", run=info, progress=progress)
        result = Result(status="failed", reason="it was told to", return_mean=math.nan)
        dispatcher.call("rlctl_training_ended", result=result)
        dispatcher.call("rlctl_run_ended", run=info, result=result)

    def test_it_lives_through_a_run(self, tmp_path: Path, toy_worker: None) -> None:
        """In a real run it is made, called and closed without a failure."""
        outcome = run(self._config(nan=False), runs_dir=tmp_path / "runs")
        assert outcome.result.status == "finished", outcome.result.reason
        assert _failures(outcome.directory) == []

    def test_it_lives_through_a_run_that_diverges(self, tmp_path: Path, toy_worker: None) -> None:
        """In a real run that reports nothing finite it is made, called and closed without a failure."""
        outcome = run(self._config(nan=True), runs_dir=tmp_path / "runs")
        assert outcome.result.status == "finished", outcome.result.reason
        assert _failures(outcome.directory) == []

    def test_its_failure_ends_the_run_only_if_it_is_critical(self, tmp_path: Path, info: RunInfo) -> None:
        """When each of its hooks raises, a run goes on without it, unless it is declared critical."""
        from rlctl.worker.making import FailureReport

        directory = RunDirectory(info.directory)
        critical = self.descriptor().critical
        dispatcher = Dispatcher(FailureReport(directory, {self.callback} if critical else set()))
        made = self.make(info)
        hooks_of_it = self.implemented(made) - {"rlctl_training_ended", "rlctl_run_ended"}
        _end(made, info)
        if not hooks_of_it & BY_PROCESS[Process.WORKER]:
            return  # nothing of it is called in the worker process, so nothing there can fail
        dispatcher.register(self.callback, _raising(hooks_of_it))
        raised = False
        try:
            for hook in sorted(hooks_of_it & BY_PROCESS[Process.WORKER]):
                dispatcher.call(hook, run=info, progress=None, episode=None, metrics=None)
        except Exception:  # noqa: BLE001 - whichever way a critical failure is raised
            raised = True
        assert raised is critical
        assert len(_failures(info.directory)) == 1, "a failure is reported once, and the callback then switched off"

    def _config(self, *, nan: bool) -> RunConfig:
        callbacks: dict[str, Any] = {"progress": False, self.callback: dict(self.options)}
        return RunConfig(worker=toy.NAME, hyperparameters={"nan": nan}, callbacks=callbacks)


def _failures(directory: Path) -> list[dict[str, Any]]:
    return [event for event in read_lines(directory / "events.jsonl") if event["type"] == "callback_failed"]


def _raising(names: set[str]) -> object:
    """Return an object with the hooks of those names, each of which raises."""

    def implementation(self: object) -> None:  # noqa: ARG001 - a method
        raise RuntimeError("made to fail by the contract")

    return type("Raising", (), dict.fromkeys(names, hooks.hookimpl(implementation)))()


def _end(made: object, info: RunInfo) -> None:
    """Tell an object that all is over, so that it closes its files."""
    dispatcher = Dispatcher(_fail)
    dispatcher.register("ending", made)
    result = Result(status="finished", reason="over")
    dispatcher.call("rlctl_training_ended", result=result)
    dispatcher.call("rlctl_run_ended", run=info, result=result)


def _fail(name: str, hook: str, error: BaseException) -> None:
    raise AssertionError(f"{name} failed in {hook}: {type(error).__name__}: {error}") from error
