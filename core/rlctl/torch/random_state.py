"""Every global generator a training draws from, as data: Python's, numpy's, torch's on CPU and on CUDA."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed all global generators of this process."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries draw from the global one
    torch.manual_seed(seed)


def random_states() -> dict[str, Any]:
    """Return the states of all global generators of this process."""
    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002 - libraries draw from the global one
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if cuda else [],
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Put all global generators into the states that `random_states` returned."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(states["torch"].cpu())
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])


@contextlib.contextmanager
def preserved_random_states(seed: int | None = None) -> Iterator[None]:
    """Leave all global generators as they were: for what must not disturb a training, an evaluation say.

    With a `seed` they are seeded by it meanwhile.
    """
    states = random_states()
    try:
        if seed is not None:
            seed_everything(seed)
        yield
    finally:
        set_random_states(states)
