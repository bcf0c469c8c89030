"""Values against the schema: unknown keys, kinds and ranges, every problem at once, each with its place and origin."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
import cattrs
from cattrs.errors import BaseValidationError, ClassValidationError, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from rlctl.config.curriculum import curriculum_problems
from rlctl.config.layers import Merged
from rlctl.config.schema import NESTED, RunConfig
from rlctl.config.wrappers import wrapper_problems
from rlctl.descriptors import Parameter, parameters_of
from rlctl.errors import Problem, did_you_mean

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@functools.cache
def _converter() -> cattrs.Converter:
    """Return a converter that takes exactly what the schema says: cattrs' own hooks would turn "10" into 10."""
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for cls in (*NESTED.values(), RunConfig):
        hooks = {
            parameter.name: override(struct_hook=_strict(parameter))
            for parameter in parameters_of(cls)
            if parameter.name not in NESTED
        }
        structure: Any = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True, **hooks)  # type: ignore[arg-type]
        converter.register_structure_hook(cls, _mapping_first(structure))
    return converter


def _strict(parameter: Parameter) -> Any:
    def structure(value: Any, _: Any) -> Any:
        problem = parameter.problem_with(value)
        if problem:
            raise ValueError(problem)
        return parameter.normalized(value)

    return structure


def _mapping_first(structure: Any) -> Any:
    def checked(value: Any, cls: type) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError(f"expected a mapping, got {value!r}")
        return structure(value, cls)

    return checked


def structure(merged: Merged) -> tuple[RunConfig | None, list[Problem]]:
    """Return (config, problems): the typed configuration, or None with everything that is wrong with its shape."""
    try:
        config = _converter().structure(merged.values, RunConfig)
    except BaseValidationError as error:
        return None, list(_problems_in(error, "", RunConfig, merged))
    problems = []
    if not _DEVICE.fullmatch(config.device):
        message = f'expected auto, cpu, cuda, cuda:N or mps, got "{config.device}"'
        problems.append(Problem("device", message, origin=merged.origin("device")))
    of_env = [*wrapper_problems(config.env.wrappers), *curriculum_problems(config.env.curriculum, config.env.id)]
    problems += [attrs.evolve(problem, origin=merged.origin(problem.path)) for problem in of_env]
    for name, value in config.labels.items():
        if not isinstance(value, str):
            problems.append(
                Problem(f"labels.{name}", f"expected a string, got {value!r}", origin=merged.origin("labels"))
            )
    return config, problems


def _problems_in(error: BaseException, path: str, cls: type, merged: Merged) -> Iterable[Problem]:
    """Yield the leaves of cattrs' tree of errors as problems with dotted paths."""
    if isinstance(error, ClassValidationError):
        for inner, note in error.group_exceptions()[0]:
            yield from _problems_in(inner, f"{path}{note.name}.", NESTED.get(note.name, cls), merged)
        for other in error.group_exceptions()[1]:
            yield from _problems_in(other, path, cls, merged)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [field.name for field in attrs.fields(cls)]
        for key in sorted(error.extra_fields):
            yield Problem(f"{path}{key}", "unknown key.", did_you_mean(key, known), merged.origin(f"{path}{key}"))
    else:
        where = path.rstrip(".")
        message = "is required" if isinstance(error, KeyError) else str(error)
        yield Problem(where, message, origin=merged.origin(where))


def check_values(
    values: Mapping[str, Any], parameters: Iterable[Parameter], path: str, merged: Merged, whose: str
) -> list[Problem]:
    """Return what is wrong with `values` under `path` against `parameters`; `whose` ends "unknown ... of"."""
    known = {parameter.name: parameter for parameter in parameters}
    problems = []
    for name, value in values.items():
        where = f"{path}.{name}"
        if name not in known:
            hint = did_you_mean(name, known)
            problems.append(Problem(where, f"{whose} has no such setting.", hint, merged.origin(where)))
        elif wrong := known[name].problem_with(value):
            problems.append(Problem(where, wrong, origin=merged.origin(where)))
    problems += [
        Problem(f"{path}.{name}", f"{whose} requires it")
        for name, parameter in known.items()
        if parameter.required and name not in values
    ]
    return problems


def with_defaults(values: Mapping[str, Any], parameters: Iterable[Parameter]) -> dict[str, Any]:
    """Return all parameters in their order, set or defaulted, in their declared kinds."""
    return {
        parameter.name: parameter.normalized(values.get(parameter.name, parameter.default)) for parameter in parameters
    }


def numbers_that_are_none(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield (path, value) of every NaN and infinity in a tree, those in lists under the list's path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers_that_are_none(item, f"{path}.{key}" if path else key)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from numbers_that_are_none(item, path)
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, value
