"""Features extractors that a configuration names, beside SB3's own: a residual network for vectors, a CNN for small images."""

from __future__ import annotations

import math

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn


class ResnetMLP(BaseFeaturesExtractor):
    """Linear, two residual blocks, linear, each with a LeakyReLU (He et al. 2016, "Deep residual learning", for vectors).

    Takes a Box of any shape, (batch, *shape), laid flat; `hidden_dim` is the width of the blocks, that of the features if
    it is not given. Returns (batch, features_dim).
    """

    def __init__(self, observation_space: spaces.Box, features_dim: int = 128, hidden_dim: int | None = None) -> None:
        super().__init__(observation_space, features_dim)
        width = features_dim if hidden_dim is None else hidden_dim
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(observation_space.shape), width), nn.LeakyReLU(),
            ResidualBlock(width),
            ResidualBlock(width),
            nn.Linear(width, features_dim), nn.LeakyReLU(),
        )  # fmt: skip

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.layers(observations)
        return features


class ResidualBlock(nn.Module):
    """Linear, LeakyReLU, linear; added to what came in; LeakyReLU. (batch, width) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.activation = nn.LeakyReLU()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = self.second(self.activation(self.first(inputs)))
        activated: torch.Tensor = self.activation(inputs + added)
        return activated


class SmallCNN(BaseFeaturesExtractor):
    """Three convolutions of 2x2 without stride, for grids from 4x4 on, such as 7x7x3, where SB3's NatureCNN has nothing left.

    Takes images (batch, channels, height, width); SB3 lays images with channels last so by itself. Bytes come divided by
    255, as for every extractor of SB3. Returns (batch, features_dim).
    """

    def __init__(self, observation_space: spaces.Box, features_dim: int = 128) -> None:
        super().__init__(observation_space, features_dim)
        if len(observation_space.shape) != 3 or min(observation_space.shape[1:]) < 4:
            raise ValueError(
                f"small_cnn takes images of (channels, height, width), at least 4x4, not {observation_space.shape}"
            )
        self.convolutions = nn.Sequential(
            nn.Conv2d(observation_space.shape[0], 16, 2), nn.ReLU(),
            nn.Conv2d(16, 32, 2), nn.ReLU(),
            nn.Conv2d(32, 64, 2), nn.ReLU(),
            nn.Flatten(),
        )  # fmt: skip
        with torch.no_grad():
            size = self.convolutions(torch.zeros(1, *observation_space.shape)).shape[1]
        self.linear = nn.Sequential(nn.Linear(size, features_dim), nn.ReLU())

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.linear(self.convolutions(observations))
        return features
