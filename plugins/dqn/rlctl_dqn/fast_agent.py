"""The agent for what is most common, a ReLU network trained on the TD error with Adam on a CPU: the same numbers, faster.

Parameters of both networks are flat memories (`flat_mlp.py`), the gradient is written by hand, Adam is one fused call.
`DqnAgent` is the reference that a test holds it to.
"""

from __future__ import annotations

import math
from typing import Any, cast

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from rlctl_dqn.agent import Agent, Update
from rlctl_dqn.config import DqnHyperparameters, not_fast
from rlctl_dqn.flat_adam import FlatAdam
from rlctl_dqn.flat_mlp import FlatMlp, Floats, Workspace
from rlctl_dqn.replay_buffer import Drawn, ReplayBuffer
from rlctl_dqn.storage import PackedStorage, Rows


def why_not_fast(settings: DqnHyperparameters, device: torch.device, dtype: str, masked: bool) -> str | None:
    """Return what the fast agent does not do of what is asked for; None when it does all of it."""
    asked = {
        f"the device {device}": device.type != "cpu",
        f"observations of {dtype}": dtype != "float32",
        "masks of actions": masked,
    }
    return not_fast(attrs.asdict(settings)) or next((what for what, is_asked in asked.items() if is_asked), None)


def caches_targets(settings: DqnHyperparameters) -> bool:
    """Return whether the targets of a whole buffer are worked out for less than those of the batches between two syncs.

    That costs a forward pass over each transition; by twice as many drawn ones it pays beyond doubt. What double Q-learning
    asks for changes with every update.
    """
    updates = settings.target_update_frequency / settings.train_frequency * settings.gradient_steps
    return not settings.double and updates * settings.batch_size >= 2 * settings.buffer_size


class FastAgent(Agent):
    """What `DqnAgent` is, with both networks in flat memories; `why_not_fast` says what it cannot do."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        linear = [module for module in self.online.modules() if isinstance(module, torch.nn.Linear)]
        sizes = [linear[0].in_features, *(layer.out_features for layer in linear)]
        batch = self.settings.batch_size
        self._online, self._target = FlatMlp(sizes), FlatMlp(sizes)
        self._online.adopt(self.online)
        self._target.adopt(self.target)
        self._gradient: Floats = np.zeros_like(self._online.parameters)
        self._gradients = self._online.views(self._gradient)
        self.optimizer = FlatAdam(self._online.parameters, self._gradient, self.settings)  # type: ignore[assignment]
        self._acting: dict[int, Workspace] = {}
        self._one = Workspace(sizes, 1)
        self._one_input = self._one.inputs[:, 0]
        self._learning = Workspace(sizes, batch)
        self._delta = self._learning.deltas[-1].reshape(-1)
        self._columns = np.arange(batch)

    def best(self, observation: NDArray[Any]) -> int:
        """Return the action of highest value for one observation, (1, *shape)."""
        self._one_input[...] = observation.reshape(-1)
        return int(self._one.forward(self._online.matrices).argmax())

    def _best(self, observations: NDArray[Any], masks: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        count = len(observations)
        space = self._acting.get(count)
        if space is None:
            space = self._acting[count] = Workspace(self._online.sizes, count)
        space.inputs[...] = observations.reshape(count, -1).T
        best: NDArray[np.int64] = space.forward(self._online.matrices).argmax(axis=0)
        return best

    def learn(self, buffer: ReplayBuffer, drawn: Drawn) -> Update:
        """Take one step on the loss of the transitions that were drawn, as the reference does."""
        settings, learning = self.settings, self._learning
        storage = cast("PackedStorage", buffer.storage)
        batch = storage.rows.take(drawn.rows, axis=0)
        targets = self._targets(batch, storage) if storage.target is None else self._kept(batch, buffer, drawn.rows)
        learning.inputs[...] = batch[:, storage.observation].T
        outputs = learning.forward(self._online.matrices).reshape(-1)
        chosen = batch[:, storage.action].astype(np.intp)
        chosen *= len(batch)
        chosen += self._columns  # places in the outputs, which lie action by action
        values = outputs[chosen]
        errors = values - targets
        derivative, loss = _loss(errors, drawn.weights, settings.loss)
        if settings.on_nan != "ignore" and not math.isfinite(loss):
            return Update(loss, values, errors, is_finite=False)
        self._delta.fill(0.0)
        self._delta[chosen] = derivative
        learning.backward(self._online.matrices, self._gradients)
        if settings.max_grad_norm is not None:
            self._clip(settings.max_grad_norm)
        self.optimizer.step()
        return Update(loss, values, errors)

    def _targets(self, batch: Floats, storage: PackedStorage) -> Floats:
        """Return what the values of the taken actions should be, (batch,), from the target network."""
        asking = self._learning  # one memory for both, as a second one would not fit the cache
        asking.inputs[...] = batch[:, storage.next_observation].T
        if self.settings.double:
            best = asking.forward(self._online.matrices).argmax(axis=0)
            next_values = asking.forward(self._target.matrices)[best, self._columns]
        else:
            next_values = np.maximum.reduce(asking.forward(self._target.matrices), axis=0)
        targets: Floats = next_values * batch[:, storage.bootstrap] + batch[:, storage.reward]
        return targets

    def _kept(self, batch: Floats, buffer: ReplayBuffer, drawn: Rows) -> Floats:
        """Return the targets that are kept beside the transitions; if one is missing, all that are get worked out first."""
        storage = cast("PackedStorage", buffer.storage)
        targets = batch[:, storage.target]
        if storage.num_missing and math.isnan(np.vdot(targets, targets)):  # which is NaN if one of them is
            size = len(batch)
            count = min(storage.num_missing, buffer.size)
            for rows in buffer.newest(-(-count // size) * size).reshape(-1, size):
                storage.rows[rows, storage.target] = self._targets(storage.rows.take(rows, axis=0), storage)
            storage.num_missing = 0
            targets = storage.rows[drawn, storage.target]
        return targets

    def _clip(self, limit: float) -> None:
        """Scale the gradient to the greatest norm that it may have."""
        norm = math.sqrt(float(self._gradient.dot(self._gradient)))
        if norm > limit:
            self._gradient *= limit / (norm + 1e-6)

    def update_target(self) -> None:
        """Move the target network by `tau` towards the online one."""
        if self.settings.tau == 1.0:
            np.copyto(self._target.parameters, self._online.parameters)
        else:
            target, online = torch.from_numpy(self._target.parameters), torch.from_numpy(self._online.parameters)
            target.lerp_(online, self.settings.tau)


def _loss(errors: Floats, weights: Floats | None, kind: str) -> tuple[Floats, float]:
    """Return the derivative of the loss by the values of the taken actions, and the loss: a (weighted) mean over the batch."""
    size = len(errors)
    if kind == "mse":
        delta = errors * np.float32(2.0 / size)
        if weights is None:
            return delta, float(errors.dot(errors)) / size
        losses = errors * errors
    else:
        magnitude = np.abs(errors)
        delta = np.clip(errors, -1.0, 1.0) * np.float32(1.0 / size)
        losses = np.where(magnitude < 1.0, 0.5 * errors * errors, magnitude - 0.5)
    if weights is not None:
        delta, losses = delta * weights, losses * weights
    return delta, float(losses.mean())
