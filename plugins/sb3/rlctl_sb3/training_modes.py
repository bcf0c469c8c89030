"""Switches SB3's networks between training and acting without walking through all their modules each time.

SB3 switches before each action that it predicts, and `torch.nn.Module.train` takes 70 microseconds for a small network: an
eighth of the time of a DQN. What is set, and every number that is computed, is the same.
"""

from __future__ import annotations

import torch
from stable_baselines3.common.policies import BaseModel

_MODULES = "_rlctl_modules"
_walk_through = BaseModel.set_training_mode


def switch_modes_quickly() -> None:
    """Replace SB3's way in all networks of this process."""
    BaseModel.set_training_mode = _set_training_mode  # type: ignore[method-assign]


def _set_training_mode(self: BaseModel, mode: bool) -> None:
    """Set the mode of a network that SB3 has built to its end; SB3 adds no module to one afterwards."""
    modules: list[torch.nn.Module] | None = self.__dict__.get(_MODULES)
    if modules is None:
        # Of the network itself, so that a copy of it has the copies of these.
        modules = self.__dict__[_MODULES] = list(self.modules()) if _is_plain(self) else []
    if not modules:
        _walk_through(self, mode)
    for module in modules:
        module.__dict__["training"] = mode


def _is_plain(model: BaseModel) -> bool:
    """Return whether no module does more than to note the mode when it is switched."""
    return all(type(module).train is torch.nn.Module.train for module in model.modules())
