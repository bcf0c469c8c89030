"""The DQN agent: acts epsilon-greedily, learns from replayed transitions towards a target network."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from rlctl_dqn.config import DqnHyperparameters
from rlctl_dqn.network import QNetwork
from rlctl_dqn.replay_buffer import Batch

_LOSSES = {"mse": F.mse_loss, "huber": F.smooth_l1_loss}


class DqnAgent:
    """Mnih et al. 2015, "Human-level control through deep reinforcement learning"."""

    def __init__(
        self, observation_size: int, num_actions: int, settings: DqnHyperparameters, device: torch.device, horizon: int
    ) -> None:
        self.settings = settings
        self.device = device
        self.num_actions = num_actions
        self.online = QNetwork(observation_size, num_actions, settings.hidden_sizes, settings.activation).to(device)
        self.target = copy.deepcopy(self.online)
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=settings.learning_rate)
        self._loss = _LOSSES[settings.loss]
        self._exploration_steps = max(1.0, settings.exploration_fraction * horizon)

    def epsilon(self, step: int) -> float:
        """Return the probability of a random action at `step`: it changes linearly, then stays."""
        first, last = self.settings.exploration_initial, self.settings.exploration_final
        return first + (last - first) * min(1.0, step / self._exploration_steps)

    def act(self, observations: NDArray[np.float32], step: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return an action for each of the observations, (num_envs, size)."""
        actions = generator.integers(0, self.num_actions, len(observations))
        greedy = generator.random(len(observations)) >= self.epsilon(step)
        if greedy.any():
            actions[greedy] = self.greedy(observations[greedy])
        return actions

    @torch.no_grad()
    def greedy(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the action of highest value for each of the observations, (batch, size)."""
        values = self.online(torch.as_tensor(observations, device=self.device))
        best: NDArray[np.int64] = values.argmax(dim=1).cpu().numpy()
        return best

    def update(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Take one step on the TD error; returns the loss and the mean value of the taken actions, on the device.

        The target is r + gamma * max_a Q_target(s', a), without the second term where the episode terminated; a
        truncated episode goes on in value.
        """
        with torch.no_grad():
            next_values = self.target(batch.next_observations).amax(dim=1)
            targets = batch.rewards + self.settings.gamma * next_values * (1.0 - batch.terminated)
        values = self.online(batch.observations).gather(1, batch.actions).squeeze(1)
        loss = self._loss(values, targets)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.settings.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.online.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()
        return {"train/loss": loss.detach(), "train/q_value": values.detach().mean()}

    @torch.no_grad()
    def update_target(self) -> None:
        """Move the target network by `tau` towards the online one."""
        for target, online in zip(self.target.parameters(), self.online.parameters(), strict=True):
            target.lerp_(online, self.settings.tau)
