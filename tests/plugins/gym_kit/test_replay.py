"""A replay buffer becomes data and a fresh one becomes it again, with all that it keeps in objects of its own."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("gymnasium")

from rlctl.gym.env_state import is_data  # noqa: E402
from rlctl.gym.replay import left_out, replay_data, set_replay_data  # noqa: E402


class _Tree:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.tree = np.zeros(2 * capacity - 1)


class _Prioritised:
    """A buffer in the manner of CleanRL's rainbow: sums in a tree, the last steps in a deque."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.pos, self.size = capacity, 0, 0
        self.rows = np.zeros((capacity, 2))
        self.sums = _Tree(capacity)
        self.window: deque[Any] = deque(maxlen=3)

    def add(self, value: float) -> None:
        self.rows[self.pos] = value
        self.sums.tree[self.capacity - 1 + self.pos] = value
        self.window.append((np.full(2, value), value))
        self.pos = (self.pos + 1) % self.capacity
        self.size = min(self.size + 1, self.capacity)


def seen(buffer: _Prioritised) -> str:
    """Return all that a buffer holds."""
    return repr([
        buffer.rows.tolist(), buffer.sums.tree.tolist(), buffer.window, buffer.window.maxlen, buffer.pos, buffer.size,
    ])  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 5, 8, 9, 30])
def test_a_buffer_comes_back_with_its_trees_and_windows(count: int) -> None:
    """Empty, with a few rows, full to the brim, and long written over; the arrays stay the objects that they were."""
    buffer, fresh = _Prioritised(8), _Prioritised(8)
    rows, sums = fresh.rows, fresh.sums
    for value in range(1, count + 1):
        buffer.add(float(value))

    data = replay_data(buffer)
    set_replay_data(fresh, data)

    assert is_data(data)
    assert seen(fresh) == seen(buffer)
    assert fresh.rows is rows and fresh.sums is sums


def test_rows_that_are_still_empty_are_left_out() -> None:
    """Of a buffer for a million transitions with three in it, four rows are data."""
    buffer = _Prioritised(1_000_000)
    for value in range(3):
        buffer.add(value)
    assert len(replay_data(buffer)["rows"]) == 4


def test_a_buffer_of_another_size_is_refused() -> None:
    """More rows than there is room for are an error, not a shorter memory."""
    buffer = _Prioritised(8)
    for value in range(8):
        buffer.add(value)
    with pytest.raises(ValueError, match="the saved rows has shape"):
        set_replay_data(_Prioritised(4), replay_data(buffer))


def test_what_is_not_saved_of_a_buffer_is_named() -> None:
    """An attribute that is no data is found, in the buffer and in its parts."""
    buffer = _Prioritised(8)
    assert list(left_out(buffer)) == []
    buffer.sums.stream = iter(())  # type: ignore[attr-defined]
    assert [path for path, _ in left_out(buffer)] == ["sums.stream"]
