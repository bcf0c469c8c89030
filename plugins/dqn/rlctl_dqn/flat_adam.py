"""Adam over one flat memory of parameters, by PyTorch's fused kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from rlctl_dqn.config import DqnHyperparameters
from rlctl_dqn.flat_mlp import Floats


class FlatAdam:
    """Takes the place of `torch.optim.Adam` for who has the gradient in a flat memory, too."""

    def __init__(self, parameters: Floats, gradient: Floats, settings: DqnHyperparameters) -> None:
        self._parameters, self._gradient = [torch.from_numpy(parameters)], [torch.from_numpy(gradient)]
        self._first, self._second = [torch.zeros_like(self._parameters[0])], [torch.zeros_like(self._parameters[0])]
        self._count = np.zeros(1, np.float32)  # numpy's, as it adds at a fraction of what an operation of PyTorch costs
        self._steps = [torch.from_numpy(self._count)[0]]
        self._arguments: dict[str, Any] = {
            "lr": settings.learning_rate, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0,
            "eps": settings.optimizer_epsilon, "amsgrad": False, "maximize": False,
        }  # fmt: skip

    def step(self) -> None:
        """Take a step along the gradient that is in the memory now."""
        self._count[0] += 1
        torch._fused_adam_(
            self._parameters, self._gradient, self._first, self._second, [], self._steps, **self._arguments
        )

    def state_dict(self) -> dict[str, Any]:
        """Return everything as data."""
        return {"step": self._steps[0], "exp_avg": self._first[0], "exp_avg_sq": self._second[0]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become what `state_dict` returned."""
        for own, name in ((self._steps, "step"), (self._first, "exp_avg"), (self._second, "exp_avg_sq")):
            own[0].copy_(state[name])
