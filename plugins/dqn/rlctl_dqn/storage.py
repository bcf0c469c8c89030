"""How transitions lie in memory: vectors in rows of one matrix, so that a batch is one `take`; images in arrays of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rlctl_dqn.device_copy import DeviceCopy, to_device

Rows = NDArray[np.int64]


class Batch(NamedTuple):
    """Transitions: observations (batch, *shape), actions (batch, 1), rewards (batch,).

    `bootstrap` (batch,) is the factor of what comes after: gamma, gamma**k for a return over k steps, 0 where the episode
    terminated. The others are None where they say nothing: `masks` and `next_masks` (batch, num_actions) are the allowed
    actions, `weights` (batch,) are importance weights.
    """

    observations: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    next_observations: torch.Tensor
    bootstrap: torch.Tensor
    masks: torch.Tensor | None = None
    next_masks: torch.Tensor | None = None
    weights: torch.Tensor | None = None


class Steps(NamedTuple):
    """Steps that were taken, (count, ...) each: observations, actions, rewards, what followed, whether it was the end."""

    observations: NDArray[Any]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float32]
    following: NDArray[Any]
    terminated: NDArray[np.bool_]

    def part(self, where: slice | NDArray[np.bool_]) -> Steps:
        """Return some of them."""
        observations, actions, rewards, following, terminated = self
        return Steps(observations[where], actions[where], rewards[where], following[where], terminated[where])


class Storage(Protocol):
    """Memory for `capacity` transitions. `row_bytes` is what one of them takes, `shapes` what there is of one, by name."""

    row_bytes: int
    shapes: dict[str, tuple[int, ...]]

    def allocate(self) -> None:
        """Take the memory."""

    def copy_to(self, device: torch.device) -> None:
        """From now on have a copy of everything on the device, from which batches are taken."""

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
        """Put a transition of an environment, as `n_step.Transition` has it, into row `at`."""

    def batch(self, rows: Rows, device: torch.device, weights: NDArray[np.float32] | None) -> Batch:
        """Return the transitions of `rows` (batch,) on the device."""

    def forget_targets(self) -> None:
        """Forget the targets that were worked out for the transitions: the target network is another one."""

    def state(self, size: int) -> dict[str, NDArray[Any]]:
        """Return the first `size` transitions as data."""

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` returned, for the same `shapes`."""


class PackedStorage:
    """Observations of float32: a transition is a row of one matrix, all of it float32.

    Columns: observation, next observation, action, reward, bootstrap, with `num_masked` the masks of both states, and with
    `caches_targets` the target that was worked out for the row, NaN if none was.
    """

    def __init__(
        self, capacity: int, shape: Sequence[int], *, num_masked: int | None = None, caches_targets: bool = False
    ) -> None:
        self._capacity = capacity
        self.shape = tuple(shape)
        self._is_flat = len(self.shape) == 1
        size, masked = math.prod(shape), num_masked or 0
        self.observation = slice(0, size)
        self.next_observation = slice(size, 2 * size)
        self.action, self.reward, self.bootstrap = range(2 * size, 2 * size + 3)
        after = 2 * size + 3
        self.mask, self.next_mask = slice(after, after + masked), slice(after + masked, after + 2 * masked)
        self._has_masks = num_masked is not None
        self.target = after + 2 * masked if caches_targets else None
        self._width = after + 2 * masked + caches_targets
        self.row_bytes = self._width * np.dtype(np.float32).itemsize
        self.shapes: dict[str, tuple[int, ...]] = {"rows": (self._width,)}
        self.rows: NDArray[np.float32] = np.zeros((0, self._width), np.float32)
        self.num_missing = 0
        """How many of the transitions, those that were written last, have no target."""
        self._copy: DeviceCopy | None = None

    def allocate(self) -> None:
        """Take the memory."""
        self.rows = np.zeros((self._capacity, self._width), np.float32)

    def copy_to(self, device: torch.device) -> None:
        """From now on have a copy of everything on the device, from which batches are taken."""
        self._copy = DeviceCopy({"rows": self.rows}, device)

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
        """Put a transition into row `at`."""
        row = self.rows[at]
        if self._is_flat:
            row[self.observation], row[self.next_observation] = observation, next_observation
        else:
            row[self.observation], row[self.next_observation] = observation.ravel(), next_observation.ravel()
        row[self.action], row[self.reward], row[self.bootstrap] = action, reward, bootstrap
        if self._has_masks:
            row[self.mask] = 1.0 if mask is None else mask
            row[self.next_mask] = 1.0 if next_mask is None else next_mask
        if self.target is not None:
            row[self.target] = math.nan
            self.num_missing += 1
        if self._copy is not None:
            self._copy.changed((at,))

    def write_many(self, at: int, steps: Steps, gamma: float) -> None:
        """Put transitions of one step without masks into the rows from `at` on; they do not reach over the end."""
        count = len(steps.actions)
        rows = self.rows[at : at + count]
        rows[:, self.observation] = steps.observations.reshape(count, -1)
        rows[:, self.next_observation] = steps.following.reshape(count, -1)
        rows[:, self.action], rows[:, self.reward] = steps.actions, steps.rewards
        rows[:, self.bootstrap] = np.where(steps.terminated, 0.0, gamma)
        if self.target is not None:
            rows[:, self.target] = math.nan
            self.num_missing += count
        if self._copy is not None:
            self._copy.changed(range(at, at + count))

    def forget_targets(self) -> None:
        """Forget the targets that were worked out for the transitions: the target network is another one."""
        if self.target is not None:
            self.rows[:, self.target] = math.nan
            self.num_missing = self._capacity

    def batch(self, rows: Rows, device: torch.device, weights: NDArray[np.float32] | None) -> Batch:
        """Return the transitions of `rows` (batch,) on the device."""
        if self._copy is None:
            matrix = to_device(self.rows.take(rows, axis=0), device)
        else:
            matrix = self._copy.take(to_device(rows, device))["rows"]
        return Batch(
            self._shaped(matrix[:, self.observation]),
            matrix[:, self.action : self.action + 1].long(),
            matrix[:, self.reward],
            self._shaped(matrix[:, self.next_observation]),
            matrix[:, self.bootstrap],
            masks=matrix[:, self.mask] > 0 if self._has_masks else None,
            next_masks=matrix[:, self.next_mask] > 0 if self._has_masks else None,
            weights=None if weights is None else to_device(weights, device),
        )

    def _shaped(self, flat: torch.Tensor) -> torch.Tensor:
        return flat if self._is_flat else flat.unflatten(1, self.shape)  # type: ignore[no-untyped-call]

    def state(self, size: int) -> dict[str, NDArray[Any]]:
        """Return the first `size` transitions as data."""
        return {"rows": self.rows[:size]}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` returned, for the same `shapes`."""
        rows = self.rows[: len(state["rows"])]
        rows[...] = state["rows"]
        if self.target is not None:
            self.num_missing = int(np.isnan(rows[:, self.target]).sum())
        if self._copy is not None:
            self._copy.changed(range(len(rows)))


class ColumnStorage:
    """Observations of any dtype, images above all: an array for each part of a transition."""

    def __init__(self, capacity: int, shape: Sequence[int], dtype: str, *, num_masked: int | None = None) -> None:
        self._capacity = capacity
        self._kinds: dict[str, tuple[tuple[int, ...], str]] = {
            "observations": (tuple(shape), dtype),
            "next_observations": (tuple(shape), dtype),
            "actions": ((1,), "int64"),
            "rewards": ((), "float32"),
            "bootstrap": ((), "float32"),
        }
        if num_masked is not None:
            self._kinds["masks"] = self._kinds["next_masks"] = ((num_masked,), "bool")
        self.row_bytes = sum(math.prod(inner) * np.dtype(kind).itemsize for inner, kind in self._kinds.values())
        self.shapes = {name: inner for name, (inner, _) in self._kinds.items()}
        self.arrays: dict[str, NDArray[Any]] = {}
        """The memory by name, (capacity, ...) each."""
        self.copy: DeviceCopy | None = None
        """What is on the device, if anything is."""

    def allocate(self) -> None:
        """Take the memory."""
        self.arrays = {name: np.zeros((self._capacity, *inner), kind) for name, (inner, kind) in self._kinds.items()}

    def copy_to(self, device: torch.device) -> None:
        """From now on have a copy of everything on the device, from which batches are taken."""
        self.copy = DeviceCopy(self.arrays, device)

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
        """Put a transition into row `at`."""
        columns = self.arrays
        columns["observations"][at] = observation
        columns["next_observations"][at] = next_observation
        columns["actions"][at], columns["rewards"][at], columns["bootstrap"][at] = action, reward, bootstrap
        if "masks" in columns:
            columns["masks"][at] = True if mask is None else mask
            columns["next_masks"][at] = True if next_mask is None else next_mask
        if self.copy is not None:
            self.copy.changed((at,))

    def batch(self, rows: Rows, device: torch.device, weights: NDArray[np.float32] | None) -> Batch:
        """Return the transitions of `rows` (batch,) on the device."""
        if self.copy is None:
            taken = {name: to_device(array, device) for name, array in self.take(rows).items()}
        else:
            taken = self.copy.take(to_device(rows, device))
        return Batch(**taken, weights=None if weights is None else to_device(weights, device))

    def take(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """Return the parts of the transitions of `rows` (batch,) by name, copies of (batch, ...) each."""
        return {name: column.take(rows, axis=0) for name, column in self.arrays.items()}

    def forget_targets(self) -> None:
        """There are none: only the fast agent keeps them."""

    def state(self, size: int) -> dict[str, NDArray[Any]]:
        """Return the first `size` transitions as data."""
        return {name: column[:size] for name, column in self.arrays.items()}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` returned, for the same `shapes`."""
        for name, column in self.arrays.items():
            column[: len(state[name])] = state[name]
        if self.copy is not None:
            self.copy.changed(range(len(state["actions"])))
