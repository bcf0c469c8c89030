"""Training from Python: `rlctl.run(RunConfig(worker="dqn"), plugins=[my_object])`, the same road the command line takes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from attrs import frozen

from rlctl.config.layers import Layer
from rlctl.config.schema import RunConfig, to_tree
from rlctl.descriptors import resolve
from rlctl.errors import ExitCode, RlctlError, UsageError
from rlctl.evaluations import Evaluation, evaluations_of
from rlctl.events import Episode, Metrics, Result, RunInfo, episodes_of
from rlctl.launch.detached import DetachedExecutor
from rlctl.launch.executor import Executor
from rlctl.launch.mirroring import Mirroring
from rlctl.launch.parent import check_parent
from rlctl.launch.prepare import Prepared, placing_layers, prepare
from rlctl.launch.probe import Probe, probe_configured
from rlctl.launch.resume import find_resumption, reopen, require_resumable
from rlctl.launch.start import create_run, host_callbacks, make_executor, task_for
from rlctl.launch.supervise import Supervisor, result_of
from rlctl.plugins import Registry, discover
from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json, read_lines
from rlctl.runs.lease import FOLDER
from rlctl.runs.store import RunStore, default_root
from rlctl.worker.dispatch import Dispatcher
from rlctl.worker.making import run_info
from rlctl.worker.relay import wanted_by

Report = Callable[[str], None]


@frozen
class RunResult:
    """A run that has ended: `result` says how, `info` who it was; its records are read from its directory."""

    info: RunInfo
    result: Result
    is_mirrored: bool = True
    """Whether all of it is where `save_uri` says, or nothing was to be."""

    @property
    def directory(self) -> Path:
        """The run's folder."""
        return self.info.directory

    @property
    def exit_code(self) -> int:
        """What a command ends with: as the run did, or 74 for a finished one that is not all where `save_uri` says."""
        unsaved = self.result.exit_code == ExitCode.DONE and not self.is_mirrored
        return ExitCode.NOT_MIRRORED if unsaved else self.result.exit_code

    def episodes(self) -> list[Episode]:
        """Return the finished training episodes, oldest first; empty if the `jsonl` callback was off."""
        return list(episodes_of(read_lines(RunDirectory(self.directory).episodes)))

    def metrics(self) -> list[Metrics]:
        """Return the scalars that were reported, oldest first; empty if the `jsonl` callback was off."""
        return [Metrics.from_json(line) for line in read_lines(RunDirectory(self.directory).metrics)]

    def evaluations(self) -> list[Evaluation]:
        """Return the evaluations during training, oldest first."""
        return evaluations_of(read_lines(RunDirectory(self.directory).evaluations))


def run(
    config: RunConfig,
    *,
    plugins: Iterable[object] = (),
    runs_dir: str | Path | None = None,
    run_id: str | None = None,
) -> RunResult:
    """Train as `config` says and return when the run has ended, however it ended: look at `.result.status`.

    `plugins` are objects with `@hookimpl` methods; they live in this process and see the run's life-cycle events in
    order (docs/hooks.md). An exception in one of them stops the run and is raised from here.
    Raises ConfigError with all problems when the configuration cannot be run; then nothing was started or written.
    """
    registry = discover()
    prepared = prepare([Layer("program", to_tree(config))], registry, _to_stderr)
    root = Path(runs_dir or default_root())
    check_parent(prepared, root)
    prepared.require_sound()
    return start(
        prepared, registry, lambda relay: create_run(prepared, root, run_id, relay), plugins=plugins, report=_to_stderr
    )


def resume(
    reference: str | Path,
    *,
    checkpoint: str = "latest",
    total_timesteps: int | None = None,
    total_episodes: int | None = None,
    stop_at: int | None = None,
    early_stopping: bool = True,
    allow_drift: bool = False,
    executor: str | None = None,
    address: str | None = None,
    plugins: Iterable[object] = (),
    runs_dir: str | Path | None = None,
    report: Report | None = None,
    announce: Callable[[RunInfo], None] = lambda _: None,
) -> RunResult:
    """Go on with a run in its own directory, from a checkpoint, to its own budget or a new absolute one.

    `executor` and `address` say who places its process now; without them it is who did before.
    Raises UsageError, CheckpointError or ConfigError when it cannot go on; then nothing was changed.
    """
    report = report or _to_stderr
    registry = discover()
    directory = RunStore(Path(runs_dir or default_root())).find(str(reference))
    resumption = find_resumption(directory, checkpoint, total_timesteps, total_episodes, stop_at, early_stopping)
    prepared = prepare([resumption.layer, *placing_layers(executor, address)], registry, report)
    prepared.require_sound()
    require_resumable(resumption, prepared, allow_drift)
    return start(
        prepared,
        registry,
        lambda relay: reopen(resumption, prepared, relay, report),
        plugins=plugins,
        report=report,
        announce=announce,
    )


def attach(
    reference: str | Path,
    *,
    runs_dir: str | Path | None = None,
    report: Report | None = None,
    announce: Callable[[RunInfo], None] = lambda _: None,
) -> RunResult:
    """Follow a run that goes on in an engine, and whose command has left, to its end, as that command would have done.

    One that is over is returned as it has ended. Raises UsageError for one that cannot be followed.
    """
    report = report or _to_stderr
    directory = RunStore(Path(runs_dir or default_root())).find(str(reference))
    ended = result_of(directory)
    if ended is not None:
        return RunResult(run_info(directory, (read_json(directory.config) or {}).get("config") or {}), ended)
    if not (directory.path / FOLDER).exists():
        raise _not_followed(directory, "no engine was given it")
    found = follow_again(directory, discover(), report)
    if found is None:
        raise _not_followed(directory, "it was taken from its engine, or told to end")
    supervisor, handle = found
    announce(supervisor.info)
    result = supervisor.run_on(handle)
    return RunResult(supervisor.info, result, supervisor.settled() is True)


def _not_followed(directory: RunDirectory, why: str) -> UsageError:
    name, state = directory.run_id, state_of(directory)
    if state not in ("created", "running"):
        return UsageError(f"run {name} is {state}: {why}.", hint=f"Go on with it: rlctl resume {name}")
    hint = f"See how it goes: rlctl runs tail {name}. Stop it: rlctl runs stop {name}"
    return UsageError(f"run {name} is {state}, and cannot be followed by a second command: {why}.", hint=hint)


def follow_again(
    directory: RunDirectory,
    registry: Registry,
    report: Report,
    *,
    placing: Sequence[Layer] = (),
    probe: Probe = probe_configured,
) -> tuple[Supervisor, object] | None:
    """Return who follows a run that an engine was given, and as what the engine has it; None when the engine is not to have it.

    `placing` says where that engine is now, if not where the run's own configuration says.
    """
    layer = Layer(f"run {directory.run_id}", (read_json(directory.config) or {}).get("config") or {})
    prepared = prepare([layer, *placing], registry, report, probe)
    prepared.require_sound()
    info = run_info(directory, prepared.effective())
    return following(supervise(prepared, registry, lambda _: info, report=report))


def following(supervisor: Supervisor) -> tuple[Supervisor, object] | None:
    """Return a supervisor with what the engine has of its directory already; None when the engine is not to have it."""
    executor = supervisor.executor
    handle = executor.attach(supervisor.directory.path) if isinstance(executor, DetachedExecutor) else None
    return None if handle is None else (supervisor, handle)


def start(
    prepared: Prepared,
    registry: Registry,
    make: Callable[[list[str]], RunInfo],
    *,
    plugins: Iterable[object] = (),
    report: Report,
    announce: Callable[[RunInfo], None] = lambda _: None,
) -> RunResult:
    """Start a sound run and follow it to its end; `announce` is called when its directory exists.

    `make` makes the run's directory ready, new or resumed, given the hooks whose calls the host wants to hear of.
    """
    failures = _ObserverFailures(report)
    supervisor = supervise(prepared, registry, make, plugins=plugins, report=report, failures=failures)
    announce(supervisor.info)
    for name, sentence in prepared.declared.items():
        report(f"{name}: {sentence}")
    result = supervisor.run(task_for(supervisor.directory, prepared.effective()))
    if failures.of_program:
        raise failures.of_program[0]
    return RunResult(supervisor.info, result, supervisor.settled() is True)


def supervise(
    prepared: Prepared,
    registry: Registry,
    make: Callable[[list[str]], RunInfo],
    *,
    plugins: Iterable[object] = (),
    report: Report,
    failures: _ObserverFailures | None = None,
    executor: Executor | None = None,
) -> Supervisor:
    """Make a sound run's directory ready, and return who can place its process and follow it.

    By default the `executor` that its configuration names places it.
    """
    assert prepared.config is not None
    executor = executor or make_executor(prepared.config.executor, registry, prepared.config.address)
    failures = failures or _ObserverFailures(report)
    observers = Dispatcher(failures)
    for index, plugin in enumerate(plugins):
        observers.register(f"plugins[{index}] {type(plugin).__name__}", plugin)
    relay = wanted_by(observers)
    info = make(relay)
    directory = RunDirectory(info.directory)
    for name, found in host_callbacks(prepared):
        try:
            observers.register(name, resolve(found.descriptor.factory)(info, **prepared.config.callbacks[name]))
        except Exception as error:  # noqa: BLE001 - a callback that cannot be made is one that failed
            failures(name, "its construction", error)
    failures.directory = directory
    uri = prepared.config.save_uri
    mirror = Mirroring(directory.path, uri, report) if uri is not None else None
    return Supervisor(
        directory, info, executor, observers, report, grace=prepared.config.grace, relayed=bool(relay), mirror=mirror
    )


class _ObserverFailures:
    """What becomes of an exception in an observer: a callback's is reported; that of a program's own object ends the run."""

    def __init__(self, report: Report) -> None:
        self.of_program: list[BaseException] = []
        self.directory: RunDirectory | None = None
        self._report = report

    def __call__(self, name: str, hook: str, error: BaseException) -> None:
        self._report(f"{name} failed in {hook} and is switched off: {type(error).__name__}: {error}")
        if name.startswith("plugins["):
            self.of_program.append(error)
            if self.directory is not None:
                self.directory.request_stop(f"{name} failed in {hook}: {type(error).__name__}: {error}")


def _to_stderr(line: str) -> None:
    print(f"rlctl: {line}", file=sys.stderr, flush=True)


__all__ = ["RlctlError", "RunResult", "run", "start"]
