"""Random numbers in blocks: one call of a generator for many steps, and still the same numbers after a resume."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlctl.gym.env_state import generator_from

ROWS = 256
"""Rows in a block."""


class Uniforms:
    """Rows of `width` numbers, uniform in [0, 1).

    What is saved is the generator before it drew the block, and the place in the block: the numbers follow from these.
    """

    def __init__(self, seed: int | np.random.SeedSequence, width: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._width = width
        self._begin_block()

    def row(self) -> NDArray[np.float64]:
        """Return the next row, (width,), as a view."""
        if self._place == ROWS:
            self._begin_block()
        row: NDArray[np.float64] = self._block[self._place]
        self._place += 1
        return row

    def _begin_block(self) -> None:
        self._before: Any = self._generator.bit_generator.state
        self._block = self._generator.random((ROWS, self._width))
        self._place = 0

    def state(self) -> dict[str, Any]:
        """Return everything as data."""
        return {"generator": self._before, "place": self._place}

    def set_state(self, state: dict[str, Any]) -> None:
        """Become what `state` returned."""
        self._generator = generator_from(state["generator"])
        self._begin_block()
        self._place = state["place"]
