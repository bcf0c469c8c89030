"""Replay: a ring of transitions in contiguous arrays, allocated once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rlctl_dqn.memory import available_bytes, require_memory
from rlctl_dqn.n_step import NStepReturns, Transition


class Batch(NamedTuple):
    """Transitions: observations (batch, *shape), actions (batch, 1), rewards and terminated (batch,).

    The others are None where they say nothing: `discounts` (batch,) is gamma**k for returns over k steps, `masks` and
    `next_masks` (batch, num_actions) are the allowed actions, `weights` (batch,) are importance weights, and `rows` are
    where the transitions lie in the buffer.
    """

    observations: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    next_observations: torch.Tensor
    terminated: torch.Tensor
    discounts: torch.Tensor | None = None
    masks: torch.Tensor | None = None
    next_masks: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    rows: NDArray[np.int64] | None = None


class ReplayBuffer:
    """The last `capacity` transitions. `next_observation` is the true one, also where the episode ended.

    With `n_step` over 1 transitions are of up to so many steps. `masked_actions` is the number of actions where the
    environment says which of them are allowed. Raises RlctlError, in bytes, when that is more memory than there is.
    """

    def __init__(
        self,
        capacity: int,
        shape: int | Sequence[int],
        device: torch.device,
        *,
        dtype: str = "float32",
        n_step: int = 1,
        gamma: float = 1.0,
        masked_actions: int | None = None,
    ) -> None:
        self.capacity = capacity
        self.size = 0
        self._next = 0
        self._device = device
        self._n_step = NStepReturns(n_step, gamma) if n_step > 1 else None
        self._masked = masked_actions is not None
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        kinds: dict[str, tuple[tuple[int, ...], str]] = {
            "_observations": (shape, dtype),
            "_next_observations": (shape, dtype),
            "_actions": ((1,), "int64"),
            "_rewards": ((), "float32"),
            "_terminated": ((), "float32"),
        }
        if self._n_step is not None:
            kinds["_discounts"] = ((), "float32")
        if masked_actions is not None:
            kinds["_masks"] = kinds["_next_masks"] = ((masked_actions,), "bool")
        self._names = tuple(kinds)
        row = sum(math.prod(inner) * np.dtype(kind).itemsize for inner, kind in kinds.values())
        hint = f"Set hyperparameters.buffer_size, {capacity}, lower."
        require_memory(
            f"a replay buffer of {capacity} transitions",
            capacity * row + self._extra_bytes(capacity),
            available_bytes(),
            hint,
        )
        self._observations: NDArray[Any]
        self._next_observations: NDArray[Any]
        self._actions: NDArray[np.int64]
        self._rewards: NDArray[np.float32]
        self._terminated: NDArray[np.float32]
        for name, (inner, kind) in kinds.items():
            setattr(self, name, np.zeros((capacity, *inner), kind))

    def _extra_bytes(self, capacity: int) -> int:
        """Return what there is beside the rows of the transitions."""
        return 0

    def add(
        self,
        observation: NDArray[Any],
        action: int,
        reward: float,
        next_observation: NDArray[Any],
        terminated: bool,
        *,
        truncated: bool = False,
        env_index: int = 0,
        mask: NDArray[np.bool_] | None = None,
        next_mask: NDArray[np.bool_] | None = None,
    ) -> None:
        """Store one transition over the oldest; of returns over n steps, those that are complete with it."""
        transition = Transition(observation, action, reward, next_observation, terminated, 1.0, mask, next_mask)
        if self._n_step is None:
            self._store(transition)
            return
        for complete in self._n_step.add(transition, env_index, ended=terminated or truncated):
            self._store(complete)

    def drop(self, env_index: int) -> None:
        """Forget what is pending of an environment, as what follows is not to be learned from."""
        if self._n_step is not None:
            self._n_step.drop(env_index)

    def _store(self, transition: Transition) -> int:
        """Store a complete transition; returns where."""
        at = self._next
        self._observations[at] = transition.observation
        self._actions[at, 0] = transition.action
        self._rewards[at] = transition.reward
        self._next_observations[at] = transition.next_observation
        self._terminated[at] = transition.terminated
        if self._n_step is not None:
            self._discounts[at] = transition.discount  # type: ignore[attr-defined]
        if self._masked:
            self._masks[at] = True if transition.mask is None else transition.mask  # type: ignore[attr-defined]
            self._next_masks[at] = True if transition.next_mask is None else transition.next_mask  # type: ignore[attr-defined]
        self._next = (at + 1) % self.capacity
        self.size = min(self.size + 1, self.capacity)
        return at

    def sample(self, batch_size: int, generator: np.random.Generator, importance: float = 0.0) -> Batch:
        """Return transitions drawn uniformly with replacement, which need no importance weights."""
        return self._batch(generator.integers(0, self.size, batch_size))

    def set_priorities(self, rows: NDArray[np.int64], errors: NDArray[np.float32]) -> None:
        """Take notice of the errors of transitions: a uniform buffer does not."""

    def _batch(self, rows: NDArray[np.int64], weights: NDArray[np.float32] | None = None) -> Batch:
        taken = {name: self._to_device(getattr(self, name).take(rows, axis=0)) for name in self._names}
        return Batch(
            **{name[1:]: tensor for name, tensor in taken.items()},
            weights=None if weights is None else self._to_device(weights),
            rows=rows,
        )

    def state(self) -> dict[str, Any]:
        """Return the transitions held, the place of the next one and what is pending, as data."""
        arrays = {name: getattr(self, name)[: self.size] for name in self._names}
        pending = None if self._n_step is None else self._n_step.state()
        return {"size": self.size, "next": self._next, "capacity": self.capacity, "pending": pending, **arrays}

    def set_state(self, state: dict[str, Any]) -> None:
        """Become what `state` returned; raises ValueError for one of another capacity."""
        if state["capacity"] != self.capacity:
            raise ValueError(f"the saved buffer holds {state['capacity']} transitions, this one {self.capacity}")
        self.size, self._next = state["size"], state["next"]
        for name in self._names:
            getattr(self, name)[: self.size] = state[name]
        if self._n_step is not None:
            self._n_step.set_state(state["pending"])

    def _to_device(self, array: NDArray[Any]) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(self._device)
