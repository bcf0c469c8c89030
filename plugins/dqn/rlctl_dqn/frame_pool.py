"""A pool of frames that are kept for as long as somebody refers to them; it grows where there is no room left."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlctl_dqn.device_copy import DeviceCopy
from rlctl_dqn.memory import available_bytes, require_memory

COUNT_BYTES = 4
"""What counting the references to one frame takes."""
_BLOCK = "frames {}"


class FramePool:
    """Frames of `size` bytes each, by place. A place is given away again once as many references were released as held.

    There is room for `first` frames, and for `more` each time that it is used up. What is there is never moved.
    """

    def __init__(self, size: int, first: int, more: int) -> None:
        self._size = size
        self._first = first
        self._more = more
        self._starts: list[int] = []
        self._blocks: list[NDArray[np.uint8]] = []
        self._counts = np.zeros(0, np.int32)
        self._used = 0  # no place from here on was ever given away
        self._free: list[int] = []
        self._device: torch.device | None = None
        self._copies: list[DeviceCopy] = []

    def __len__(self) -> int:
        """Return the number of frames that are referred to."""
        return self._used - len(self._free)

    @property
    def room(self) -> int:
        """The number of frames that memory has been taken for."""
        return len(self._counts)

    def allocate(self) -> None:
        """Take the memory for the first frames; whoever calls it has asked whether it is there."""
        self._extend(self._first)

    def copy_to(self, device: torch.device) -> None:
        """From now on have a copy of everything on the device."""
        self._device = device
        self._copies = [DeviceCopy({"frames": block}, device) for block in self._blocks]

    def add(self, frame: bytes) -> int:
        """Return a place for a frame, to which there is one reference now; raises RlctlError if memory has run out."""
        if not self._free and self._used == self.room:
            self._grow()
        if self._free:
            place = self._free.pop()
        else:
            place = self._used
            self._used += 1
        block = bisect.bisect_right(self._starts, place) - 1
        here = place - self._starts[block]
        self._blocks[block][here] = np.frombuffer(frame, np.uint8)
        if self._copies:
            self._copies[block].changed((here,))
        self._counts[place] = 1
        return place

    def hold(self, place: int) -> None:
        """Count one more reference to a frame."""
        self._counts[place] += 1

    def release(self, places: Iterable[int]) -> None:
        """Count one reference less, for each time that a place is among them."""
        for place in places:
            self._counts[place] -= 1
            if not self._counts[place]:
                self._free.append(place)

    def take(self, places: NDArray[Any]) -> NDArray[np.uint8]:
        """Return copies of the frames at `places` (...), (..., size)."""
        if len(self._blocks) == 1:
            return self._blocks[0].take(places, axis=0)
        frames = np.empty((*places.shape, self._size), np.uint8)
        for start, block in zip(self._starts, self._blocks, strict=True):
            here = (places >= start) & (places < start + len(block))
            frames[here] = block[places[here] - start]
        return frames

    def take_copied(self, places: torch.Tensor) -> torch.Tensor:
        """Return the frames at `places` (...), of the device that there is a copy on, (..., size)."""
        flat = places.flatten()
        frames = self._copied(0, flat)
        for block, start in enumerate(self._starts[1:], 1):
            # Asked of every block, as to look at who needs which would be to wait for the device.
            frames = torch.where((flat >= start)[:, None], self._copied(block, flat), frames)
        return frames.reshape(*places.shape, self._size)

    def _copied(self, block: int, places: torch.Tensor) -> torch.Tensor:
        """Return frames (count, size) of a block; for places (count,) outside of it, any of its frames."""
        inside = (places - self._starts[block]).clamp(0, len(self._blocks[block]) - 1)
        return self._copies[block].take(inside)["frames"]

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the frames and the order in which places are given away, as data; not the references."""
        blocks = zip(self._starts, self._blocks, strict=True)
        held = {
            _BLOCK.format(index): block[: max(0, self._used - start)] for index, (start, block) in enumerate(blocks)
        }
        return {**held, "free": np.array(self._free, np.int64)}

    def set_state(self, state: Mapping[str, NDArray[Any]], references: NDArray[np.int64]) -> None:
        """Become what `state` returned, with these references: a place, (count,), for each of them."""
        saved = [block for index in range(len(state)) if (block := state.get(_BLOCK.format(index))) is not None]
        while len(self._blocks) < len(saved):
            self._grow()
        for own, block in zip(self._blocks, saved, strict=False):
            own[: len(block)] = block
        for copy, block in zip(self._copies, saved, strict=False):
            copy.changed(range(len(block)))
        self._used = sum(map(len, saved))
        self._free = state["free"].tolist()
        self._counts = np.bincount(references, minlength=self.room).astype(np.int32)

    def _grow(self) -> None:
        needed = self._more * (self._size + COUNT_BYTES)
        what = f"room for {self._more} more frames, beside {self.room}, which few transitions share,"
        require_memory(what, needed, available_bytes(), "Set hyperparameters.buffer_size lower.")
        self._extend(self._more)

    def _extend(self, count: int) -> None:
        self._starts.append(self.room)
        self._blocks.append(np.zeros((count, self._size), np.uint8))
        self._counts = np.concatenate([self._counts, np.zeros(count, np.int32)])
        if self._device is not None:
            self._copies.append(DeviceCopy({"frames": self._blocks[-1]}, self._device))
