"""The agent for what is most common, a ReLU network trained on the TD error with Adam on a CPU: the same numbers, faster.

Parameters of both networks are flat memories (`flat_mlp.py`), the gradient is written by hand, Adam is one fused call.
`DqnAgent` is the reference that a test holds it to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlctl_dqn.agent import DqnAgent, Update
from rlctl_dqn.config import DqnHyperparameters
from rlctl_dqn.flat_mlp import FlatMlp, Floats, Workspace
from rlctl_dqn.replay_buffer import Batch


def why_not_fast(settings: DqnHyperparameters, device: torch.device, dtype: str, masked: bool) -> str | None:
    """Return what the fast agent does not do of what is asked for; None when it does all of it."""
    asked = {
        "a distribution": settings.distribution != "none",
        "dueling": settings.dueling,
        "noisy": settings.noisy,
        "munchausen": settings.munchausen,
        f"the optimizer {settings.optimizer}": settings.optimizer != "adam" or settings.weight_decay != 0.0,
        "max_grad_norm": settings.max_grad_norm is not None,
        f"the activation {settings.activation}": settings.activation != "relu",
        f"the extractor {settings.extractor}": settings.extractor not in ("auto", "mlp"),
        f"the device {device}": device.type != "cpu",
        f"observations of {dtype}": dtype != "float32",
        "masks of actions": masked,
    }
    return next((what for what, is_asked in asked.items() if is_asked), None)


class FastAgent(DqnAgent):
    """`DqnAgent` with both networks in flat memories; `why_not_fast` says what it cannot do."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        linear = [module for module in self.online.modules() if isinstance(module, torch.nn.Linear)]
        sizes = [linear[0].in_features, *(layer.out_features for layer in linear)]
        self._online, self._target = FlatMlp(sizes), FlatMlp(sizes)
        self._online.adopt(self.online)
        self._target.adopt(self.target)
        self._gradient: Floats = np.zeros_like(self._online.parameters)
        self._gradients = self._online.views(self._gradient)
        self.optimizer = FlatAdam(self._online.parameters, self._gradient, self.settings)  # type: ignore[assignment]
        self._spaces: dict[int, Workspace] = {}
        self._learning = Workspace(sizes, self.settings.batch_size)
        self._asking = Workspace(sizes, self.settings.batch_size)
        self._columns = np.arange(self.settings.batch_size)

    @np.errstate(invalid="ignore")  # what is no number is `on_nan`'s business, not a warning's
    def _best(self, observations: NDArray[Any], masks: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        count = len(observations)
        space = self._spaces.get(count)
        if space is None:
            space = self._spaces[count] = Workspace(self._online.sizes, count)
        space.inputs[...] = observations.reshape(count, -1).T
        best: NDArray[np.int64] = space.forward(self._online.matrices).argmax(axis=0)
        return best

    @np.errstate(invalid="ignore")
    def update(self, batch: Batch) -> Update:
        """Take one step on the loss of a batch, as the reference does; `errors` are its TD errors, without their sign."""
        settings, learning = self.settings, self._learning
        errors, chosen = self._errors(batch)
        weights = None if batch.weights is None else batch.weights.numpy()
        delta, loss = _loss(errors, weights, settings.loss)
        metrics: dict[str, Any] = {"train/loss": loss, "train/q_value": chosen.mean()}
        magnitudes = torch.from_numpy(np.abs(errors))
        if settings.on_nan != "ignore" and not np.isfinite(loss):
            return Update(metrics, magnitudes, is_finite=False)
        derivative = learning.deltas[-1]
        derivative.fill(0.0)
        derivative[batch.actions.numpy()[:, 0], self._columns] = delta
        learning.backward(self._online.matrices, self._gradients)
        self.optimizer.step()
        return Update(metrics, magnitudes)

    def _errors(self, batch: Batch) -> tuple[Floats, Floats]:
        """Return the TD errors and the values of the taken actions, (batch,) each."""
        settings, learning, asking = self.settings, self._learning, self._asking
        np.copyto(asking.inputs, batch.next_observations.numpy().T)
        if settings.double:
            best = asking.forward(self._online.matrices).argmax(axis=0)
            next_values = asking.forward(self._target.matrices)[best, self._columns]
        else:
            next_values = asking.forward(self._target.matrices).max(axis=0)
        discounts = settings.gamma if batch.discounts is None else batch.discounts.numpy()
        targets = batch.rewards.numpy() + discounts * next_values * (1.0 - batch.terminated.numpy())
        np.copyto(learning.inputs, batch.observations.numpy().T)
        chosen = learning.forward(self._online.matrices)[batch.actions.numpy()[:, 0], self._columns]
        return chosen - targets, chosen

    def update_target(self) -> None:
        """Move the target network by `tau` towards the online one."""
        if self.settings.tau == 1.0:
            np.copyto(self._target.parameters, self._online.parameters)
        else:
            torch.from_numpy(self._target.parameters).lerp_(
                torch.from_numpy(self._online.parameters), self.settings.tau
            )


def _loss(errors: Floats, weights: Floats | None, kind: str) -> tuple[Floats, float]:
    """Return the derivative of the loss by the values of the taken actions, and the loss: a (weighted) mean over the batch."""
    size = len(errors)
    if kind == "mse":
        delta, losses = 2.0 * errors, errors * errors
    else:
        magnitude = np.abs(errors)
        delta = np.clip(errors, -1.0, 1.0)
        losses = np.where(magnitude < 1.0, 0.5 * errors * errors, magnitude - 0.5)
    if weights is not None:
        delta, losses = delta * weights, losses * weights
    return (delta / size).astype(np.float32, copy=False), float(losses.mean())


class FlatAdam:
    """Adam over one flat memory, by PyTorch's fused kernel."""

    def __init__(self, parameters: Floats, gradient: Floats, settings: DqnHyperparameters) -> None:
        self._parameters, self._gradient = [torch.from_numpy(parameters)], [torch.from_numpy(gradient)]
        self._first, self._second = [torch.zeros_like(self._parameters[0])], [torch.zeros_like(self._parameters[0])]
        self._steps = [torch.zeros(())]
        self._arguments: dict[str, Any] = {
            "lr": settings.learning_rate, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0,
            "eps": settings.optimizer_epsilon, "amsgrad": False, "maximize": False,
        }  # fmt: skip

    def step(self) -> None:
        """Take a step along the gradient that is in the memory now."""
        self._steps[0] += 1
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
