"""What a network's outputs mean and how they are trained: action values, distributions over atoms, quantiles."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from rlctl_dqn import targets
from rlctl_dqn.config import DqnHyperparameters
from rlctl_dqn.storage import Batch


class Learned(NamedTuple):
    """What an objective makes of a batch: the loss to minimise, a number, and (batch,) values of the taken actions and errors."""

    loss: torch.Tensor
    values: torch.Tensor
    errors: torch.Tensor


class Objective(Protocol):
    """`width` is how many numbers the network returns for each action; None for one value."""

    width: int | None

    def values(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return action values, (batch, num_actions), for a network's outputs."""

    def learn(self, online: nn.Module, target: nn.Module, batch: Batch) -> Learned:
        """Return the loss of `online` on the batch, and what there is to tell about it."""


def make_objective(settings: DqnHyperparameters, device: torch.device) -> Objective:
    """Return the objective that the settings say."""
    if settings.distribution == "categorical":
        return CategoricalObjective(settings, device)
    if settings.distribution == "quantile":
        return QuantileObjective(settings)
    return ValueObjective(settings)


class ValueObjective:
    """Values trained on the TD error: plain, double or Munchausen."""

    width: int | None = None

    def __init__(self, settings: DqnHyperparameters) -> None:
        self._settings = settings
        self._loss = {"mse": F.mse_loss, "huber": F.smooth_l1_loss}[settings.loss]

    def values(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs: they are the values."""
        return outputs

    def learn(self, online: nn.Module, target: nn.Module, batch: Batch) -> Learned:
        """Return the loss of the TD error, weighted by importance where the batch has weights."""
        with torch.no_grad():
            goal = self._munchausen(target, batch) if self._settings.munchausen else self._td(online, target, batch)
        values = online(batch.observations).gather(1, batch.actions).squeeze(1)
        if batch.weights is None:
            loss = self._loss(values, goal)
        else:
            loss = (batch.weights * self._loss(values, goal, reduction="none")).mean()
        return Learned(loss, values.detach(), (goal - values.detach()).abs())

    def _td(self, online: nn.Module, target: nn.Module, batch: Batch) -> torch.Tensor:
        next_values = targets.masked(target(batch.next_observations), batch.next_masks)
        if self._settings.double:
            chosen = targets.masked(online(batch.next_observations), batch.next_masks).argmax(dim=1, keepdim=True)
            best = next_values.gather(1, chosen).squeeze(1)
        else:
            best = next_values.amax(dim=1)
        return targets.td_target(batch.rewards, batch.bootstrap, best)

    def _munchausen(self, target: nn.Module, batch: Batch) -> torch.Tensor:
        return targets.munchausen_target(
            targets.masked(target(batch.observations), batch.masks),
            targets.masked(target(batch.next_observations), batch.next_masks),
            batch.actions.squeeze(1),
            batch.rewards,
            batch.bootstrap,
            alpha=self._settings.munchausen_alpha,
            tau=self._settings.munchausen_tau,
            clip=self._settings.munchausen_clip,
        )


class CategoricalObjective:
    """Probabilities of fixed atoms, trained on their divergence from the projected target: C51."""

    def __init__(self, settings: DqnHyperparameters, device: torch.device) -> None:
        self._settings = settings
        self._support = torch.linspace(settings.v_min, settings.v_max, settings.atoms, device=device)
        self.width: int | None = settings.atoms

    def values(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the means of the distributions whose logits the outputs are."""
        return outputs.softmax(dim=-1) @ self._support

    def learn(self, online: nn.Module, target: nn.Module, batch: Batch) -> Learned:
        """Return the cross entropy; the errors are the divergence, which is 0 where nothing is left to learn."""
        with torch.no_grad():
            following = target(batch.next_observations)
            chosen = _next_actions(self, following, online, batch, double=self._settings.double)
            goal = targets.project_categorical(
                targets.of_actions(following, chosen).softmax(dim=1),
                batch.rewards,
                batch.bootstrap,
                self._support,
            )
        logits = targets.of_actions(online(batch.observations), batch.actions.squeeze(1))
        losses = targets.cross_entropy(goal, logits)
        errors = (losses.detach() - targets.entropy(goal)).clamp(min=0.0)
        return Learned(_mean(losses, batch), self.values(logits.detach()), errors)


class QuantileObjective:
    """Quantiles, trained by quantile regression: QR-DQN."""

    def __init__(self, settings: DqnHyperparameters) -> None:
        self._settings = settings
        self.width: int | None = settings.quantiles

    def values(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the means of the quantiles."""
        return outputs.mean(dim=-1)

    def learn(self, online: nn.Module, target: nn.Module, batch: Batch) -> Learned:
        """Return the quantile Huber loss; the errors are those of the means."""
        with torch.no_grad():
            following = target(batch.next_observations)
            chosen = _next_actions(self, following, online, batch, double=self._settings.double)
            following = targets.of_actions(following, chosen)
            goal = targets.td_target(batch.rewards.unsqueeze(1), batch.bootstrap.unsqueeze(1), following)
        quantiles = targets.of_actions(online(batch.observations), batch.actions.squeeze(1))
        losses = targets.quantile_huber_loss(quantiles, goal)
        values = quantiles.detach().mean(dim=1)
        return Learned(_mean(losses, batch), values, (goal.mean(dim=1) - values).abs())


def _next_actions(
    objective: Objective, following: torch.Tensor, online: nn.Module, batch: Batch, *, double: bool
) -> torch.Tensor:
    """Return the best allowed actions (batch,) of the next states: by the target network's outputs, or by the online one."""
    outputs = online(batch.next_observations) if double else following
    return targets.masked(objective.values(outputs), batch.next_masks).argmax(dim=1)


def _mean(losses: torch.Tensor, batch: Batch) -> torch.Tensor:
    return losses.mean() if batch.weights is None else (batch.weights * losses).mean()
