"""What a plugin declares: frozen data that is cheap to make and that core enforces; nothing heavy is imported for it.

A worker, algorithm or callback is described by data with *string* entry points ("package.module:attribute"), which are
resolved only in the process that needs the object. Every field here is checked or used somewhere in core.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from attrs import field, frozen

from rlctl.parameters import Parameter as Parameter  # noqa: PLC0414 - plugins look for both here
from rlctl.parameters import parameters_of as parameters_of  # noqa: PLC0414

API_VERSION = 1
"""The version of the contract between core and plugins. A plugin that declares a newer one is shown but not used."""


class ActionSpace(str, Enum):
    """The action spaces core tells apart (gymnasium's names; core itself never imports gymnasium)."""

    DISCRETE = "discrete"
    BOX = "box"
    MULTI_DISCRETE = "multi_discrete"
    MULTI_BINARY = "multi_binary"
    TUPLE = "tuple"
    DICT = "dict"
    OTHER = "other"


class ObservationSpace(str, Enum):
    """The observation spaces core tells apart: a Box of rank 1 is a vector, one of a higher rank an image."""

    VECTOR = "vector"
    IMAGE = "image"
    DISCRETE = "discrete"
    MULTI_DISCRETE = "multi_discrete"
    MULTI_BINARY = "multi_binary"
    TUPLE = "tuple"
    DICT = "dict"
    OTHER = "other"


class Resume(str, Enum):
    """How a resumed run relates to one that was never interrupted.

    `exact`: bit for bit the same, on environments whose state can be captured. `state`: everything of the agent, but
    environments start anew. `weights`: the policy alone. `none`: it cannot be resumed.
    """

    EXACT = "exact"
    STATE = "state"
    WEIGHTS = "weights"
    NONE = "none"

    @property
    def goes_on(self) -> bool:
        """Whether a run can be resumed in its own directory."""
        return self in (Resume.EXACT, Resume.STATE)


class Mode(str, Enum):
    """What a worker can be used for."""

    TRAIN = "train"
    EVALUATE = "evaluate"


class Process(str, Enum):
    """Where a callback lives: beside the training (worker), or where the user looks on (host)."""

    WORKER = "worker"
    HOST = "host"


def _tuple(values: Any) -> tuple[Any, ...]:
    return tuple(values)


Parameters = tuple[Parameter, ...] | str
"""Parameters as data, or "module:function", called with the algorithm's name when they are first needed."""


@frozen(kw_only=True)
class AlgorithmDescriptor:
    """An algorithm of a worker: its spaces (empty: any), what can be set, and what it does when nothing is."""

    name: str
    family: str = ""
    summary: str = ""
    action_spaces: tuple[ActionSpace, ...] = field(converter=_tuple)
    observation_spaces: tuple[ObservationSpace, ...] = field(converter=_tuple)
    hyperparameters: Parameters = ()
    default_env: str
    default_total_timesteps: int
    max_num_envs: int | None = None
    unavailable: str | None = None

    def parameters(self) -> tuple[Parameter, ...]:
        """Return the hyper-parameters, resolving the string form; raises what the plugin's function raises."""
        if isinstance(self.hyperparameters, str):
            return tuple(resolve(self.hyperparameters)(self.name))
        return self.hyperparameters


@frozen(kw_only=True)
class WorkerDescriptor:
    """A backend that can train. `entry_point` is resolved in the worker process only and makes a `Worker` when called.

    `setup` ("module:function") is called as `setup(source=None, name=None, algo=..., report=..., repair=False)` before
    each run, and by `rlctl workers setup` with `repair=True`, the source and its name. It must be cheap when there is
    nothing to do; the mapping that it returns becomes part of the manifest and of `Run.source`. It may raise ConfigError.
    `curriculum`: its environments follow `env.curriculum`, by `Run.follow_curriculum`.
    `sources` are what it has brought, each with a `name`; `remove_source` is called with one and returns a sentence.
    `shows_steps` says that it puts its training environments under `rlctl.gym.observing`, so that callbacks see each step.
    `warm_up` ("module:function") imports what a training needs and tries it out, so that many trainings are forked from one
    process that has done that. It must leave generators as they were, and no thread, child or GPU in use. Left out, each training
    has a fresh process.
    `requires` are PEP 508 strings, compared with what is installed without importing anything.
    """

    name: str
    summary: str
    entry_point: str
    algorithms: tuple[AlgorithmDescriptor, ...] = field(converter=_tuple)
    env_families: tuple[str, ...] = field(default=("gymnasium",), converter=_tuple)
    max_agents: int = 1
    requires: tuple[str, ...] = field(default=(), converter=_tuple)
    requires_gpu: bool = False
    cpu_cores: int = 1
    estimated_memory_mb: int = 0
    upstream: str = ""
    resume: Resume = Resume.NONE
    modes: tuple[Mode, ...] = field(default=(Mode.TRAIN,), converter=_tuple)
    curriculum: bool = False
    setup: str | None = None
    sources: tuple[Mapping[str, Any], ...] = field(default=(), converter=_tuple)
    remove_source: str | None = None
    shows_steps: bool = False
    warm_up: str | None = None
    api_version: int = API_VERSION

    def algorithm(self, name: str | None) -> AlgorithmDescriptor | None:
        """Return the algorithm of that name, the first one for None, or None when there is no such algorithm."""
        if name is None:
            return self.algorithms[0] if self.algorithms else None
        return next((algorithm for algorithm in self.algorithms if algorithm.name == name), None)


@frozen(kw_only=True)
class CallbackDescriptor:
    """Something that sees a run's events. `factory(info, **options)` returns an object with hook implementations.

    A callback that raises is reported once and switched off; one that is `critical` fails the run instead.

    `env_observer` ("module:function") is called as `function(info, index, env, **options)` for each training environment, in
    the process in which that lives, and returns an `rlctl.gym.observing.StepObserver`. `needs_policy` says that the callback
    borrows the policy in `rlctl_safe_point`. A run whose worker cannot give these is refused.
    """

    name: str
    summary: str
    factory: str
    options: tuple[Parameter, ...] = field(default=(), converter=_tuple)
    process: Process = Process.WORKER
    critical: bool = False
    env_observer: str | None = None
    needs_policy: bool = False
    requires: tuple[str, ...] = field(default=(), converter=_tuple)
    api_version: int = API_VERSION

    def __attrs_post_init__(self) -> None:
        of_worker = {
            "be critical": self.critical,
            "see steps": self.env_observer,
            "borrow the policy": self.needs_policy,
        }
        for what, asked in of_worker.items():
            if asked and self.process is not Process.WORKER:
                raise ValueError(f'callback "{self.name}": only a callback in the worker process can {what}')


@frozen(kw_only=True)
class ExecutorDescriptor:
    """A way to place a run's process somewhere. `factory()` returns an `rlctl.launch.executor.Executor`.

    One that `takes_address` is made by `factory(address)`, None where the user gives none.
    One that is `always_elsewhere` never uses the slots of its user's machine; others do not if they have an address.
    """

    name: str
    summary: str
    factory: str
    takes_address: bool = False
    always_elsewhere: bool = False
    api_version: int = API_VERSION


def resolve(reference: str) -> Callable[..., Any]:
    """Import "package.module:attribute" and return the attribute; raises ValueError, ImportError or AttributeError."""
    module, separator, attribute = reference.partition(":")
    if not (module and separator and attribute):
        raise ValueError(f'"{reference}" is not of the form "package.module:attribute"')
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]
