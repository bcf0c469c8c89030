"""For converters: fields of a foreign file by tables, those that are read and those that are not; any other is named as unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rlctl.config.schema import SEED_MAXIMUM
from rlctl.errors import Problem, did_you_mean

Reader = Callable[[Any], Any]
"""Returns a value in the form that is needed, or raises NotTakenError."""


class NotTakenError(Exception):
    """A value that is not taken; the message says why."""


def without_none(value: Any) -> Any:
    """Return a tree in which the text "None" is null, as which it is meant, and mappings have no nulls."""
    if isinstance(value, Mapping):
        plain = {str(key): without_none(item) for key, item in value.items()}
        return {key: item for key, item in plain.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [without_none(item) for item in value]
    return None if value == "None" else value


def read_fields(
    tree: Mapping[str, Any], readers: Mapping[str, Reader], reasons: Mapping[str, str], prefix: str = ""
) -> tuple[dict[str, Any], list[Problem]]:
    """Return (dotted path → value, problems) of a tree: what `readers` read, and what is left out for `reasons` or unknown.

    A path of a table may name a whole mapping. `false` needs no reason: what is not wanted is not done.
    """
    said: dict[str, Any] = {}
    left_out: list[Problem] = []
    known = (*readers, *reasons)
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if path in readers:
            try:
                said[path] = readers[path](value)
            except NotTakenError as error:
                left_out.append(Problem(path, str(error)))
        elif path in reasons:
            left_out += [Problem(leaf, reasons[path]) for leaf, item in _leaves(path, value) if item is not False]
        elif any(other.startswith(f"{path}.") for other in known):
            if isinstance(value, Mapping):
                inner, problems = read_fields(value, readers, reasons, f"{path}.")
                said |= inner
                left_out += problems
            else:
                left_out.append(Problem(path, _no_mapping(value)))
        else:
            siblings = {other[len(prefix) :].partition(".")[0] for other in known if other.startswith(prefix)}
            left_out.append(Problem(path, "unknown field.", did_you_mean(key, siblings)))
    return said, left_out


def in_order(problems: list[Problem], tree: Mapping[str, Any]) -> list[Problem]:
    """Return problems in the order in which their fields stand in the file; those of fields that do not come last."""
    places = {path: place for place, (path, _) in enumerate(_leaves("", tree))}
    return sorted(problems, key=lambda problem: places.get(problem.path, len(places)))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(f"{path}.{key}" if path else key, item)
    else:
        yield path, value


# ---- readers -------------------------------------------------------------------------------------------------------


def text(value: Any) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise NotTakenError(f"expected a text, got {value!r}")
    return value


def whole(value: Any) -> int:
    """Return a whole number from 1 on; 5e5 is one."""
    number = natural(value)
    if number < 1:
        raise NotTakenError(f"expected a whole number from 1 on, got {value!r}")
    return number


def natural(value: Any) -> int:
    """Return a whole number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0 or value != value // 1:
        raise NotTakenError(f"expected a whole number, got {value!r}")
    return int(value)


def seed(value: Any) -> int:
    """Return a whole number that a run takes as its seed."""
    number = natural(value)
    if number > SEED_MAXIMUM:
        raise NotTakenError(f"expected a seed of at most {SEED_MAXIMUM}, got {value!r}")
    return number


def flag(value: Any) -> bool:
    """Return true or false; yes and on are true in YAML 1.1, which PyYAML reads."""
    meant = {"yes": True, "on": True, "no": False, "off": False}.get(str(value).lower(), value)
    if not isinstance(meant, bool):
        raise NotTakenError(f"expected true or false, got {value!r}")
    return meant


def mapping(value: Any) -> dict[str, Any]:
    """Return a mapping."""
    if not isinstance(value, Mapping):
        raise NotTakenError(_no_mapping(value))
    return dict(value)


def _no_mapping(value: Any) -> str:
    # Without the value: what was to be a mapping of many things may hold somebody's key.
    return f"expected a mapping, got {type(value).__name__}"
