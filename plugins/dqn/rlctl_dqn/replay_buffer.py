"""Replay: a ring of the last transitions, from which batches are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from rlctl import RlctlError
from rlctl_dqn.device_copy import has_room
from rlctl_dqn.frame_storage import FrameStorage
from rlctl_dqn.memory import available_bytes, require_memory
from rlctl_dqn.n_step import NStepReturns, Transition
from rlctl_dqn.storage import Batch, ColumnStorage, PackedStorage, Rows, Steps, Storage


class Drawn(NamedTuple):
    """Where the transitions of a batch lie, (batch,), and their importance weights (batch,), None if all are equal."""

    rows: Rows
    weights: NDArray[np.float32] | None = None


class ReplayBuffer:
    """The last `capacity` transitions. `next_observation` is the true one, also where the episode ended.

    With `n_step` over 1 transitions are of up to so many steps. `frames` is how many frames of uint8 an observation is a
    stack of, along its first axis, None if it is none; what stacks share is kept once. `masked_actions` is the number of
    actions where the environment says which of them are allowed, `caches_targets` is `PackedStorage`'s. Raises
    RlctlError, in bytes, when that is more memory than there is.
    """

    def __init__(
        self,
        capacity: int,
        shape: int | Sequence[int],
        device: torch.device,
        *,
        gamma: float,
        dtype: str = "float32",
        frames: int | None = None,
        n_step: int = 1,
        masked_actions: int | None = None,
        caches_targets: bool = False,
    ) -> None:
        self.capacity = capacity
        self.size = 0
        self._next = 0
        self._device = device
        self._gamma = gamma
        self._n_step = NStepReturns(n_step, gamma) if n_step > 1 else None
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.storage: Storage
        if frames is not None:
            self.storage = FrameStorage(capacity, shape, n_step=n_step, num_masked=masked_actions)
        elif dtype == "float32":
            self.storage = PackedStorage(capacity, shape, num_masked=masked_actions, caches_targets=caches_targets)
        else:
            self.storage = ColumnStorage(capacity, shape, dtype, num_masked=masked_actions)
        self.has_masks = masked_actions is not None
        needed = capacity * self.storage.row_bytes + self._extra_bytes(capacity)
        hint = f"Set hyperparameters.buffer_size, {capacity}, lower."
        require_memory(f"a replay buffer of {capacity} transitions", needed, available_bytes(), hint)
        self.storage.allocate()
        self.place = "the host's"
        """Whose memory batches are taken from, in words."""
        if has_room(device, needed):
            self.storage.copy_to(device)
            self.place = "the device's"

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
        truncated: bool = False,
        env_index: int = 0,
        mask: NDArray[np.bool_] | None = None,
        next_mask: NDArray[np.bool_] | None = None,
    ) -> None:
        """Store one transition over the oldest; of returns over n steps, those that are complete with it."""
        bootstrap = 0.0 if terminated else self._gamma
        write = self.storage.write
        if self._n_step is None:  # the most common: no object is made of it
            write(self._next, env_index, observation, action, reward, next_observation, bootstrap, mask, next_mask)
            self._advance(1)
            return
        transition = Transition(observation, action, reward, next_observation, bootstrap, mask, next_mask)
        for complete in self._n_step.add(transition, env_index, ended=terminated or truncated):
            write(self._next, env_index, *complete)
            self._advance(1)

    def add_many(self, steps: Steps) -> None:
        """Store steps in their order, in a buffer of vectors, of one step, without masks."""
        fits = self.capacity - self._next
        while len(steps.actions) > fits:
            self._add_here(steps.part(slice(fits)))
            steps = steps.part(slice(fits, None))
            fits = self.capacity
        self._add_here(steps)

    def _add_here(self, steps: Steps) -> None:
        if len(steps.actions):
            cast("PackedStorage", self.storage).write_many(self._next, steps, self._gamma)
            self._advance(len(steps.actions))

    def drop(self, env_index: int) -> None:
        """Forget what is pending of an environment, as what follows is not to be learned from."""
        if self._n_step is not None:
            self._n_step.drop(env_index)

    def _advance(self, count: int) -> None:
        """Count so many transitions that have been written where the next ones go."""
        self._next = (self._next + count) % self.capacity
        self.size = min(self.size + count, self.capacity)

    def newest(self, count: int) -> Rows:
        """Return where the `count` transitions lie that were stored last, in their order, (count,).

        Of more than there are, the places before them.
        """
        return np.arange(self._next - count, self._next) % self.capacity

    def draw(self, uniforms: NDArray[np.float64], importance: float = 0.0) -> Drawn:
        """Return where the transitions for numbers from [0, 1), (batch,), lie: uniformly, with replacement.

        They need no importance weights.
        """
        return Drawn((uniforms * self.size).astype(np.int64))

    def batch(self, drawn: Drawn) -> Batch:
        """Return transitions on the device."""
        return self.storage.batch(drawn.rows, self._device, drawn.weights)

    def set_priorities(self, rows: Rows, errors: NDArray[np.float32]) -> None:
        """Take notice of the errors of transitions: a uniform buffer does not."""

    def state(self) -> dict[str, Any]:
        """Return the transitions held, the place of the next one and what is pending, as data."""
        pending = None if self._n_step is None else self._n_step.state()
        return {
            "size": self.size, "next": self._next, "capacity": self.capacity, "pending": pending,
            "shapes": self.storage.shapes, "arrays": self.storage.state(self.size),
        }  # fmt: skip

    def set_state(self, state: dict[str, Any]) -> None:
        """Become what `state` returned; raises RlctlError for a buffer of another capacity or of other contents."""
        own, saved = self.storage.shapes, state["shapes"]
        if state["capacity"] != self.capacity or saved != own:
            raise RlctlError(
                f"the checkpoint's replay buffer is another one: {state['capacity']} transitions of "
                f"{_words(saved)}, here {self.capacity} of {_words(own)}.",
                hint="Resume with the settings of the replay buffer that the run had.",
            )
        self.size, self._next = state["size"], state["next"]
        self.storage.set_state(state["arrays"])
        if self._n_step is not None:
            self._n_step.set_state(state["pending"])


def _words(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())
