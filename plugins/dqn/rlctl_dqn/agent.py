"""The DQN agent: acts epsilon-greedily or by noise, learns from replayed transitions towards a target network."""

from __future__ import annotations

import abc
import copy
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rlctl_dqn.config import DqnHyperparameters
from rlctl_dqn.networks import QNetwork
from rlctl_dqn.objectives import make_objective
from rlctl_dqn.replay_buffer import Drawn, ReplayBuffer
from rlctl_dqn.storage import Batch
from rlctl_dqn.targets import masked

_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": functools.partial(torch.optim.Adam, fused=True),
    "adamw": functools.partial(torch.optim.AdamW, fused=True),
    "rmsprop": torch.optim.RMSprop,
}

_STAYS_PUT = ("adam", "adamw")
"""Those that take no step where `found_inf` is 1, in the memory of the device."""


class Update(NamedTuple):
    """What an update did: its loss, and (batch,) values of the taken actions and errors, wherever they were worked out.

    `is_finite` False means that it was left out.
    """

    loss: Any
    values: Any
    errors: Any
    is_finite: bool = True

    def errors_here(self) -> NDArray[np.float32]:
        """Return the errors as an array; this waits for a GPU."""
        return self.errors.cpu().numpy() if isinstance(self.errors, torch.Tensor) else self.errors

    def metrics(self) -> dict[str, float]:
        """Return what there is to report; this waits for a GPU."""
        return {"train/loss": float(self.loss), "train/q_value": float(self.values.mean())}


class Agent(abc.ABC):
    """Networks, schedules and actions; how it learns is said by `DqnAgent` and, for the same numbers, `FastAgent`."""

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
        self._last = settings.exploration_final
        self._range = settings.exploration_initial - settings.exploration_final
        self._is_exponential = settings.exploration_schedule == "exponential"
        share = settings.exploration_decay if self._is_exponential else settings.exploration_fraction
        self._exploration_steps = max(1.0, share * horizon)

    def epsilon(self, step: int) -> float:
        """Return the probability of a random action at `step`: linear and then constant, or exponential."""
        if self._is_exponential:
            return self._last + self._range * math.exp(-step / self._exploration_steps)
        left = 1.0 - step / self._exploration_steps
        return self._last + self._range * left if left > 0.0 else self._last

    def importance(self, step: int) -> float:
        """Return the exponent of the importance weights at `step`: linear over the whole training."""
        first, last = self.settings.importance_initial, self.settings.importance_final
        return first + (last - first) * min(1.0, step / self._horizon)

    def act(
        self,
        observations: NDArray[Any],
        step: int,
        uniforms: NDArray[np.float64],
        masks: NDArray[np.bool_] | None = None,
    ) -> list[int]:
        """Return an action for each of the observations, (num_envs, *shape), as in training; none that `masks` forbids.

        `uniforms` (2 * num_envs,) are drawn from [0, 1): who takes a random action, and which.
        """
        count, epsilon = len(observations), self.epsilon(step)
        if count == 1 and masks is None:
            explore, which = uniforms.tolist()
            return [int(which * self.num_actions) if explore < epsilon else self.best(observations)]
        random = uniforms[:count] < epsilon
        if masks is None:
            actions = (uniforms[count:] * self.num_actions).astype(np.int64)
        else:
            place = (uniforms[count:] * masks.sum(axis=1)).astype(np.int64)  # among the allowed ones
            actions = (masks.cumsum(axis=1) > place[:, None]).argmax(axis=1)
        if not random.all():  # then all are asked: to pick some of them costs more than it saves
            actions = np.where(random, actions, self._best(observations, masks))
        chosen: list[int] = actions.tolist()
        return chosen

    def best(self, observation: NDArray[Any]) -> int:
        """Return the action of highest value for one observation, (1, *shape), as in training."""
        return int(self._best(observation, None)[0])

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

    @abc.abstractmethod
    def learn(self, buffer: ReplayBuffer, drawn: Drawn) -> Update:
        """Take one step on the loss of the transitions that were drawn, unless it is no finite number and `on_nan` says so."""

    def left_out(self) -> int:
        """Return how many updates have been left out since the last call without `learn` having said so; waits for a GPU."""
        return 0

    @abc.abstractmethod
    def update_target(self) -> None:
        """Move the target network by `tau` towards the online one."""


class DqnAgent(Agent):
    """Mnih et al. 2015, "Human-level control through deep reinforcement learning", and what was added since, by autograd."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        looks = self.settings.on_nan != "ignore"
        self._looks_later = looks and self.device.type == "cuda" and self.settings.optimizer in _STAYS_PUT
        """Whether a loss that is no finite number is found on the device, as to look at each would be to wait for it."""
        self._looks_now = looks and not self._looks_later
        self._left_out = torch.zeros((), device=self.device)

    def learn(self, buffer: ReplayBuffer, drawn: Drawn) -> Update:
        """Take one step on the loss of the transitions that were drawn."""
        return self.update(buffer.batch(drawn))

    def update(self, batch: Batch) -> Update:
        """Take one step on the loss of a batch, unless it is no finite number and `on_nan` is not `ignore`."""
        learned = self.objective.learn(self.online, self.target, batch)
        if self._looks_now and not math.isfinite(learned.loss.item()):
            return Update(learned.loss.detach(), learned.values, learned.errors, is_finite=False)
        self.optimizer.zero_grad()
        learned.loss.backward()  # type: ignore[no-untyped-call]
        if self.settings.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.online.parameters(), self.settings.max_grad_norm)
        if self._looks_later:
            stays = (~torch.isfinite(learned.loss.detach())).float()
            self._left_out += stays
            self.optimizer.found_inf = stays  # type: ignore[attr-defined]  # as torch.amp.GradScaler says it
        self.optimizer.step()
        return Update(learned.loss.detach(), learned.values, learned.errors)

    def left_out(self) -> int:
        """Return how many updates have been left out since the last call without `learn` having said so; waits for a GPU."""
        count = int(self._left_out) if self._looks_later else 0
        self._left_out.zero_()
        return count

    @torch.no_grad()
    def update_target(self) -> None:
        """Move the target network by `tau` towards the online one."""
        torch._foreach_lerp_(list(self.target.parameters()), list(self.online.parameters()), self.settings.tau)
        for held, current in zip(self.target.buffers(), self.online.buffers(), strict=True):
            held.copy_(current)
