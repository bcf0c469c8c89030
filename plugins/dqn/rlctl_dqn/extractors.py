"""What makes features of observations: the CNNs for images, and classes that a configuration names."""

from __future__ import annotations

import abc
import importlib
import itertools
from collections.abc import Sequence

import torch
from torch import nn

from rlctl import RlctlError

SMALLEST_IMAGE = 36
"""Height and width below which the Nature CNN has nothing left."""


def is_image(shape: Sequence[int], dtype: str) -> bool:
    """Return whether observations are bytes in two or more dimensions that the CNNs can be laid over."""
    return dtype == "uint8" and 2 <= len(shape) <= 4 and min(_planes(shape)[1:]) >= SMALLEST_IMAGE


def make_extractor(name: str, shape: Sequence[int], dtype: str) -> nn.Module | None:
    """Return the module for `extractor: name`, with an attribute `features`; None for mlp, which only flattens.

    Raises RlctlError for images that are too small, and for a class that is not there or is no module.
    """
    if name == "auto":
        name = "nature" if is_image(shape, dtype) else "mlp"
    if name == "mlp":
        return None
    if name not in CNNS:
        return _named(name, shape)
    if not 2 <= len(shape) <= 4 or (name == "nature" and min(_planes(shape)[1:]) < SMALLEST_IMAGE):
        raise RlctlError(
            f"extractor {name} cannot be laid over observations of shape {tuple(shape)}.", hint="Set extractor to mlp."
        )
    return CNNS[name](shape)


def _named(name: str, shape: Sequence[int]) -> nn.Module:
    module_name, _, attribute = name.partition(":")
    try:
        made = getattr(importlib.import_module(module_name), attribute)(tuple(shape))
    except Exception as error:
        message = (
            f"hyperparameters.extractor: {name} cannot be made for {tuple(shape)}: {type(error).__name__}: {error}"
        )
        raise RlctlError(message) from error
    if not isinstance(made, nn.Module) or not isinstance(getattr(made, "features", None), int):
        raise RlctlError(f"hyperparameters.extractor: {name} makes no torch.nn.Module with a number of `features`.")
    return made


def _channel_axis(shape: Sequence[int]) -> int:
    """Return which of three dimensions has the channels: the last one, unless the first is the smaller."""
    return 0 if shape[-3] < shape[-1] else 2


def _planes(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return (channels, height, width): of (h, w), (h, w, c), (c, h, w), and of stacked frames (k, h, w, c), (k, c, h, w)."""
    if len(shape) == 2:
        return 1, shape[0], shape[1]
    frames = shape[0] if len(shape) == 4 else 1
    first, second, third = shape[-3:]
    if _channel_axis(shape) == 0:
        return frames * first, second, third
    return frames * third, first, second


class _Cnn(nn.Module, abc.ABC):
    """Brings images into the form that convolutions want: channels first, from 0 to 1."""

    features: int

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self._planes = _planes(shape)
        self._channels_last = len(shape) > 2 and _channel_axis(shape) == 2
        self.layers = self.make(self._planes[0]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.no_grad():
            self.features = int(self.layers(torch.zeros(1, *self._planes)).shape[1])

    @staticmethod
    @abc.abstractmethod
    def make(channels: int) -> nn.Sequential:
        """Return the layers for images of so many channels."""

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        images = observations.movedim(-1, -3) if self._channels_last else observations
        images = images.reshape(images.shape[0], *self._planes)  # not len(), which a trace takes for a constant
        # While they are bytes, to lay them out as convolutions are fastest costs least.
        features: torch.Tensor = self.layers(scaled(images.contiguous(memory_format=torch.channels_last)))
        return features


class NatureCnn(_Cnn):
    """The convolutions of Mnih et al. 2015, "Human-level control through deep reinforcement learning"."""

    @staticmethod
    def make(channels: int) -> nn.Sequential:
        """Return its three convolutions."""
        return nn.Sequential(
            nn.Conv2d(channels, 32, 8, stride=4), nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(inplace=True),
            nn.Conv2d(64, 64, 3, stride=1), nn.ReLU(inplace=True),
            nn.Flatten(),
        )  # fmt: skip


class ImpalaCnn(_Cnn):
    """The residual network of Espeholt et al. 2018, "IMPALA", in its small form: 16, 32 and 32 channels."""

    @staticmethod
    def make(channels: int) -> nn.Sequential:
        """Return its three sections."""
        widths = (channels, 16, 32, 32)
        sections = [
            nn.Sequential(
                nn.Conv2d(before, after, 3, padding=1),
                nn.MaxPool2d(3, stride=2, padding=1),
                _Residual(after),
                _Residual(after),
            )
            for before, after in itertools.pairwise(widths)
        ]
        return nn.Sequential(*sections, nn.ReLU(), nn.Flatten())


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.activation = nn.ReLU()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = self.second(self.activation(self.first(self.activation(images))))
        return images + added


CNNS: dict[str, type[_Cnn]] = {"nature": NatureCnn, "impala": ImpalaCnn}


def scaled(observations: torch.Tensor) -> torch.Tensor:
    """Return observations as float32, bytes from 0 to 1."""
    return observations.float().div_(255.0) if observations.dtype == torch.uint8 else observations
