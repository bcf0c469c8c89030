"""What a plugin declares: frozen data that is cheap to make and that core enforces; nothing heavy is imported for it.

A worker, algorithm or callback is described by data with *string* entry points ("package.module:attribute"), which are
resolved only in the process that needs the object. Every field here is checked or used somewhere in core.
"""

from __future__ import annotations

import importlib
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Literal

import attrs
from attrs import field, frozen

API_VERSION = 1
"""The version of the contract between core and plugins. A plugin that declares a newer one is shown but not used."""

Kind = Literal["integer", "number", "boolean", "string", "array", "object", "null"]
"""The JSON kinds a parameter's value may have; an integer is also accepted where a number is expected."""


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


@frozen(kw_only=True)
class Parameter:
    """One value that a user may set: a hyper-parameter, a callback's option, or a field of the run's configuration.

    The one source for validation, `workers show`, JSON Schema and the configuration reference.
    `minimum`/`maximum` are inclusive; `exclusive_minimum` is not.
    """

    name: str
    kinds: tuple[Kind, ...]
    default: Any = None
    doc: str = ""
    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    required: bool = False

    def problem_with(self, value: Any) -> str | None:
        """Return what is wrong with `value` in words, or None when it is acceptable."""
        if not any(_is_kind(value, kind) for kind in self.kinds):
            return f"expected {_kinds_in_words(self.kinds)}, got {_quote(value)}"
        if value is None:
            return None
        if self.choices and value not in self.choices:
            return f"expected one of {', '.join(map(str, self.choices))}, got {_quote(value)}"
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._range_problem(value)
        return None

    def _range_problem(self, value: float) -> str | None:
        if self.minimum is not None and not value >= self.minimum:
            return f"must be at least {self.minimum:g}, got {value}"
        if self.exclusive_minimum is not None and not value > self.exclusive_minimum:
            return f"must be greater than {self.exclusive_minimum:g}, got {value}"
        if self.maximum is not None and not value <= self.maximum:
            return f"must be at most {self.maximum:.12g}, got {value}"
        return None

    def normalized(self, value: Any) -> Any:
        """Return a valid `value` in its declared kind: 1e6 for an integer becomes 1000000, nothing else changes."""
        if "number" in self.kinds or isinstance(value, bool) or not isinstance(value, float):
            return value
        return int(value) if "integer" in self.kinds and value.is_integer() else value


def _is_kind(value: Any, kind: Kind) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    checks: dict[str, bool] = {
        # 1e6 is how people write a million, and YAML and TOML read it as a float: lossless, so accepted.
        "integer": isinstance(value, int) or (isinstance(value, float) and value.is_integer()),
        "number": isinstance(value, (int, float)),
        "string": isinstance(value, str),
        "array": isinstance(value, (list, tuple)),
        "object": isinstance(value, Mapping),
        "null": value is None,
    }
    return checks.get(kind, False)


def _kinds_in_words(kinds: tuple[Kind, ...]) -> str:
    words = {"integer": "an integer", "array": "a list", "object": "a mapping", "boolean": "true or false"}
    return " or ".join(words.get(kind, "null" if kind == "null" else f"a {kind}") for kind in kinds)


def _quote(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def parameters_of(cls: type) -> tuple[Parameter, ...]:
    """Return the parameters of an attrs class: kinds from its annotations, the rest from `field(metadata=...)`.

    Metadata keys: doc, minimum, exclusive_minimum, maximum, choices. Raises TypeError for an annotation that has no
    JSON kind, so that a plugin's mistake shows in its own tests.
    """
    hints = typing.get_type_hints(cls)
    made = []
    for item in attrs.fields(cls):
        default = item.default.factory() if isinstance(item.default, attrs.Factory) else item.default  # type: ignore[arg-type]
        required = default is attrs.NOTHING
        made.append(
            Parameter(
                name=item.name,
                kinds=_kinds_of(hints[item.name]),
                default=None if required else default,
                required=required,
                **{key: value for key, value in item.metadata.items() if key in _METADATA},
            )
        )
    return tuple(made)


_METADATA = {"doc", "minimum", "exclusive_minimum", "maximum", "choices"}
_KIND_OF_TYPE: dict[Any, Kind] = {
    int: "integer", float: "number", bool: "boolean", str: "string", type(None): "null",
    list: "array", tuple: "array", dict: "object", Mapping: "object",
}  # fmt: skip


def _kinds_of(hint: Any) -> tuple[Kind, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(kind for part in typing.get_args(hint) for kind in _kinds_of(part))
    plain = typing.get_origin(hint) or hint
    if plain in _KIND_OF_TYPE:
        return (_KIND_OF_TYPE[plain],)
    if attrs.has(plain):
        return ("object",)
    raise TypeError(f"{hint!r} has no JSON kind; use int, float, bool, str, list, dict or a union of them")


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
    """

    name: str
    summary: str
    factory: str
    options: tuple[Parameter, ...] = field(default=(), converter=_tuple)
    process: Process = Process.WORKER
    critical: bool = False
    requires: tuple[str, ...] = field(default=(), converter=_tuple)
    api_version: int = API_VERSION

    def __attrs_post_init__(self) -> None:
        if self.critical and self.process is not Process.WORKER:
            raise ValueError(f'callback "{self.name}": only a callback in the worker process can be critical')


@frozen(kw_only=True)
class ExecutorDescriptor:
    """A way to place a run's process somewhere. `factory()` returns an `rlctl.launch.executor.Executor`."""

    name: str
    summary: str
    factory: str
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
