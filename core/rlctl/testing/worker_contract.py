"""What every worker promises, as tests that a plugin inherits."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

from rlctl import EnvConfig, Episode, RunConfig, RunResult, export, resume, run
from rlctl.config.schema import SEED_MAXIMUM, CheckpointConfig, EvaluationConfig
from rlctl.descriptors import Mode, Resume, resolve
from rlctl.errors import ExitCode, RlctlError
from rlctl.launch.evaluate import EvaluationOptions, evaluate
from rlctl.launch.local import LocalExecutor
from rlctl.plugins import discover
from rlctl.requirements import all_missing
from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json
from rlctl.testing import processes
from rlctl.verify import differences
from rlctl.vocabulary import is_known

FILES = (
    "config.json", "manifest.json", "status.json", "result.json", "analytics.json", "events.jsonl", "episodes.jsonl",
    "metrics.jsonl", "logs/worker.log",
)  # fmt: skip
QUIET: dict[str, Any] = {"progress": False}
ENDLESS = 1_000_000_000


@attrs.frozen
class Stopped:
    """How a worker process ended that was sent SIGTERM, and who of its group was alive two seconds later."""

    directory: RunDirectory
    exit_code: int
    survivors: list[int]


class WorkerContract:
    """Inherit it as `class TestMine(WorkerContract)` and say which worker, algorithm and environment to try.

    It trains five times with the budget and once until it is stopped, so choose a budget of seconds that still has
    several episodes, and hyper-parameters with which learning starts within it. A promise that a worker cannot keep is
    overridden with `pytest.mark.xfail(reason=...)`, never deleted.
    """

    worker: ClassVar[str]
    algo: ClassVar[str | None] = None
    env: ClassVar[str | Mapping[str, Any] | None] = None
    total_timesteps: ClassVar[int] = 2000
    hyperparameters: ClassVar[Mapping[str, Any]] = {}
    seed: ClassVar[int] = 1
    max_overshoot: ClassVar[int] = 0
    """Steps that it may take beyond its budget, because it advances by more than one at a time."""
    stop_seconds: ClassVar[float] = 30.0
    """Seconds within which it has ended after it was asked to."""

    # ---- what it trains --------------------------------------------------------------------------------------------

    @classmethod
    def config(cls, **changes: Any) -> RunConfig:
        """Return the configuration of the trained runs; override it for what the attributes cannot say."""
        env = {"id": cls.env} if isinstance(cls.env, str) else dict(cls.env or {})
        said: dict[str, Any] = {
            "worker": cls.worker, "algo": cls.algo, "env": EnvConfig(**env), "total_timesteps": cls.total_timesteps,
            "hyperparameters": dict(cls.hyperparameters), "seed": cls.seed, "device": "cpu", "callbacks": QUIET,
        }  # fmt: skip
        return RunConfig(**{**said, **changes})

    @classmethod
    def train(cls, root: Path, **changes: Any) -> RunResult:
        """Train to the end of the budget; the test fails with the worker's own words if that fails."""
        outcome = run(cls.config(**changes), runs_dir=root)
        failure = outcome.result.failure
        assert failure is None, f"{outcome.result.reason}\n{failure.traceback or failure.log_tail}"
        return outcome

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
        """A run to the end of its budget, that most promises are about."""
        return cls.train(tmp_path_factory.mktemp("trained"))

    @pytest.fixture(scope="class")
    @classmethod
    def observed(cls, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
        """The same run again, seen by as many callbacks as there are, saved and, where that is declared, evaluated often."""
        callbacks = {**QUIET, "jsonl": {}}
        if not all_missing(discover().callback("tensorboard").descriptor.requires):
            callbacks["tensorboard"] = {}
        often: dict[str, Any] = {"checkpoint": CheckpointConfig(every_steps=max(1, cls.total_timesteps // 4))}
        if Mode.EVALUATE in discover().worker(cls.worker).descriptor.modes:
            often["evaluation"] = EvaluationConfig(every_steps=max(1, cls.total_timesteps // 3), episodes=2)
        return cls.train(tmp_path_factory.mktemp("observed"), callbacks=callbacks, **often)

    @pytest.fixture(scope="class")
    @classmethod
    def stopped(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stopped]:
        """A run that is sent SIGTERM in its midst."""
        config = cls.config(total_timesteps=ENDLESS)
        process, directory = processes.start_worker(config, tmp_path_factory.mktemp("stopped"))
        try:
            processes.wait_until(lambda: processes.has_stepped(process, directory), 120, "the worker has taken a step")
            process.send_signal(signal.SIGTERM)
            exit_code = process.wait(cls.stop_seconds)
            yield Stopped(directory, exit_code, processes.survivors(process.pid))
        finally:
            LocalExecutor().kill(process)
            assert process.stdin is not None
            process.stdin.close()

    # ---- what it declares ------------------------------------------------------------------------------------------

    @classmethod
    def front(cls) -> dict[str, Any]:
        """Return what a fresh process finds that asks the plugin for its workers, after the worker's set-up if it has one."""
        found = discover().worker(cls.worker)
        if found.descriptor.setup is not None:
            resolve(found.descriptor.setup)(source=None, name=None, algo=cls.algo, report=print, repair=False)
        plugin = found.plugin
        identity = (plugin.distribution, plugin.name, "rlctl_workers", cls.worker)
        said: dict[str, Any] = processes.ask_python(processes.FRONT, *identity, *processes.HEAVY)
        return said

    def test_listing_it_imports_nothing_heavy(self) -> None:
        """Asking for the worker, its algorithms and their hyper-parameters imports no backend, torch, numpy or gymnasium."""
        assert self.front()["imported"] == []

    def test_its_defaults_are_valid(self) -> None:
        """Every algorithm lists its hyper-parameters, and their defaults pass their own validation."""
        assert self.front()["problems"] == []

    def test_its_entry_point_resolves(self) -> None:
        """The entry point names something callable that can be imported where the worker runs."""
        assert processes.ask_python(processes.RESOLVES, discover().worker(self.worker).descriptor.entry_point)

    def test_what_it_requires_is_installed(self) -> None:
        """Everything that the descriptor requires is here, or the other promises would mean nothing."""
        assert all_missing(discover().worker(self.worker).descriptor.requires) == []

    # ---- budget and records ----------------------------------------------------------------------------------------

    def test_it_respects_its_budget(self, trained: RunResult) -> None:
        """It takes at least as many steps as its budget, and at most `max_overshoot` more."""
        assert trained.result.status == "finished"
        assert 0 <= trained.result.step - self.total_timesteps <= self.max_overshoot

    def test_it_leaves_every_file(self, trained: RunResult) -> None:
        """A finished run has all files of a run's directory, and what is JSON in them can be read."""
        missing = [name for name in FILES if not (trained.directory / name).is_file()]
        assert missing == []
        for name in FILES:
            text = (trained.directory / name).read_text(encoding="utf-8")
            for part in [text] if name.endswith(".json") else text.splitlines() if name.endswith(".jsonl") else []:
                json.loads(part)

    def test_its_manifest_says_what_ran(self, trained: RunResult) -> None:
        """The manifest names the worker, its distribution's version and the seed."""
        manifest = read_json(trained.directory / "manifest.json") or {}
        plugin = discover().worker(self.worker).plugin
        assert manifest["seed"] == self.seed
        assert manifest["worker"]["name"] == self.worker
        assert (manifest["worker"]["distribution"], manifest["worker"]["version"]) == (
            plugin.distribution,
            plugin.version,
        )

    def test_its_episodes_are_well_formed(self, trained: RunResult) -> None:
        """Episodes are numbered from 0 without a gap, their steps never decrease, each has at least one step."""
        episodes = trained.episodes()
        assert episodes, "the budget is too small for a single episode"
        assert [episode.index for episode in episodes] == list(range(len(episodes)))
        assert len(episodes) == trained.result.episodes
        steps = [episode.step for episode in episodes]
        assert steps == sorted(steps)
        assert 0 < steps[0] <= steps[-1] <= trained.result.step
        assert min(episode.length for episode in episodes) >= 1

    def test_its_episodes_fit_into_its_steps(self, trained: RunResult) -> None:
        """All finished episodes together have no more steps than the run."""
        assert sum(episode.length for episode in trained.episodes()) <= trained.result.step

    def test_its_metrics_bear_known_names(self, trained: RunResult) -> None:
        """Metrics are named in rlctl's vocabulary (`rlctl.vocabulary`, docs/metrics.md) or under `backend/`."""
        metrics = trained.metrics()
        assert metrics, "no metric was reported: is the budget too small for one update?"
        names = {name for line in metrics for name in line.values}
        assert sorted(name for name in names if not is_known(name)) == []

    # ---- seeds and observers ---------------------------------------------------------------------------------------

    def test_the_same_seed_gives_the_same_episodes(self, trained: RunResult, observed: RunResult) -> None:
        """Two runs of the same seed have the same episodes, to the last bit."""
        assert _trajectory(observed.episodes()) == _trajectory(trained.episodes())

    def test_another_seed_gives_other_episodes(
        self, trained: RunResult, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """A run of another seed has other episodes: the seed reaches the training."""
        other = self.train(tmp_path_factory.mktemp("other"), seed=(self.seed + 1) % SEED_MAXIMUM)
        assert _trajectory(other.episodes()) != _trajectory(trained.episodes())

    def test_observing_it_changes_nothing(self, observed: RunResult, tmp_path_factory: pytest.TempPathFactory) -> None:
        """A run that nothing but the `empty` callback sees ends as one that several callbacks see."""
        alone: dict[str, Any] = {**QUIET, "jsonl": False, "empty": {}}
        unseen = self.train(tmp_path_factory.mktemp("unseen"), callbacks=alone).result
        seen = observed.result
        assert (unseen.step, unseen.episodes, unseen.return_mean) == (seen.step, seen.episodes, seen.return_mean)

    # ---- evaluation ------------------------------------------------------------------------------------------------

    def test_it_is_evaluated_where_it_declares_that(self, observed: RunResult) -> None:
        """A worker that declares `evaluate`: each evaluation in training has its episodes and names a checkpoint."""
        self._require_evaluation()
        evaluations = observed.evaluations()
        assert len(evaluations) >= 2
        assert {len(item.returns) for item in evaluations} == {2}
        assert all(item.checkpoint for item in evaluations)

    def test_what_was_measured_can_be_measured_again(self, observed: RunResult) -> None:
        """The last checkpoint, evaluated in another process with the same seeds, has the returns that training saw."""
        self._require_evaluation()
        last = observed.evaluations()[-1]
        again = [
            evaluate(observed.directory, options=EvaluationOptions(episodes=1, seed=item.seed, num_envs=1)).returns[0]
            for item in last.measured
        ]
        assert again == pytest.approx(last.returns, rel=1e-5)

    def test_its_network_acts_as_it_does(self, observed: RunResult, tmp_path: Path) -> None:
        """A policy that says which network it is: that network, exported, takes the policy's own actions."""
        self._require_evaluation()
        try:
            export(observed.directory, format="torchscript", output=tmp_path / "policy.pt")
        except RlctlError as error:
            if error.exit_code != ExitCode.NOT_AVAILABLE:
                raise
            pytest.skip(error.message)

    def _require_evaluation(self) -> None:
        if Mode.EVALUATE not in discover().worker(self.worker).descriptor.modes:
            pytest.skip(f"{self.worker} does not declare that it can be evaluated")

    # ---- stopping --------------------------------------------------------------------------------------------------

    def test_it_stops_when_asked(self, stopped: Stopped) -> None:
        """SIGTERM ends it at its next safe point, with a result that says so; exit code 75 if it can be resumed, else 143."""
        code = 143 if discover().worker(self.worker).descriptor.resume is Resume.NONE else 75
        assert (stopped.exit_code, state_of(stopped.directory)) == (code, "stopped")
        result = read_json(stopped.directory.result) or {}
        assert (result["reason"], result["exit_code"]) == ("stopped by SIGTERM", code)
        assert 0 < result["step"] < ENDLESS

    def test_it_leaves_no_process_behind(self, stopped: Stopped) -> None:
        """When it has stopped, nothing that it started still runs."""
        assert stopped.survivors == []

    def test_forked_from_a_warm_process_it_is_the_same(
        self, trained: RunResult, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """A worker that declares `warm_up`: a training in a forked process equals the one in a fresh process."""
        forked = processes.train_forked(self.config(), tmp_path_factory.mktemp("forked"))
        if forked is None:
            pytest.skip(f"{self.worker} does not declare how it is warmed up, or nothing is forked on this machine")
        assert _trajectory(forked.episodes()) == _trajectory(trained.episodes())
        if discover().worker(self.worker).descriptor.resume is not Resume.NONE:  # its checkpoints, too
            assert differences(trained.directory, forked.directory) == []

    # ---- resuming --------------------------------------------------------------------------------------------------

    def test_it_resumes_exactly_where_it_declares_that(
        self, trained: RunResult, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """A worker that declares `exact`: a training stopped in its midst and resumed equals the one in one go."""
        if discover().worker(self.worker).descriptor.resume is not Resume.EXACT:
            pytest.skip(f"{self.worker} does not declare that it resumes exactly")
        root = tmp_path_factory.mktemp("resumed")
        halved = self.train(root, stop_at=max(1, self.total_timesteps // 2))
        assert (halved.result.status, halved.result.exit_code) == ("stopped", 75)
        assert halved.result.step < trained.result.step, "it was not stopped in its midst"
        outcome = resume(halved.directory)
        failure = outcome.result.failure
        assert failure is None, f"{outcome.result.reason}\n{failure.traceback or failure.log_tail}"
        assert outcome.result.step == trained.result.step
        assert differences(trained.directory, outcome.directory) == []


def _trajectory(episodes: list[Episode]) -> list[tuple[int, str, int, int]]:
    """Return what of the episodes does not depend on the clock; a return as text that tells all of its bits."""
    return [(item.step, float(item.episode_return).hex(), item.length, item.env_index) for item in episodes]
