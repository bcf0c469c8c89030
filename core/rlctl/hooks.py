"""Every hook that a plugin can implement: when it is called, in which process, and what raising in it means.

Three families:

- *registration* hooks are called in any process that needs to know what exists. They must be cheap and import nothing
  heavy. A plugin that raises in one is shown as broken by `rlctl plugins list`; all others go on.
- *life-cycle* hooks are called in the worker process for callbacks of a run, and again in the host for objects given
  to `rlctl.run(..., plugins=[...])`, which see the same events in the same order a moment later. A callback that raises
  is reported once and switched off; a `critical` one, or an object given by a program, fails the run.
- *host* hooks are called in the process in which the user waits.

An implementation names only the arguments that it wants. A misspelt hook name is an error when the plugin is loaded.
Hook wrappers (`hookimpl(wrapper=True)`) are not supported: one callback cannot change what another sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from rlctl.compatibility import EnvFacts
    from rlctl.config.schema import RunConfig
    from rlctl.conversions import ConverterDescriptor
    from rlctl.descriptors import CallbackDescriptor, ExecutorDescriptor, WorkerDescriptor
    from rlctl.errors import Problem
    from rlctl.evaluations import Evaluation
    from rlctl.events import CheckpointSaved, Episode, Metrics, Progress, Result, RunInfo, StageChanged
    from rlctl.exports import ExportDescriptor
    from rlctl.worker.protocol import Policy

PROJECT = "rlctl"
ENTRY_POINT_GROUP = "rlctl.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function or method as the implementation of the hook whose name it bears."""


# ---- registration: any process -------------------------------------------------------------------------------------


@hookspec
def rlctl_workers() -> Iterable[WorkerDescriptor]:
    """Return the workers (training backends) that this plugin brings."""


@hookspec
def rlctl_callbacks() -> Iterable[CallbackDescriptor]:
    """Return the callbacks that a run can name in its configuration."""


@hookspec
def rlctl_executors() -> Iterable[ExecutorDescriptor]:
    """Return the executors that can place a run's process, beside the built-in `local`."""


@hookspec
def rlctl_converters() -> Iterable[ConverterDescriptor]:
    """Return the other systems whose files this plugin makes configurations of, for `rlctl config convert --from NAME`."""


@hookspec
def rlctl_exports() -> Iterable[ExportDescriptor]:
    """Return the formats that `rlctl export` can write, beside the built-in `onnx` and `torchscript`."""


@hookspec
def rlctl_commands() -> Iterable[click.Command]:
    """Return click commands that become `rlctl NAME`. A name that rlctl itself has is refused."""


@hookspec
def rlctl_check_run(config: RunConfig, worker: WorkerDescriptor, env: EnvFacts | None) -> Iterable[Problem]:
    """Return what is wrong with a run for reasons that only the plugin knows; host process, before anything starts.

    `env` is what the environment was found to be; None if it is not gymnasium's, or could not be looked at.
    Called for every plugin and every run: look at `worker.name` first. Raising is reported as a problem of the plugin.
    """


@hookspec
def rlctl_declare_run(config: RunConfig, worker: WorkerDescriptor, env: EnvFacts | None) -> Mapping[str, str]:
    """Return what the plugin will do in a sound run that its configuration does not say: name → sentence; host process.

    A dry run shows it, and config.json keeps it. Arguments and raising are those of `rlctl_check_run`.
    """


# ---- life cycle: worker process ------------------------------------------------------------------------------------


@hookspec
def rlctl_training_started(run: RunInfo) -> None:
    """The backend is about to train. Called once, before any other life-cycle hook."""


@hookspec
def rlctl_step(progress: Progress) -> None:
    """The backend has advanced: after each of its iterations, which may be one environment step or a whole rollout."""


@hookspec
def rlctl_episode_ended(episode: Episode) -> None:
    """A training episode ended (terminated or truncated), in any of the parallel environments."""


@hookspec
def rlctl_stage_changed(stage: StageChanged) -> None:
    """The run has reached the next stage of its curriculum, with the episode that was told of just before."""


@hookspec
def rlctl_metrics(metrics: Metrics) -> None:
    """The backend reported scalars, such as its loss."""


@hookspec
def rlctl_safe_point(
    progress: Progress, lend: Callable[[int], AbstractContextManager[Policy]], go_on: Callable[[], bool]
) -> None:
    """The training is whole, and its policy can be borrowed: `with lend(seed) as policy` (worker process only).

    Ask `go_on()` while it is used: it keeps the run alive, and returns False when somebody waits for the end.
    """


@hookspec
def rlctl_checkpoint_due(progress: Progress) -> None:
    """A checkpoint is about to be saved: what a callback still holds back of the run's records must be in their files now."""


@hookspec
def rlctl_checkpoint_saved(checkpoint: CheckpointSaved) -> None:
    """A checkpoint has been saved and is whole on the disk."""


@hookspec
def rlctl_evaluation_ended(evaluation: Evaluation) -> None:
    """The policy has been evaluated, and evaluations.jsonl says so."""


@hookspec(firstresult=True)
def rlctl_should_stop(progress: Progress) -> str | None:
    """Return the reason why the run should stop now, or None. Asked after each `rlctl_step`; the first reason wins.

    An object given to `rlctl.run` is asked when the host has followed up to that step; the worker stops soon after.
    """


@hookspec
def rlctl_training_ended(result: Result) -> None:
    """The training ended, however it ended; `result` says how. Called once, the last life-cycle hook."""


# ---- host process --------------------------------------------------------------------------------------------------


@hookspec
def rlctl_status_changed(run: RunInfo, progress: Progress) -> None:
    """The run's status file changed (about once a second). Called in the host for callbacks that live there."""


@hookspec
def rlctl_run_ended(run: RunInfo, result: Result) -> None:
    """The worker process is gone and `result` is final, also after a crash. Called in the host; tidy up here."""
