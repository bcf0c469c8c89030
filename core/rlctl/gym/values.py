"""Members of spaces, and whatever else an environment says, as JSON; and actions read from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class NotInSpaceError(ValueError):
    """A value that is no member of a space; the message says where, what was expected, and what is there."""


def plain(value: Any) -> Any:
    """Return a value as JSON has it: arrays and tensors as nested lists, and what is no finite number as a string.

    An object that JSON knows nothing of becomes its text.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return _listed(value)


def _listed(value: Any) -> Any:
    if not callable(getattr(value, "tolist", None)):
        return str(value)
    listed = value.tolist()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and np.isfinite(value).all():
        return listed  # most are, and need not be looked through once more
    return str(value) if type(listed) is type(value) else plain(listed)  # a long double lists itself


def action_of(space: spaces.Space[Any], value: Any, where: str = "action") -> Any:
    """Return a value of JSON as a member of an action space; raises NotInSpaceError for one that is none."""
    if isinstance(space, spaces.Discrete):
        if isinstance(value, bool) or not isinstance(value, int) or not space.start <= value < space.start + space.n:
            last = int(space.start + space.n) - 1
            raise NotInSpaceError(
                f"{where}: expected a whole number from {int(space.start)} to {last}, got {_quoted(value)}"
            )
        return space.dtype.type(value)
    if isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)):
        return _array(space, value, where)
    if isinstance(space, spaces.Dict):
        if not isinstance(value, Mapping) or set(value) != set(space.spaces):
            raise NotInSpaceError(f"{where}: expected an object of {', '.join(space.spaces)}, got {_quoted(value)}")
        return {name: action_of(inner, value[name], f"{where}.{name}") for name, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        if not isinstance(value, list) or len(value) != len(space.spaces):
            raise NotInSpaceError(f"{where}: expected a list of {len(space.spaces)}, got {_quoted(value)}")
        return tuple(action_of(inner, value[at], f"{where}[{at}]") for at, inner in enumerate(space.spaces))
    if isinstance(space, spaces.Text) and isinstance(value, str) and space.contains(value):
        return value
    raise NotInSpaceError(f"{where}: {_quoted(value)} cannot be made an action of {space}")


def _array(space: spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary, value: Any, where: str) -> NDArray[Any]:
    try:
        found = np.asarray(value)
    except ValueError:  # lists of different lengths
        found = np.asarray(None)
    if found.dtype.kind not in "iuf" and found.shape != (0,):
        raise NotInSpaceError(f"{where}: expected numbers of shape {list(space.shape)}, got {_quoted(value)}")
    if found.shape != space.shape:
        raise NotInSpaceError(f"{where}: expected shape {list(space.shape)}, got {list(found.shape)}")
    if space.dtype.kind == "f":
        with np.errstate(over="ignore"):
            found = found.astype(space.dtype)
    low, high = _bounds(space)
    wrong = ~(
        np.isfinite(found)
        & (found >= low)
        & (found <= high)
        & (np.mod(found, 1) == 0 if space.dtype.kind != "f" else True)
    )
    if wrong.any():
        index = tuple(np.argwhere(wrong)[0].tolist())
        kind = "number" if space.dtype.kind == "f" else "whole number"
        limits = f"from {plain(low[index])} to {plain(high[index])}"
        at = "".join(f"[{number}]" for number in index)
        raise NotInSpaceError(f"{where}{at}: expected a {kind} {limits}, got {plain(found[index])}")
    return found.astype(space.dtype)


def _bounds(space: spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary) -> tuple[NDArray[Any], NDArray[Any]]:
    if isinstance(space, spaces.Box):
        return space.low, space.high
    if isinstance(space, spaces.MultiDiscrete):
        return space.start, space.start + space.nvec - 1
    return np.zeros(space.shape, np.int8), np.ones(space.shape, np.int8)


def _quoted(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 80 else text[:77] + "..."
