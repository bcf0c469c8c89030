"""Prioritised replay: transitions are drawn in proportion to a power of their last error (Schaul et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlctl_dqn.replay_buffer import Drawn, ReplayBuffer
from rlctl_dqn.storage import Rows
from rlctl_dqn.sum_tree import SumTree


class PrioritizedReplayBuffer(ReplayBuffer):
    """Priorities are (error + epsilon)**exponent; a new transition has the highest one that there was so far."""

    def __init__(
        self,
        capacity: int,
        shape: int | Sequence[int],
        device: torch.device,
        *,
        exponent: float,
        epsilon: float,
        **arguments: Any,
    ) -> None:
        super().__init__(capacity, shape, device, **arguments)
        self._exponent = exponent
        self._epsilon = epsilon
        self._tree = SumTree(capacity)
        self._highest = 1.0

    def _extra_bytes(self, capacity: int) -> int:
        """Return the bytes of the sum tree."""
        return SumTree.bytes_for(capacity)

    def _advance(self, count: int) -> None:
        if count == 1:
            self._tree.put(self._next, self._highest)
        else:
            self._tree.update(np.arange(self._next, self._next + count), np.full(count, self._highest))
        super()._advance(count)

    def draw(self, uniforms: NDArray[np.float64], importance: float = 0.0) -> Drawn:
        """Return where the transitions lie that are drawn by priority, one from each of equal parts of their sum.

        Weights are (size * probability)**-importance, over the highest of the batch, so that they only scale down.
        """
        rows = self._tree.draw(uniforms)
        probabilities = self._tree.leaves[rows] / self._tree.total
        weights = (self.size * probabilities) ** -importance
        return Drawn(rows, (weights / weights.max()).astype(np.float32))

    def set_priorities(self, rows: Rows, errors: NDArray[np.float32]) -> None:
        """Set the priorities of transitions from their errors; one that is no finite number means the highest."""
        priorities = (np.abs(errors.astype(np.float64)) + self._epsilon) ** self._exponent
        finite = np.isfinite(priorities)
        if finite.any():
            self._highest = max(self._highest, float(priorities[finite].max()))
        self._tree.update(rows, np.where(finite, priorities, self._highest))

    def state(self) -> dict[str, Any]:
        """Return the transitions and their priorities, as data."""
        return {**super().state(), "priorities": self._tree.leaves[: self.size], "highest": self._highest}

    def set_state(self, state: dict[str, Any]) -> None:
        """Become what `state` returned; raises ValueError for one of another capacity."""
        super().set_state(state)
        self._tree.leaves[:] = 0.0
        self._tree.leaves[: self.size] = state["priorities"]
        self._tree.rebuild()
        self._highest = state["highest"]
