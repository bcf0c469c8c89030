"""How arrays get to the device: each batch from the host's memory, or out of a copy that is kept in the GPU's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_ROWS = 4096
"""The most rows that are brought along in one piece; after a resume it is all of them."""
_SHARE = 0.8
"""Of the memory that is free; the networks and their batches need some, too."""


def to_device(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return an array as a tensor; on its way to a GPU nobody waits for it."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def has_room(device: torch.device, needed: int) -> bool:
    """Return whether the device is a GPU of CUDA with so many bytes free, and more for the rest."""
    return device.type == "cuda" and needed <= _SHARE * torch.cuda.mem_get_info(device)[0]


class DeviceCopy:
    """Arrays by name, (capacity, ...) each, once more on a device. The arrays stay what is written to, and what is saved.

    Rows that `changed` are brought along before the next are taken: all of them in one go, for which nobody waits.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], device: torch.device) -> None:
        self._arrays = arrays
        self._device = device
        self._copies = {name: torch.from_numpy(array).to(device, copy=True) for name, array in arrays.items()}
        self._changed: list[int] = []

    def changed(self, rows: Iterable[int]) -> None:
        """Note that rows of the arrays have been written."""
        self._changed.extend(rows)

    def take(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what there is in `rows` (batch,), of the device, by name, (batch, ...) each."""
        self._refresh()
        return {name: copy.index_select(0, rows) for name, copy in self._copies.items()}

    def _refresh(self) -> None:
        changed = np.unique(
            np.array(self._changed, np.int64)
        )  # a row that comes twice would be written twice, in any order
        self._changed.clear()
        for start in range(0, len(changed), _ROWS):
            rows = changed[start : start + _ROWS]
            places = to_device(rows, self._device)
            for name, array in self._arrays.items():
                self._copies[name].index_copy_(0, places, to_device(array.take(rows, axis=0), self._device))
