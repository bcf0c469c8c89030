"""Configuration files in: YAML 1.2, TOML or JSON to plain data, with the line of each YAML value."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlctl.errors import ConfigError, Problem, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SUFFIXES = (".yaml", ".yml", ".toml", ".json")
_NULLS = ("null", "Null", "NULL", "~")
_MAXIMUM_VALUES = 1_000_000
"""A few lines of YAML aliases can stand for billions of values."""


def read_config(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return (values, origins) of a file; origins map a dotted path to "file:line" where the format knows lines.

    Raises UsageError when the file cannot be read and ConfigError when it cannot be parsed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors put a byte order mark there
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f'cannot read the configuration file "{path}": {_reason(error)}') from error
    parse = {".toml": _toml, ".json": _json}.get(path.suffix.lower(), _yaml)
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f'"{path}" is not a configuration file: its name must end in {", ".join(SUFFIXES)}')
    try:
        tree, origins = parse(text, path)
    except RecursionError as error:
        raise _syntax_error(path, None, "it is nested too deeply or contains itself") from error
    if not isinstance(tree, Mapping):
        raise ConfigError([Problem(str(path), f"expected a mapping at the top, got {type(tree).__name__}")])
    return dict(tree), origins


def parse_scalar(text: str) -> Any:
    """Return the value that `text` means as YAML: `3`, `1e-4`, `true`, `[1, 2]`, `{a: b}`; else the text itself.

    An empty text is the empty string, and what does not parse is a string: a command line has no other quoting.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if text.strip() == "":
        return text
    try:
        value = _plain(YAML(typ="safe", pure=True).load(text))
    except (YAMLError, ValueError, RecursionError):  # ValueError: "2024-13-45" looks like a date and is none
        return text
    # Nobody comments a command line: "#1" and "a #b" are meant as they stand.
    altered = isinstance(value, str) and text.lstrip()[0] not in "\"'|>!&"
    return text if altered or (value is None and text.strip() not in _NULLS) else value


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else f"it is not UTF-8 ({error})"


def _syntax_error(path: Path, line: int | None, message: str) -> ConfigError:
    where = f"{path}:{line}" if line else str(path)
    return ConfigError([Problem(where, f"cannot be parsed: {message}")])


def _toml(text: str, path: Path) -> tuple[Any, dict[str, str]]:
    try:
        tree = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError is one; an integer of thousands of digits, too
        raise _syntax_error(path, None, str(error)) from error
    return tree, dict.fromkeys(_paths(tree), path.name)


def _json(text: str, path: Path) -> tuple[Any, dict[str, str]]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                raise _syntax_error(path, None, f'the key "{key}" stands there twice')
        return dict(pairs)

    try:
        tree = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise _syntax_error(path, error.lineno, error.msg) from error
    except ValueError as error:  # an integer of thousands of digits
        raise _syntax_error(path, None, str(error)) from error
    return tree, dict.fromkeys(_paths(tree), path.name)


def _yaml(text: str, path: Path) -> tuple[Any, dict[str, str]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        # The round-trip loader is YAML 1.2 ("no" is a string), refuses duplicate keys and remembers lines.
        tree = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise _syntax_error(path, line, (error.problem or str(error)).split("\n")[0]) from error
    except YAMLError as error:
        raise _syntax_error(path, None, str(error).split("\n")[0]) from error
    except ValueError as error:  # "2024-13-45" looks like a date and is none
        raise _syntax_error(path, None, f"{error}; put text in quotes") from error
    if expanded_size(tree, {}) > _MAXIMUM_VALUES:
        raise _syntax_error(path, None, f"its aliases stand for more than {_MAXIMUM_VALUES} values")
    origins: dict[str, str] = {}
    _note_lines(tree, path.name, "", origins)
    return ({} if tree is None else _plain(tree)), origins


def expanded_size(node: Any, known: dict[int, int]) -> int:
    """Return how many values a tree has when each alias is written out; `known` remembers those of parts by identity."""
    if not isinstance(node, (Mapping, list, tuple)):
        return 1
    if id(node) not in known:
        items = node.values() if isinstance(node, Mapping) else node
        known[id(node)] = 1 + sum(expanded_size(item, known) for item in items)
    return known[id(node)]


def _note_lines(node: Any, file: str, prefix: str, origins: dict[str, str]) -> None:
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        dotted = f"{prefix}{key}"
        line = node.lc.data[key][0] + 1 if hasattr(node, "lc") and key in (node.lc.data or {}) else None
        origins[dotted] = f"{file}:{line}" if line else file
        _note_lines(value, file, f"{dotted}.", origins)


def _paths(tree: Any, prefix: str = "") -> list[str]:
    if not isinstance(tree, Mapping):
        return []
    return [path for key, value in tree.items() for path in (f"{prefix}{key}", *_paths(value, f"{prefix}{key}."))]


def _plain(value: Any) -> Any:
    """Return ruamel's own types (which remember comments and styles) as the built-in ones."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    for plain in (bool, int, float, str):
        if isinstance(value, plain):
            return plain(value)
    return value if value is None else str(value)
