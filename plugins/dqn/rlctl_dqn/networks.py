"""The networks: features of the observation, hidden layers, and a head of values, of streams, with noise or without."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from rlctl_dqn.config import DqnHyperparameters
from rlctl_dqn.extractors import CNNS, make_extractor, scaled

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU, "silu": nn.SiLU}

Linear = Callable[[int, int], nn.Module]


class NoisyLinear(nn.Module):
    """A linear layer with factorised Gaussian noise (Fortunato et al. 2018, "Noisy networks for exploration").

    In training mode each pass draws new noise, one for the whole batch; in evaluation mode there is none. Nothing but the
    parameters is kept, so a generator's state is all that a resumed training needs.
    """

    def __init__(self, inputs: int, outputs: int, sigma: float = 0.5) -> None:
        super().__init__()
        bound, spread = 1.0 / math.sqrt(inputs), sigma / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.weight_sigma = nn.Parameter(torch.full((outputs, inputs), spread))
        self.bias_sigma = nn.Parameter(torch.full((outputs,), spread))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return F.linear(values, self.weight, self.bias)
        outputs, inputs = self.weight.shape
        before, after = self._noise(inputs), self._noise(outputs)
        weight = self.weight + self.weight_sigma * torch.outer(after, before)
        return F.linear(values, weight, self.bias + self.bias_sigma * after)

    def _noise(self, size: int) -> torch.Tensor:
        drawn = torch.randn(size, device=self.weight.device)
        return drawn.sign() * drawn.abs().sqrt()


class Dueling(nn.Module):
    """Streams for the state's value and the actions' advantages (Wang et al. 2016), each with a hidden layer of its own.

    Returns V + A - mean A, (batch, num_actions * width): `width` numbers for each action, atoms or quantiles say.
    """

    def __init__(self, value: nn.Module, advantage: nn.Module, num_actions: int) -> None:
        super().__init__()
        self.value = value
        self.advantage = advantage
        self._num_actions = num_actions

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        value = self.value(features).unsqueeze(1)
        advantage = self.advantage(features).unflatten(1, (self._num_actions, -1))
        combined: torch.Tensor = value + advantage - advantage.mean(dim=1, keepdim=True)
        return combined.flatten(1)


class QNetwork(nn.Module):
    """Maps observations, (batch, *shape), to action values, (batch, num_actions), or with `width` given to
    (batch, num_actions, width): logits of atoms, or quantiles.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_actions: int,
        settings: DqnHyperparameters,
        *,
        dtype: str = "float32",
        width: int | None = None,
    ) -> None:
        super().__init__()
        self._num_actions = num_actions
        self._width = width
        self.extractor = make_extractor(settings.extractor, shape, dtype)
        size = math.prod(shape)
        widths = settings.hidden_sizes
        if self.extractor is not None:
            size = int(self.extractor.features)  # type: ignore[arg-type]
            widths = [settings.features] if isinstance(self.extractor, tuple(CNNS.values())) else []
        self.layers = _layers(size, widths, num_actions, width or 1, settings)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        plain = self.extractor is None
        features = scaled(observations).flatten(1) if plain else self.extractor(observations)  # type: ignore[misc]
        outputs: torch.Tensor = self.layers(features)
        return outputs if self._width is None else outputs.view(-1, self._num_actions, self._width)


def _layers(size: int, widths: Sequence[int], num_actions: int, width: int, settings: DqnHyperparameters) -> nn.Module:
    """Return the hidden layers and the head. Noise and streams begin with the last hidden layer."""
    activation = _ACTIVATIONS[settings.activation]
    head_linear: Linear = NoisyLinear if settings.noisy else nn.Linear
    shared, last = list(widths[:-1]), list(widths[-1:])
    if not settings.dueling and not settings.noisy:
        shared, last = list(widths), []

    def stack(linear: Linear, before: int, hidden: Sequence[int]) -> tuple[list[nn.Module], int]:
        made: list[nn.Module] = []
        for units in hidden:
            made += [linear(before, units), activation()]
            before = units
        return made, before

    def stream(outputs: int) -> list[nn.Module]:
        hidden, before = stack(head_linear, size, last)
        return [*hidden, head_linear(before, outputs)]

    layers, size = stack(nn.Linear, size, shared)
    if settings.dueling:
        streams = nn.Sequential(*stream(width)), nn.Sequential(*stream(num_actions * width))
        return nn.Sequential(*layers, Dueling(*streams, num_actions))
    return nn.Sequential(*layers, *stream(num_actions * width))
