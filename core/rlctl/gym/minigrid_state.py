"""The state of a MiniGrid or BabyAI environment as data and back: objects that know each other, each written once.

A grid holds doors, keys and boxes; the agent carries one of them, a room knows its doors, an instruction what it speaks
of. That two of them are the same object is part of the state. Only classes of the package itself are made from a file,
and only by setting the attributes of a bare object.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

_PACKAGE = "minigrid."
_BASE = 0
"""The number of the environment itself among the objects."""

Plain = Callable[[Any], bool]


def is_minigrid(base: Any) -> bool:
    """Return whether a base environment is one of the package minigrid; of BabyAI's as well, which are in it."""
    return type(base).__module__.startswith(_PACKAGE)


def minigrid_state(base: Any, is_plain: Plain, left_out: frozenset[str]) -> list[dict[str, Any]]:
    """Return the objects of an environment, itself the first; of that only what is not `is_plain`, which others save."""
    writer = _Writer(base, is_plain)
    attributes = {name: value for name, value in vars(base).items() if name not in left_out and writer.is_state(value)}
    found = [{"class": "", "values": {name: writer.written(value) for name, value in attributes.items()}}]
    while len(found) < len(writer.objects):  # writing one may find more
        holder = writer.objects[len(found)]
        own = {name: writer.written(value) for name, value in vars(holder).items()}
        found.append({"class": f"{type(holder).__module__}:{type(holder).__qualname__}", "values": own})
    return found


def set_minigrid_state(base: Any, saved: list[dict[str, Any]]) -> None:
    """Put an environment of the same kind into a state; raises ValueError for a class that is not of the package."""
    objects = [base, *(_bare(node["class"]) for node in saved[1:])]
    for holder, node in zip(objects, saved, strict=True):
        for name, value in node["values"].items():
            setattr(holder, name, _read(value, objects))


class _Writer:
    """Writes values, and collects the objects that it meets."""

    def __init__(self, base: Any, is_plain: Plain) -> None:
        self.objects = [base]
        self._numbers = {id(base): _BASE}
        self._is_plain = is_plain

    def is_state(self, value: Any) -> bool:
        """Return whether an attribute of the environment is objects, or containers of them."""
        if isinstance(value, (list, tuple, dict)):
            return not self._is_plain(value)
        return _is_object(value)

    def written(self, value: Any) -> dict[str, Any]:
        """Return a value as data: what is plain, an object's number, or a container of them."""
        if self._is_plain(value):
            return {"plain": value}
        if _is_object(value):
            if id(value) not in self._numbers:
                self._numbers[id(value)] = len(self.objects)
                self.objects.append(value)
            return {"object": self._numbers[id(value)]}
        if isinstance(value, dict):
            return {"dict": [[self.written(key), self.written(item)] for key, item in value.items()]}
        if isinstance(value, (list, tuple)):
            return {type(value).__name__: [self.written(item) for item in value]}
        raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} in the grid is no data")


def _is_object(value: Any) -> bool:
    return type(value).__module__.startswith(_PACKAGE) and hasattr(value, "__dict__")


def _bare(name: str) -> Any:
    """Return an object of a class of the package without calling it; its module has been imported by the environment."""
    module, _, qualified = name.partition(":")
    kind = getattr(sys.modules.get(module), qualified, None) if module.startswith(_PACKAGE) else None
    if not isinstance(kind, type) or not kind.__module__.startswith(_PACKAGE):
        raise ValueError(f"the saved state has a {name}, which is no class of the environment's package")
    return object.__new__(kind)


def _read(value: Mapping[str, Any], objects: list[Any]) -> Any:
    ((kind, held),) = value.items()
    if kind == "plain":
        return held
    if kind == "object":
        return objects[held]
    if kind == "dict":
        return {_read(key, objects): _read(item, objects) for key, item in held}
    items = [_read(item, objects) for item in held]
    return tuple(items) if kind == "tuple" else items
