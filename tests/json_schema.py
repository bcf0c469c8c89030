"""Holds values to a JSON Schema: the keywords that ours use, and no others, so that none goes unchecked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_KINDS = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
}
_TELLING = {"$schema", "$defs", "title", "description"}


def errors(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], where: str = "$") -> Iterator[str]:
    """Yield what is wrong with a value; raises ValueError for a keyword that is not known here."""
    for keyword, said in schema.items():
        if keyword in _TELLING:
            continue
        if keyword not in _CHECKS:
            raise ValueError(f"the schema says {keyword}, which is not checked here")
        yield from _CHECKS[keyword](value, said, schema, root, where)


def _ref(value: Any, said: str, _: Any, root: Any, where: str) -> Iterator[str]:
    found = root
    for name in said.removeprefix("#/").split("/"):
        found = found[name]
    yield from errors(value, found, root, where)


def _any_of(value: Any, said: list[Any], _: Any, root: Any, where: str) -> Iterator[str]:
    found = [list(errors(value, schema, root, where)) for schema in said]
    if all(found):
        yield f"{where}: none of these: {found}"


def _type(value: Any, said: Any, _: Any, __: Any, where: str) -> Iterator[str]:
    if not any(_KINDS[kind](value) for kind in ([said] if isinstance(said, str) else said)):
        yield f"{where}: expected {said}, got {value!r}"


def _properties(value: Any, said: Any, _: Any, root: Any, where: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name in said.keys() & value.keys():
            yield from errors(value[name], said[name], root, f"{where}.{name}")


def _additional(value: Any, said: Any, schema: Any, __: Any, where: str) -> Iterator[str]:
    assert said is False
    for name in value.keys() - schema["properties"].keys() if isinstance(value, dict) else ():
        yield f"{where}.{name}: is not in the schema"


def _required(value: Any, said: Any, _: Any, __: Any, where: str) -> Iterator[str]:
    for name in said if isinstance(value, dict) else ():
        if name not in value:
            yield f"{where}.{name}: is missing"


def _items(value: Any, said: Any, _: Any, root: Any, where: str) -> Iterator[str]:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield from errors(item, said, root, f"{where}[{index}]")


def _enum(value: Any, said: Any, _: Any, __: Any, where: str) -> Iterator[str]:
    if value not in said:
        yield f"{where}: expected one of {said}, got {value!r}"


def _limit(value: Any, said: Any, schema: Any, _: Any, where: str) -> Iterator[str]:
    if _KINDS["number"](value) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{where}: {value} is out of range"


def _pattern(value: Any, said: Any, _: Any, __: Any, where: str) -> Iterator[str]:
    if isinstance(value, str) and not re.search(said, value):
        yield f"{where}: {value!r} is not of the form {said}"


_CHECKS: dict[str, Any] = {
    "$ref": _ref,
    "anyOf": _any_of,
    "type": _type,
    "properties": _properties,
    "additionalProperties": _additional,
    "required": _required,
    "items": _items,
    "enum": _enum,
    "const": lambda value, said, schema, root, where: _enum(value, [said], schema, root, where),
    "minimum": _limit,
    "maximum": _limit,
    "pattern": _pattern,
}
