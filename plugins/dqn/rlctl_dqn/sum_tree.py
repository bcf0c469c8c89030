"""A sum tree as one flat array: draw indices in proportion to their values, change values, both in logarithmic time.

Node 1 is the root, node i has the children 2i and 2i + 1, the leaves are the last `size` nodes. A parent is always the sum
of its children as they are, never corrected by a difference: the tree follows from its leaves to the last bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class SumTree:
    """Values of `capacity` leaves, zero at first, and the sums above them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._size = _leaves(capacity)
        self._depth = self._size.bit_length() - 1
        self._nodes = np.zeros(2 * self._size, np.float64)

    @staticmethod
    def bytes_for(capacity: int) -> int:
        """Return what a tree of that capacity takes."""
        return 2 * _leaves(capacity) * np.dtype(np.float64).itemsize

    @property
    def total(self) -> float:
        """The sum of all values."""
        return float(self._nodes[1])

    @property
    def leaves(self) -> NDArray[np.float64]:
        """The values, (capacity,), as a view."""
        return self._nodes[self._size : self._size + self.capacity]

    def put(self, index: int, value: float) -> None:
        """Set one value."""
        nodes, node = self._nodes, self._size + index
        nodes[node] = value
        while node > 1:
            node >>= 1
            nodes[node] = nodes[2 * node] + nodes[2 * node + 1]

    def update(self, indices: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Set several values; of an index that occurs twice the last value counts."""
        nodes = self._nodes
        above = self._size + indices
        nodes[above] = values
        for _ in range(self._depth):
            above = above >> 1  # one that occurs twice gets the same sum twice
            nodes[above] = nodes[2 * above] + nodes[2 * above + 1]

    def rebuild(self) -> None:
        """Make the sums anew after `leaves` was written to."""
        start = self._size
        while start > 1:
            children = self._nodes[start : 2 * start]
            self._nodes[start // 2 : start] = children[0::2] + children[1::2]
            start //= 2

    def find(self, points: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return for each point in [0, total) the index under it, where the values lie side by side; never one of value 0.

        Raises ValueError when there is nothing to find.
        """
        if not self.total > 0:
            raise ValueError("a sum tree without positive values has nothing to find")
        left_over = points.astype(np.float64)
        found = np.ones(len(points), np.int64)
        for _ in range(self._depth):
            left = 2 * found
            below, beside = self._nodes[left], self._nodes[left + 1]
            # Rounding may leave a point beyond the last value: there is nothing on the right then.
            right = (left_over >= below) & (beside > 0)
            left_over = np.where(right, left_over - below, left_over)
            found = left + right
        return found - self._size

    def draw(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return indices in proportion to their values, one from each of so many equal parts of the total.

        `uniforms` (count,) are drawn from [0, 1).
        """
        count = len(uniforms)
        strata = (np.arange(count) + uniforms) / count
        return self.find(strata * self.total)


def _leaves(capacity: int) -> int:
    """Return the power of two that is not below the capacity."""
    return 1 << max(0, capacity - 1).bit_length()
