"""Imports and tries out what trainings need, in the warm process from which `rlctl` forks many of them."""

from __future__ import annotations

import torch

import rlctl_dqn.worker  # noqa: F401 - and with it all that a training is made of
from rlctl.gym.environments import import_environments
from rlctl.torch.devices import limit_threads
from rlctl.torch.random_state import preserved_random_states


def warm_up() -> None:
    """Learn for a moment, as PyTorch imports a part of itself, and makes more ready, when that is first needed."""
    import_environments({})
    limit_threads(1)
    with preserved_random_states(0):
        network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        optimizer = torch.optim.Adam(network.parameters())
        loss = torch.nn.functional.smooth_l1_loss(network(torch.zeros(8, 4)), torch.zeros(8, 2))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
