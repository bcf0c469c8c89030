"""The DQN agent: acts epsilon-greedily or by noise, learns from replayed transitions towards a target network."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rlctl_dqn.config import DqnHyperparameters
from rlctl_dqn.networks import QNetwork
from rlctl_dqn.objectives import make_objective
from rlctl_dqn.replay_buffer import Batch
from rlctl_dqn.targets import masked

_OPTIMIZERS: dict[str, Any] = {
    "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop,
}  # fmt: skip


class Update(NamedTuple):
    """What an update did: metrics and (batch,) errors, on the device; `is_finite` False means that it was left out."""

    metrics: dict[str, torch.Tensor]
    errors: torch.Tensor
    is_finite: bool = True


class DqnAgent:
    """Mnih et al. 2015, "Human-level control through deep reinforcement learning", and what was added since."""

    def __init__(
        self,
        shape: int | Sequence[int],
        num_actions: int,
        settings: DqnHyperparameters,
        device: torch.device,
        horizon: int,
        *,
        dtype: str = "float32",
    ) -> None:
        self.settings = settings
        self.device = device
        self.num_actions = num_actions
        self.objective = make_objective(settings, device)
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.online = QNetwork(shape, num_actions, settings, dtype=dtype, width=self.objective.width).to(device)
        self.target = copy.deepcopy(self.online)
        self.optimizer: torch.optim.Optimizer = _OPTIMIZERS[settings.optimizer](
            self.online.parameters(),
            lr=settings.learning_rate,
            eps=settings.optimizer_epsilon,
            weight_decay=settings.weight_decay,
        )
        self._horizon = max(1, horizon)
        self._exploration_steps = max(1.0, settings.exploration_fraction * horizon)

    def epsilon(self, step: int) -> float:
        """Return the probability of a random action at `step`: linear and then constant, or exponential."""
        first, last = self.settings.exploration_initial, self.settings.exploration_final
        if self.settings.exploration_schedule == "exponential":
            return last + (first - last) * math.exp(-step / (self.settings.exploration_decay * self._horizon))
        return first + (last - first) * min(1.0, step / self._exploration_steps)

    def importance(self, step: int) -> float:
        """Return the exponent of the importance weights at `step`: linear over the whole training."""
        first, last = self.settings.importance_initial, self.settings.importance_final
        return first + (last - first) * min(1.0, step / self._horizon)

    def act(
        self,
        observations: NDArray[Any],
        step: int,
        generator: np.random.Generator,
        masks: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """Return an action for each of the observations, (num_envs, *shape), as in training; none that `masks` forbids."""
        actions = generator.integers(0, self.num_actions, len(observations))
        greedy = generator.random(len(observations)) >= self.epsilon(step)
        if masks is not None:
            actions = np.where(masks, generator.random(masks.shape), -1.0).argmax(axis=1)
        if greedy.any():
            actions[greedy] = self._best(observations[greedy], None if masks is None else masks[greedy])
        return actions

    def greedy(self, observations: NDArray[Any], masks: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Return the allowed action of highest value for each of the observations, (batch, *shape), without noise."""
        self.online.eval()
        try:
            return self._best(observations, masks)
        finally:
            self.online.train()

    @torch.no_grad()
    def best_values(self, observations: NDArray[Any], masks: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Return the value (batch,) of the best allowed action for each of the observations, (batch, *shape), without noise."""
        self.online.eval()
        try:
            values = self.objective.values(self.online(torch.as_tensor(observations, device=self.device)))
        finally:
            self.online.train()
        allowed = None if masks is None else torch.as_tensor(masks, device=self.device)
        best: NDArray[np.float32] = masked(values, allowed).amax(dim=1).cpu().numpy()
        return best

    @torch.no_grad()
    def _best(self, observations: NDArray[Any], masks: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        values = self.objective.values(self.online(torch.as_tensor(observations, device=self.device)))
        allowed = None if masks is None else torch.as_tensor(masks, device=self.device)
        best: NDArray[np.int64] = masked(values, allowed).argmax(dim=1).cpu().numpy()
        return best

    def update(self, batch: Batch) -> Update:
        """Take one step on the loss of a batch, unless it is no finite number and `on_nan` is not `ignore`."""
        learned = self.objective.learn(self.online, self.target, batch)
        metrics = {"train/loss": learned.loss.detach(), "train/q_value": learned.values.mean()}
        if self.settings.on_nan != "ignore" and not math.isfinite(learned.loss.item()):
            return Update(metrics, learned.errors, is_finite=False)
        self.optimizer.zero_grad()
        learned.loss.backward()  # type: ignore[no-untyped-call]
        if self.settings.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.online.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()
        return Update(metrics, learned.errors)

    @torch.no_grad()
    def update_target(self) -> None:
        """Move the target network by `tau` towards the online one."""
        for target, online in zip(self.target.parameters(), self.online.parameters(), strict=True):
            target.lerp_(online, self.settings.tau)
        for held, current in zip(self.target.buffers(), self.online.buffers(), strict=True):
            held.copy_(current)
