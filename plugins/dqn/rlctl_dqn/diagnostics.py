"""What a look at the networks tells while they learn: errors, values, the gradient and dormant units, of one batch.

Nothing is changed by it: no parameter, no gradient, no mode, no generator. A training goes on as if nobody had looked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from rlctl_dqn.agent import Agent
from rlctl_dqn.objectives import Learned
from rlctl_dqn.storage import Batch

DORMANT = 0.025
"""Share of its layer's mean activity up to which a unit is dormant: tau of Sokar et al. 2023."""

_ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.ELU, nn.SiLU, nn.GELU, nn.LeakyReLU, nn.Sigmoid)
"""Modules whose outputs are hidden units: those that a configuration names, and some that extractors of one's own use."""


def diagnose(agent: Agent, batch: Batch) -> dict[str, float]:
    """Return the metrics `diagnostics/...` of the agent on a batch, with both networks as they are without noise.

    The gradient is that of `agent.objective`'s loss, before `max_grad_norm`. Without hidden units there is no share of
    dormant ones.
    """
    online = agent.online
    with _without_noise(online, agent.target), torch.enable_grad():
        learned = agent.objective.learn(online, agent.target, batch)
        found = {**_of_batch(learned), "diagnostics/gradient_norm": _gradient_norm(learned.loss, online)}
        dormant = dormant_share(online, batch.observations)
    if dormant is not None:
        found["diagnostics/dormant_share"] = dormant
    numbers = torch.stack(list(found.values())).tolist()  # all at once, as each number would wait for a GPU
    return dict(zip(found, numbers, strict=True))


@torch.no_grad()
def dormant_share(network: nn.Module, observations: torch.Tensor) -> torch.Tensor | None:
    """Return the share of hidden units that are dormant on observations (batch, *shape), a number; None if there are none.

    By Sokar et al. 2023, "The dormant neuron phenomenon in deep reinforcement learning": those whose mean absolute
    activation over the batch is at most `DORMANT` times the mean of these means over their layer. Each channel of a
    convolution is a unit, with the mean over all places. In a layer where nothing is active every unit is dormant.
    """
    dormant: list[torch.Tensor] = []

    def note(_: nn.Module, __: Any, output: torch.Tensor) -> None:
        activity = output.abs().transpose(0, 1).flatten(1).mean(dim=1)  # (units,)
        dormant.append(activity <= DORMANT * activity.mean())

    hooks = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, _ACTIVATIONS)]
    try:
        network(observations)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(dormant).float().mean() if dormant else None


@contextlib.contextmanager
def _without_noise(*networks: nn.Module) -> Iterator[None]:
    """Put networks into evaluation mode, in which they draw no random numbers, and then each module back into its own."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _of_batch(learned: Learned) -> dict[str, torch.Tensor]:
    errors, values = learned.errors.detach().abs(), learned.values.detach()
    return {
        "diagnostics/td_error_mean": errors.mean(),
        "diagnostics/td_error_std": errors.std(correction=0),
        "diagnostics/td_error_max": errors.max(),
        "diagnostics/q_value_mean": values.mean(),
        "diagnostics/q_value_std": values.std(correction=0),
        "diagnostics/q_value_min": values.min(),
        "diagnostics/q_value_max": values.max(),
    }


def _gradient_norm(loss: torch.Tensor, network: nn.Module) -> torch.Tensor:
    """Return the Euclidean norm over all parameters; what they have as `grad` stays, as an update may still need it."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    # The scales of the noise get no gradient where there is none.
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    norms = [torch.linalg.vector_norm(gradient) for gradient in gradients if gradient is not None]
    norm: torch.Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return norm
