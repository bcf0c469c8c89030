"""YAML of the zoo and of PyYAML's `dump`, as plain data: tags of Python are named, never obeyed.

An OrderedDict and a tuple are data, so they are understood. Any other tag becomes a `Foreign`, which whoever needs the value
reports; the rest of the file stays readable.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from rlctl.config.files import expanded_size
from rlctl.errors import ConfigError, Problem, UsageError

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

_MAXIMUM_BYTES = 1_000_000
_MAXIMUM_VALUES = 1_000_000
"""A few lines of YAML aliases can stand for billions of values."""
_PYTHON = "tag:yaml.org,2002:python/"
_ORDERED = f"{_PYTHON}object/apply:collections.OrderedDict"
_TUPLE = f"{_PYTHON}tuple"


@frozen
class Foreign:
    """A value that is a Python object in its file; only its tag is kept."""

    tag: str

    def __str__(self) -> str:
        return f"a Python object ({self.tag}), which is not made"


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a file. Raises UsageError when it cannot be read and ConfigError when it is no mapping."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else f"it is not UTF-8 ({error})"
        raise UsageError(f'cannot read "{path}": {reason}.') from error
    if len(text) > _MAXIMUM_BYTES:
        raise ConfigError([Problem(str(path), f"has {len(text)} characters, more than a file of settings has.")])
    try:
        tree = _loader().load(text)
        size = expanded_size(tree, {})
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        message = f"cannot be parsed: {(error.problem or str(error)).splitlines()[0]}"
        raise ConfigError([Problem(f"{path}{line}", message)]) from error
    except (YAMLError, ValueError, TypeError, OverflowError) as error:
        raise ConfigError([Problem(str(path), f"cannot be parsed: {str(error).splitlines()[0]}")]) from error
    except RecursionError as error:
        raise ConfigError([Problem(str(path), "is nested too deeply or contains itself")]) from error
    if size > _MAXIMUM_VALUES:
        raise ConfigError([Problem(str(path), f"has aliases that stand for more than {_MAXIMUM_VALUES} values")])
    if not isinstance(tree, Mapping):
        raise ConfigError([Problem(str(path), f"expected a mapping at the top, got {_kind(tree)}")])
    return {str(key): value for key, value in tree.items()}


def _loader() -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor

    class DataConstructor(SafeConstructor):  # a class of its own, as constructors are registered with the class
        pass

    DataConstructor.add_constructor(_ORDERED, _ordered)
    DataConstructor.add_constructor(_TUPLE, lambda loader, node: loader.construct_sequence(node, deep=True))
    DataConstructor.add_multi_constructor("", _foreign)  # all others
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = DataConstructor
    return yaml


def _ordered(loader: Any, node: Node) -> Any:
    """Return an OrderedDict as PyYAML writes it: a list whose one element is a list of pairs."""
    try:
        (pairs,) = loader.construct_sequence(node, deep=True)
        return {str(key): value for key, value in pairs}
    except (TypeError, ValueError, AttributeError):
        return Foreign("collections.OrderedDict, not in the form that PyYAML writes")


def _foreign(_: Any, suffix: str, __: Node) -> Foreign:
    return Foreign(str(suffix).removeprefix(_PYTHON))


def _kind(value: Any) -> str:
    return str(value) if isinstance(value, Foreign) else type(value).__name__
