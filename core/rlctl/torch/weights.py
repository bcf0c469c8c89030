"""Weights from elsewhere into a network: all of them fit, or none is taken and what differs is named."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rlctl.errors import RlctlError

_SHOWN = 20
"""Differences that a message names; there are hundreds where the networks have nothing in common."""


def take_weights(modules: Mapping[str, nn.Module], tensors: Mapping[str, torch.Tensor], source: Path) -> None:
    """Give each module its tensors, named "module/parameter"; raises RlctlError, naming what differs, before any is given."""
    own = {f"{name}/{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    wrong = [f"{name} is missing" for name in own if name not in tensors]
    wrong += [f"{name} is unknown" for name in tensors if name not in own]
    wrong += [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(value.shape)}"
        for name, value in own.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise RlctlError(
            f"the weights in {source} are of another network: {'; '.join(wrong[:_SHOWN])}{more}.",
            hint="Algorithm, network settings and spaces must be those that the weights were trained with.",
        )
    for name, module in modules.items():
        prefix = f"{name}/"
        module.load_state_dict({key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)})


def read_torch_file(file: Any, path: Path, trust: bool) -> Any:
    """Return what `torch.save` wrote to `file`, on the CPU; only with `trust` may that be anything but tensors and containers.

    Raises RlctlError when it is no such file, or needs trust: unpickling runs whatever code is in a file.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        if trust:
            raise RlctlError(f"{path} cannot be read: {error}") from error
        raise RlctlError(
            f"{path} can only be read by unpickling, which runs whatever code is in it.",
            hint="If you know where it comes from: --trust.",
        ) from error
    except Exception as error:  # of a torn file, or one whose classes are not here, the reader may raise anything
        raise RlctlError(f"{path} cannot be read as a file of PyTorch's: {type(error).__name__}: {error}") from error
