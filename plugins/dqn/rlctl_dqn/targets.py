"""What the networks are trained towards, and the losses of distributions: pure functions, one for each kind.

Shapes: B transitions in a batch, A actions, N atoms or quantiles. `bootstrap` is the factor of the value of what comes
after: gamma**k for a return over k steps, 0 where the episode terminated. A truncated episode goes on in value.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F  # noqa: N812 - the field's name for it


def masked(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return action values (B, A), minus infinity where `mask` (B, A) says that an action is not allowed."""
    return values if mask is None else values.masked_fill(~mask, -torch.inf)


def of_actions(outputs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """Return what (B, A, N) says of the actions (B,), as (B, N)."""
    rows = torch.arange(len(outputs), device=outputs.device)
    return outputs[rows, actions]


def td_target(rewards: torch.Tensor, bootstrap: torch.Tensor, next_values: torch.Tensor) -> torch.Tensor:
    """Return R + bootstrap * V(s'), all (B,); Mnih et al. 2015 for one step, Sutton 1988 for a sum R of k rewards.

    With double Q-learning (van Hasselt et al. 2016), V(s') is the target network's value of the online network's action.
    """
    return rewards + bootstrap * next_values


def munchausen_target(
    values: torch.Tensor,
    next_values: torch.Tensor,
    actions: torch.Tensor,
    rewards: torch.Tensor,
    bootstrap: torch.Tensor,
    *,
    alpha: float,
    tau: float,
    clip: float,
) -> torch.Tensor:
    """Return the target (B,) of Vieillard et al. 2020, "Munchausen reinforcement learning".

    `values` and `next_values` (B, A) are the target network's of both states, `actions` (B,); pi = softmax(q / tau):

    r + alpha * clamp(tau * log pi(a|s), clip, 0) + bootstrap * sum_a' pi(a'|s') * (q(s', a') - tau * log pi(a'|s'))
    """
    log_policy = tau * F.log_softmax(values / tau, dim=1).gather(1, actions.unsqueeze(1)).squeeze(1)
    bonus = alpha * log_policy.clamp(clip, 0.0)
    # The sum is tau * logsumexp(q / tau), which is also sound where a masked action has minus infinity.
    soft_values = tau * torch.logsumexp(next_values / tau, dim=1)
    return td_target(rewards + bonus, bootstrap, soft_values)


def project_categorical(
    probabilities: torch.Tensor,
    rewards: torch.Tensor,
    bootstrap: torch.Tensor,
    support: torch.Tensor,
) -> torch.Tensor:
    """Return the distribution (B, N) of R + bootstrap * Z on the support, for Z with `probabilities` (B, N) on `support` (N,).

    Bellemare et al. 2017, algorithm 1: each shifted atom is clipped to the support and its probability is shared between
    its two neighbours, more for the nearer one.
    """
    low, high = float(support[0]), float(support[-1])
    shifted = rewards.unsqueeze(1) + bootstrap.unsqueeze(1) * support
    places = (shifted.clamp(low, high) - low) * ((len(support) - 1) / (high - low))  # in units of atoms
    lower = places.floor().clamp(0, len(support) - 2)
    share = places - lower  # of the upper neighbour; 1 at the end of the support
    projected = torch.zeros_like(probabilities)
    projected.scatter_add_(1, lower.long(), probabilities * (1.0 - share))
    projected.scatter_add_(1, lower.long() + 1, probabilities * share)
    return projected


def cross_entropy(target: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return -sum_i target_i * log softmax(logits)_i, (B,), for both (B, N): the loss of C51 (Bellemare et al. 2017)."""
    return -(target * F.log_softmax(logits, dim=1)).sum(dim=1)


def entropy(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the entropy (B,) of distributions (B, N); a cross entropy is this plus the divergence."""
    return -torch.xlogy(probabilities, probabilities).sum(dim=1)


def quantile_huber_loss(quantiles: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss (B,) of `quantiles` (B, N) towards samples `targets` (B, M): Dabney et al. 2018, equation 10, kappa 1.

    Sum over i of the mean over j of |tau_i - 1{u_ij < 0}| * huber(u_ij), with u_ij = targets_j - quantiles_i and
    tau_i = (i + 1/2) / N.
    """
    count = quantiles.shape[1]
    fractions = (torch.arange(count, device=quantiles.device, dtype=quantiles.dtype) + 0.5) / count
    errors = targets.unsqueeze(1) - quantiles.unsqueeze(2)  # (B, N, M)
    huber = torch.where(errors.abs() <= 1.0, 0.5 * errors**2, errors.abs() - 0.5)
    weights = (fractions.view(1, -1, 1) - (errors.detach() < 0).to(errors.dtype)).abs()
    return (weights * huber).mean(dim=2).sum(dim=1)
