"""How transitions of stacked frames lie in memory: each frame once, however many observations it is part of."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlctl_dqn.device_copy import to_device
from rlctl_dqn.frame_pool import COUNT_BYTES, FramePool
from rlctl_dqn.storage import Batch, ColumnStorage, Rows

_STACKS = ("observations", "next_observations")
_SPARE = 8
"""One frame in so many is for those that begin an episode; blocks that are added later are of that size, too."""
_LEAST_MORE = 16
_NONE = -1
"""The place of the frames of a row that has never been written."""
_Recent = OrderedDict[int, bytes]
"""Frames of one environment by their places, the one that was seen last at the end."""


class FrameStorage:
    """Observations of uint8, (frames, ...): a transition has the places of its frames, (frames,) of each observation.

    A frame is kept once if it is byte for byte one of the last few of its environment: nothing is assumed of how the
    environment stacks them. It stays while a transition refers to it, so where little is shared, more memory is taken as it
    is needed, up to that of all frames of all transitions. With returns over `n_step` steps an observation comes up again
    so many frames later than it was first seen.
    """

    def __init__(self, capacity: int, shape: Sequence[int], *, n_step: int = 1, num_masked: int | None = None) -> None:
        self._shape = tuple(shape)
        size = math.prod(shape[1:])
        self._columns = ColumnStorage(capacity, shape[:1], "int32", num_masked=num_masked)
        self.shapes = {**self._columns.shapes, "frames": self._shape[1:]}
        self._pool = FramePool(size, capacity + capacity // _SPARE, max(capacity // _SPARE, _LEAST_MORE))
        share = (size + COUNT_BYTES) * (_SPARE + 1) / _SPARE
        self.row_bytes = self._columns.row_bytes + math.ceil(share)
        # A frame that will come up again waits meanwhile for at most so many others: those of the observations of the next
        # n steps, and of what follows n steps after each.
        self._remembered = shape[0] + 2 * n_step
        self._recent: dict[int, _Recent] = {}

    @property
    def num_frames(self) -> int:
        """The number of frames that are kept."""
        return len(self._pool)

    @property
    def num_bytes(self) -> int:
        """The bytes that have been taken."""
        frames = self._pool.room * (math.prod(self._shape[1:]) + COUNT_BYTES)
        return frames + sum(column.nbytes for column in self._columns.arrays.values())

    def allocate(self) -> None:
        """Take the memory."""
        self._columns.allocate()
        self._empty()
        self._pool.allocate()

    def copy_to(self, device: torch.device) -> None:
        """From now on have a copy of everything on the device, from which batches are taken."""
        self._columns.copy_to(device)
        self._pool.copy_to(device)

    def _empty(self) -> None:
        """Let no row refer to a frame."""
        for name in _STACKS:
            self._columns.arrays[name].fill(_NONE)

    def write(
        self,
        at: int,
        env_index: int,
        observation: NDArray[Any],
        action: int,
        reward: float,
        next_observation: NDArray[Any],
        bootstrap: float,
        mask: NDArray[np.bool_] | None,
        next_mask: NDArray[np.bool_] | None,
    ) -> None:
        """Put a transition into row `at`; raises RlctlError if there is no memory left for its frames."""
        recent = self._recent.setdefault(env_index, OrderedDict())
        before, after = (self._placed(stack, recent) for stack in (observation, next_observation))
        for name in _STACKS:
            places = self._columns.arrays[name][at].tolist()
            if places[0] != _NONE:
                self._pool.release(places)
        self._columns.write(at, env_index, before, action, reward, after, bootstrap, mask, next_mask)

    def _placed(self, stack: NDArray[Any], recent: _Recent) -> NDArray[np.int32]:
        """Return the places of the frames of a stack, (frames,), with a reference to each."""
        frames = np.asarray(stack, np.uint8)
        return np.array([self._place(frame.tobytes(), recent) for frame in frames], np.int32)

    def _place(self, frame: bytes, recent: _Recent) -> int:
        # Comparing a handful of frames costs less than hashing one, as it stops at the first byte that differs.
        for place, seen in recent.items():
            if seen == frame:
                self._pool.hold(place)
                recent.move_to_end(place)
                return place
        place = self._pool.add(frame)
        self._pool.hold(place)  # one reference is the transition's, one that of `recent`
        recent[place] = frame
        if len(recent) > self._remembered:
            self._pool.release([recent.popitem(last=False)[0]])
        return place

    def batch(self, rows: Rows, device: torch.device, weights: NDArray[np.float32] | None) -> Batch:
        """Return the transitions of `rows` (batch,) on the device."""
        copy = self._columns.copy
        if copy is None:
            here = self._columns.take(rows)
            here |= {name: self._pool.take(here[name]) for name in _STACKS}
            taken = {name: to_device(array, device) for name, array in here.items()}
        else:
            taken = copy.take(to_device(rows, device))
            taken |= {name: self._pool.take_copied(taken[name]) for name in _STACKS}
        taken |= {name: taken[name].reshape(-1, *self._shape) for name in _STACKS}
        return Batch(**taken, weights=None if weights is None else to_device(weights, device))

    def forget_targets(self) -> None:
        """There are none: only the fast agent keeps them."""

    def state(self, size: int) -> dict[str, NDArray[Any]]:
        """Return the first `size` transitions, their frames and which of those are recent, as data."""
        recent = [(env_index, place) for env_index, frames in self._recent.items() for place in frames]
        return {
            **self._columns.state(size), **self._pool.state(), "recent": np.array(recent, np.int64).reshape(-1, 2),
        }  # fmt: skip

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` returned; raises RlctlError if there is no memory for its frames."""
        self._empty()
        self._columns.set_state(state)
        owners, places = state["recent"].T
        references = np.concatenate([places, *(state[name].ravel() for name in _STACKS)])
        self._pool.set_state(state, references)
        self._recent = {}
        for env_index, place in zip(owners.tolist(), places.tolist(), strict=True):
            frame = self._pool.take(np.array(place)).tobytes()
            self._recent.setdefault(env_index, OrderedDict())[place] = frame
