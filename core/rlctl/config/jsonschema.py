"""The schema for others: JSON Schema for editors, and docs/configuration.md, both from the same parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rlctl.config.curriculum import PRESETS
from rlctl.config.schema import NESTED, EnvConfig, RunConfig
from rlctl.descriptors import Parameter, parameters_of
from rlctl.errors import UsageError, did_you_mean
from rlctl.plugins import discover

_NAMED = {"type": "string", "pattern": r"^[\w.]+:[\w.]+$"}
_OF_A_WRAPPER = (
    Parameter(name="use", kinds=("string",), doc="package.module:Class", required=True),
    Parameter(name="kwargs", kinds=("object", "null"), default={}, doc="Its arguments beside the environment."),
)

_OF_A_STAGE = (
    Parameter(name="env_id", kinds=("string", "null"), doc="Its environment; without one that of `env.id`."),
    Parameter(name="env", kinds=("string", "object", "null"), doc="An id, or what differs from `env`."),
    Parameter(name="steps", kinds=("integer", "null"), doc="It is over after so many.", minimum=1),
    Parameter(name="episodes", kinds=("integer", "null"), doc="It is over after so many.", minimum=1),
    Parameter(name="episode_return", kinds=("number", "null"), doc="It is over at this mean return."),
    Parameter(name="until", kinds=("string", "null"), doc="Such as `steps>=200000 | episode_return>=0.9`."),
    Parameter(name="window", kinds=("integer", "null"), doc="Episodes of the mean return; 100.", minimum=1),
)


def object_schema(parameters: Iterable[Parameter], title: str) -> dict[str, Any]:
    """Return the JSON Schema of a mapping that takes these parameters and nothing else."""
    parameters = tuple(parameters)
    schema: dict[str, Any] = {
        "title": title,
        "type": "object",
        "properties": {parameter.name: parameter_schema(parameter) for parameter in parameters},
        "additionalProperties": False,
    }
    required = [parameter.name for parameter in parameters if parameter.required]
    return {**schema, "required": required} if required else schema


def parameter_schema(parameter: Parameter) -> dict[str, Any]:
    """Return the JSON Schema of one value."""
    kinds = list(parameter.kinds)
    schema: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds, "description": parameter.doc}
    limits = {
        "minimum": parameter.minimum,
        "exclusiveMinimum": parameter.exclusive_minimum,
        "maximum": parameter.maximum,
        "enum": list(parameter.choices) or None,
    }
    schema |= {name: limit for name, limit in limits.items() if limit is not None}
    return schema if parameter.required else {**schema, "default": parameter.default}


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of a run's configuration file."""
    schema = object_schema(parameters_of(RunConfig), "rlctl run configuration")
    for name, nested in NESTED.items():
        inner = object_schema(parameters_of(nested), name)
        schema["properties"][name] = {**inner, "description": _doc(RunConfig, name)}
    env = object_schema(parameters_of(EnvConfig), "environment")
    env["properties"]["wrappers"]["items"] = {"anyOf": [_NAMED, object_schema(_OF_A_WRAPPER, "wrapper")]}
    env["properties"]["curriculum"] = {
        **{name: env["properties"]["curriculum"][name] for name in ("description", "default")},
        "anyOf": [{"enum": sorted(PRESETS)}, {"type": "array", "items": object_schema(_OF_A_STAGE, "stage")}],
    }
    schema["properties"]["env"] = {"anyOf": [{"type": "string"}, env], "description": _doc(RunConfig, "env")}
    callbacks = schema["properties"]["callbacks"]
    schema["properties"]["callbacks"] = {**callbacks, "type": ["object", "array"], "items": {"type": "string"}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def hyperparameters_schema(worker: str, algo: str | None) -> dict[str, Any]:
    """Return the JSON Schema of an algorithm's hyper-parameters; raises UsageError for an unknown algorithm."""
    descriptor = discover().worker(worker).descriptor
    algorithm = descriptor.algorithm(algo)
    if algorithm is None:
        hint = did_you_mean(str(algo), (item.name for item in descriptor.algorithms))
        raise UsageError(f'worker "{worker}" has no algorithm "{algo}".', hint=hint)
    return object_schema(algorithm.parameters(), f"hyper-parameters of {worker}/{algorithm.name}")


def config_reference() -> str:
    """Return docs/configuration.md's table of keys."""
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for parameter in parameters_of(RunConfig):
        rows.append(_row(parameter, ""))
        if parameter.name in NESTED:
            rows += [_row(inner, f"{parameter.name}.") for inner in parameters_of(NESTED[parameter.name])]
    return "\n".join(rows)


def _row(parameter: Parameter, prefix: str) -> str:
    kinds = " or ".join(parameter.kinds)
    default = "required" if parameter.required else _default(parameter.default)
    return f"| `{prefix}{parameter.name}` | {kinds} | {default} | {parameter.doc}{_limits(parameter)} |"


def _default(value: Any) -> str:
    return "–" if value is None or value in ({}, []) or not isinstance(value, (int, float, str)) else f"`{value}`"


def _limits(parameter: Parameter) -> str:
    said = [
        f"{word} {limit:.12g}"
        for word, limit in (
            ("At least", parameter.minimum),
            ("Greater than", parameter.exclusive_minimum),
            ("At most", parameter.maximum),
        )
        if limit is not None
    ]
    said += [" or ".join(f"`{choice}`" for choice in parameter.choices)] if parameter.choices else []
    return f" {', '.join(said).capitalize()}." if said else ""


def _doc(cls: type, name: str) -> str:
    return next(parameter.doc for parameter in parameters_of(cls) if parameter.name == name)
