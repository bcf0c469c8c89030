"""A script's policy as one network: what its wrappers do to observations and actions, around the network that acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import nn

from rlctl import Network, NotAvailableError
from rlctl.gym.env_state import links
from rlctl.torch.export import detached
from rlctl_cleanrl.shims.wrappers import ClipAction, NormalizeObservation, TransformObservation

_FOLDED = (NormalizeObservation, TransformObservation, ClipAction)
"""Wrappers whose work the network takes over; the environment is then without them."""

_PROBES = 1000
"""Numbers by which a function is recognised as one that clips."""

Greedy = Callable[[str, nn.Module, torch.Tensor], torch.Tensor]
"""Takes what the script calls its network, the network and observations; returns the greedy actions."""


@frozen
class _Step:
    """One thing that a wrapper does to observations: as its own code does it, and the same on tensors."""

    own: Callable[[Any], Any]
    same: Callable[[torch.Tensor], torch.Tensor]


class ScriptNetwork(nn.Module):
    """Takes observations, (batch, ...), as the environment gives them below the folded wrappers.

    Returns the actions and, where they are chosen by the values of a q_network, these as well.
    """

    low: torch.Tensor
    high: torch.Tensor

    def __init__(self, name: str, network: nn.Module, greedy: Greedy, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__()
        self.acting = detached(network)
        self._name, self._greedy = name, greedy
        self._before = steps_of(env)
        self._values = name == "q_network" and not hasattr(network, "get_action")
        self._clips = any(isinstance(link, ClipAction) for link in links(env))
        if self._clips:
            space: Any = env.action_space
            self.register_buffer("low", torch.from_numpy(space.low))
            self.register_buffer("high", torch.from_numpy(space.high))

    @property
    def scores(self) -> str | None:
        """What the values are called that actions are chosen by; None where the script does not give them."""
        return "q_values" if self._values else None

    def forward(self, observations: torch.Tensor) -> Any:
        seen = observations
        for step in self._before:
            seen = step.same(seen)
        seen = seen.float()
        if self._values:
            values = action_values(self.acting, seen)
            return values.argmax(dim=1), values
        actions = self._greedy(self._name, self.acting, seen)
        return torch.maximum(torch.minimum(actions, self.high), self.low) if self._clips else actions


def network_of(
    name: str,
    network: nn.Module,
    greedy: Greedy,
    make_env: Callable[..., gymnasium.Env[Any, Any]],
    act: Callable[[Any], Any],
    env: Mapping[str, Any],
) -> Network:
    """Return a script's network for environments of the `env` mapping.

    `make_env` and `act` are the policy's, with all wrappers. Raises NotAvailableError for a network with a memory, and for a
    wrapper that changes observations in a way that is not known.
    """
    if hasattr(network, "lstm"):
        raise NotAvailableError(
            "its policy remembers earlier observations, and a network that maps one observation to one action does not."
        )
    made = make_env(env)
    try:
        module = ScriptNetwork(name, network, greedy, made)
        before = steps_of(made)
        clip = next((link for link in links(made) if isinstance(link, ClipAction)), None)
    finally:
        made.close()

    def in_its_own_way(observations: NDArray[Any]) -> NDArray[Any]:
        seen = observations
        for step in before:
            seen = np.stack([step.own(one) for one in seen])
        actions: NDArray[Any] = act(seen)
        space: Any = None if clip is None else clip.action_space
        return actions if space is None else np.clip(actions, space.low, space.high)

    return Network(
        module=module,
        make_env=lambda env, **kwargs: _without_folded(make_env(env, **kwargs)),
        act=in_its_own_way,
        scores=module.scores,
    )


def action_values(network: Any, observations: torch.Tensor) -> torch.Tensor:
    """Return the values of actions, (batch, num_actions), by a network of values or of distributions of values."""
    values: torch.Tensor = network(observations)
    if values.ndim == 3:  # (batch, actions, atoms), as in rainbow
        values = (values * network.support).sum(dim=2)
    return values


def steps_of(env: gymnasium.Env[Any, Any]) -> list[_Step]:
    """Return what wrappers do to observations that the network takes over, the innermost first."""
    found = [link for link in links(env) if isinstance(link, (NormalizeObservation, TransformObservation))]
    return [_normalizing(link) if isinstance(link, NormalizeObservation) else _clipping(link) for link in found[::-1]]


def _normalizing(wrapper: NormalizeObservation) -> _Step:
    mean = torch.as_tensor(wrapper.obs_rms.mean, dtype=torch.float64)
    deviation = torch.as_tensor(np.sqrt(wrapper.obs_rms.var + wrapper.epsilon), dtype=torch.float64)
    return _Step(wrapper.normalize, lambda observations: (observations.double() - mean) / deviation)


def _clipping(wrapper: TransformObservation) -> _Step:
    """Return the step of a function that clips, which is what scripts do; it is recognised by what it does to numbers."""
    ends = np.array([-1e30, 1e30])
    numbers = np.concatenate([np.random.default_rng(0).normal(scale=30.0, size=_PROBES), ends])
    low, high = (float(end) for end in np.asarray(wrapper.f(ends)))
    if not np.array_equal(wrapper.f(numbers), np.clip(numbers, low, high)):
        raise NotAvailableError("its script changes observations by a function that does more than to clip them.")
    return _Step(wrapper.f, lambda observations: observations.clamp(low, high))


def _without_folded(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """Return the environment without the wrappers whose work the network does."""
    while isinstance(env, _FOLDED):
        env = env.env
    for link in links(env):
        while isinstance(getattr(link, "env", None), _FOLDED):
            link.env = link.env.env
    return env
