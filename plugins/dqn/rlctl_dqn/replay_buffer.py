"""Replay: a ring of transitions in contiguous arrays, allocated once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

_ARRAYS = ("_observations", "_next_observations", "_actions", "_rewards", "_terminated")


class Batch(NamedTuple):
    """Transitions: observations (batch, size), actions (batch, 1), rewards and terminated (batch,)."""

    observations: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    next_observations: torch.Tensor
    terminated: torch.Tensor


class ReplayBuffer:
    """The last `capacity` transitions. `next_observation` is the true one, also where the episode ended."""

    def __init__(self, capacity: int, observation_size: int, device: torch.device) -> None:
        self.capacity = capacity
        self.size = 0
        self._next = 0
        self._device = device
        self._observations = np.zeros((capacity, observation_size), np.float32)
        self._next_observations = np.zeros((capacity, observation_size), np.float32)
        self._actions = np.zeros((capacity, 1), np.int64)
        self._rewards = np.zeros(capacity, np.float32)
        self._terminated = np.zeros(capacity, np.float32)

    def add(
        self,
        observation: NDArray[np.float32],
        action: int,
        reward: float,
        next_observation: NDArray[np.float32],
        terminated: bool,
    ) -> None:
        """Store one transition over the oldest."""
        at = self._next
        self._observations[at] = observation
        self._actions[at, 0] = action
        self._rewards[at] = reward
        self._next_observations[at] = next_observation
        self._terminated[at] = terminated
        self._next = (at + 1) % self.capacity
        self.size = min(self.size + 1, self.capacity)

    def sample(self, batch_size: int, generator: np.random.Generator) -> Batch:
        """Return transitions drawn uniformly with replacement."""
        rows = generator.integers(0, self.size, batch_size)
        return Batch(
            self._to_device(self._observations.take(rows, axis=0)),
            self._to_device(self._actions.take(rows, axis=0)),
            self._to_device(self._rewards.take(rows)),
            self._to_device(self._next_observations.take(rows, axis=0)),
            self._to_device(self._terminated.take(rows)),
        )

    def state(self) -> dict[str, Any]:
        """Return the transitions held and the place of the next one, as data."""
        arrays = {name: getattr(self, name)[: self.size] for name in _ARRAYS}
        return {"size": self.size, "next": self._next, "capacity": self.capacity, **arrays}

    def set_state(self, state: dict[str, Any]) -> None:
        """Become what `state` returned; raises ValueError for one of another capacity."""
        if state["capacity"] != self.capacity:
            raise ValueError(f"the saved buffer holds {state['capacity']} transitions, this one {self.capacity}")
        self.size, self._next = state["size"], state["next"]
        for name in _ARRAYS:
            getattr(self, name)[: self.size] = state[name]

    def _to_device(self, array: NDArray[Any]) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(self._device)
