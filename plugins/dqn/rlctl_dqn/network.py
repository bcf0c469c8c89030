"""The Q-network: a multi-layer perceptron from observations to one value per action."""

from __future__ import annotations

import torch
from torch import nn

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU, "silu": nn.SiLU}


class QNetwork(nn.Module):
    """Maps observations, (batch, observation_size) float32, to action values, (batch, num_actions) float32."""

    def __init__(self, observation_size: int, num_actions: int, hidden_sizes: list[int], activation: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        size = observation_size
        for width in hidden_sizes:
            layers += [nn.Linear(size, width), _ACTIVATIONS[activation]()]
            size = width
        self.layers = nn.Sequential(*layers, nn.Linear(size, num_actions))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.layers(observations)
        return values
