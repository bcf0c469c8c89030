"""The transitions in a replay buffer of arrays, as data and back, without the rows that are still empty.

For buffers in the manner of Stable-Baselines3: arrays of `buffer_size` rows, filled from the first one up to `pos`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlctl.gym.env_state import data_attributes


def replay_data(buffer: Any) -> dict[str, Any]:
    """Return the plain data of a buffer; of one that is not full yet, the filled rows only."""
    attributes = data_attributes(buffer)
    capacity, position = attributes.get("buffer_size"), attributes.get("pos")
    if capacity is None or position is None or attributes.get("full", True):
        return attributes
    # One row more: a buffer that stores each observation once has the next one there.
    cut: dict[str, Any] = _cut(attributes, capacity, position + 1)
    return cut


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
        if isinstance(current, dict) and isinstance(value, dict):
            _fill(current, value)
        elif isinstance(current, np.ndarray) and isinstance(value, np.ndarray) and current.ndim > 0:
            if current.shape[1:] != value.shape[1:] or len(current) < len(value):
                raise ValueError(f"the saved {name} has shape {value.shape}, the buffer's own {current.shape}")
            current[: len(value)] = value
        else:
            holder[name] = value
