"""The agent as one network, from what the environment gives to the action that it takes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from rlctl import Network, NotAvailableError
from rlctl.gym.environments import make_env
from rlctl.torch.export import detached
from rlctl_dqn.agent import Agent
from rlctl_dqn.observations import Layout, MaskMemory
from rlctl_dqn.targets import masked


class DqnNetwork(nn.Module):
    """Flattens what is no array, as `make_observed` does, asks the online network, and takes the best allowed action.

    Takes observations, (batch, ...) or a dict of such, and masks, (batch, num_actions). Returns actions, (batch,), and
    action values, (batch, num_actions).
    """

    def __init__(self, agent: Agent, layout: Layout, first_action: int, space: spaces.Space[Any]) -> None:
        super().__init__()
        self.online = detached(agent.online)
        self._objective = copy.deepcopy(agent.objective)
        self._dtype = torch.uint8 if layout.dtype == "uint8" else torch.float32
        self._first_action = first_action
        self._space = space
        self._is_array = isinstance(space, spaces.Box) and bool(space.shape)

    def forward(self, observations: Any, masks: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        seen = observations if self._is_array else _flat(observations, self._space)
        values = self._objective.values(self.online(seen.to(self._dtype)))
        return masked(values, masks).argmax(dim=1) + self._first_action, values


def network_of(agent: Agent, layout: Layout, first_action: int, env: Mapping[str, Any]) -> Network:
    """Return the agent as a network for environments of the `env` mapping.

    Raises NotAvailableError for observations that are neither an array nor a dictionary of arrays.
    """
    made = _raw(env)
    try:
        space = made.observation_space
        _require_flat(space)
        made.reset(seed=0)
        says_what_is_allowed = made.mask is not None
    finally:
        made.close()

    def act(observations: Any, masks: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        is_array = isinstance(space, spaces.Box) and bool(space.shape)
        seen = observations if is_array else _flattened(observations, space)
        return agent.greedy(np.asarray(seen, layout.dtype), masks) + first_action

    return Network(
        module=DqnNetwork(agent, layout, first_action, space),
        make_env=_raw,
        act=act,
        scores="q_values",
        first_action=first_action,
        mask=(lambda env: env.mask) if says_what_is_allowed else None,
    )


def _raw(env: Mapping[str, Any], **kwargs: Any) -> MaskMemory:
    """Return the environment with its observations as they are."""
    return MaskMemory(make_env(env, **kwargs))


def _require_flat(space: spaces.Space[Any]) -> None:
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    if any(isinstance(part, (spaces.Dict, spaces.Tuple)) for part in parts):
        raise NotAvailableError(f"its observations, {space}, are neither an array nor a dictionary of arrays.")


def _flattened(observations: Any, space: spaces.Space[Any]) -> NDArray[Any]:
    """Return what FlattenObservation makes of each of the observations, (batch, size)."""
    if isinstance(space, spaces.Dict):
        rows = [dict(zip(observations, values, strict=True)) for values in zip(*observations.values(), strict=True)]
    else:
        rows = list(observations)
    return np.stack([np.asarray(gymnasium.spaces.flatten(space, row)) for row in rows])


def _flat(observations: Any, space: spaces.Space[Any]) -> torch.Tensor:
    """Return the same of tensors: a Discrete as one-hot, all parts of a Dict end to end, in float32."""
    if isinstance(space, spaces.Dict):
        return torch.cat([_flat(observations[name], part) for name, part in space.spaces.items()], dim=1)
    if isinstance(space, spaces.Discrete):
        return _one_hot(observations, int(space.start), int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        columns = observations.flatten(1).unbind(dim=1)
        sizes, starts = space.nvec.ravel().tolist(), space.start.ravel().tolist()
        hot = [_one_hot(column, start, size) for column, start, size in zip(columns, starts, sizes, strict=True)]
        return torch.cat(hot, dim=1)
    flat: torch.Tensor = observations.reshape(observations.shape[0], -1).float()
    return flat


def _one_hot(numbers: torch.Tensor, start: int, size: int) -> torch.Tensor:
    return F.one_hot(numbers.long() - start, size).float()
