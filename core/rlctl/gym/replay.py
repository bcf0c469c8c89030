"""The transitions in a replay buffer of arrays, as data and back, without the rows that are still empty.

For buffers in the manner of Stable-Baselines3 and CleanRL: arrays of `buffer_size` or `capacity` rows, filled from the
first one up to `pos`. What a buffer keeps in objects of its own module, segment trees say, belongs to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rlctl.gym.env_state import data_attributes, is_data


def replay_data(buffer: Any) -> dict[str, Any]:
    """Return the plain data of a buffer and its parts; of one that is not full yet, the filled rows only."""
    attributes = data_attributes(buffer)
    capacity, position = attributes.get("buffer_size", attributes.get("capacity")), attributes.get("pos")
    is_full = attributes.get("full", attributes.get("size", capacity) == capacity)
    if capacity is not None and position is not None and not is_full:
        # One row more: a buffer that stores each observation once has the next one there.
        attributes = _cut(attributes, capacity, position + 1)
    return attributes | {name: replay_data(part) for name, part in _parts(buffer).items()}


def left_out(buffer: Any) -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of the attributes of a buffer and its parts that are not in `replay_data`."""
    data, parts = data_attributes(buffer), _parts(buffer)
    for name, value in vars(buffer).items():
        if name in parts:
            yield from ((f"{name}.{path}", inner) for path, inner in left_out(value))
        elif name not in data:
            yield name, value


def _parts(holder: Any) -> dict[str, Any]:
    home = type(holder).__module__
    inner = {name: value for name, value in vars(holder).items() if type(value).__module__ == home}
    return {n: v for n, v in inner.items() if hasattr(v, "__dict__") and not callable(v) and not is_data(v)}


def set_replay_data(buffer: Any, data: dict[str, Any]) -> None:
    """Put what `replay_data` returned into a fresh buffer of the same size; its arrays stay the same objects."""
    _fill(vars(buffer), data)


def _cut(value: Any, capacity: int, rows: int) -> Any:
    if isinstance(value, dict):
        return {key: _cut(item, capacity, rows) for key, item in value.items()}
    is_rows = isinstance(value, np.ndarray) and value.ndim > 0 and len(value) == capacity
    return value[:rows] if is_rows else value


def _fill(holder: dict[str, Any], data: dict[str, Any]) -> None:
    for name, value in data.items():
        current = holder.get(name)
        if isinstance(value, dict) and (isinstance(current, dict) or hasattr(current, "__dict__")):
            _fill(current if isinstance(current, dict) else vars(current), value)
        elif isinstance(current, np.ndarray) and isinstance(value, np.ndarray) and current.ndim > 0:
            if current.shape[1:] != value.shape[1:] or len(current) < len(value):
                raise ValueError(f"the saved {name} has shape {value.shape}, the buffer's own {current.shape}")
            current[: len(value)] = value
        else:
            holder[name] = value
