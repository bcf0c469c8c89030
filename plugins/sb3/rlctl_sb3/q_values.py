"""What an off-policy algorithm thinks of what it did last: the mean value of the actions taken, for the metrics.

SB3 logs none. Its own way to a batch draws random numbers, which would change the training; the last transitions need none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def mean_q_value(model: Any) -> float | None:
    """Return the mean Q-value of the taken actions in the last `batch_size` transitions; None where there is no such thing.

    Nothing of the training changes: no generator, no gradient, no statistics of a normalisation in the network.
    """
    value_of = _value_function(model)
    buffer = getattr(model, "replay_buffer", None)
    if value_of is None or buffer is None or model.policy.training or buffer.size() == 0:
        return None
    count = min(model.batch_size, buffer.size())
    places = np.arange(buffer.pos - count, buffer.pos) % buffer.buffer_size
    with torch.no_grad():
        return float(value_of(_observations(model, buffer, places), buffer.to_torch(buffer.actions[places, 0])).mean())


def _value_function(model: Any) -> Any:
    """Return what maps observations and actions to values, (batch, ...); None for an algorithm without one."""
    if hasattr(model, "q_net"):  # DQN
        return lambda observations, actions: model.q_net(observations).gather(1, actions.long())
    if hasattr(model, "quantile_net"):  # QR-DQN: (batch, quantiles, actions)
        return lambda observations, actions: model.quantile_net(observations).mean(dim=1).gather(1, actions.long())
    critic = getattr(model, "critic", None)
    return None if critic is None else lambda observations, actions: _first(critic(observations, actions))


def _first(values: Any) -> Any:
    """Return the values of the first of several critics; TQC has all of them in one tensor."""
    return values[0] if isinstance(values, tuple) else values


def _observations(model: Any, buffer: Any, places: Any) -> Any:
    """Return observations of the first environment as the network is given them in training."""
    env = model._vec_normalize_env  # noqa: SLF001 - as SB3's own train() does
    stored = buffer.observations
    if isinstance(stored, dict):
        found = buffer._normalize_obs({name: array[places, 0] for name, array in stored.items()}, env)  # noqa: SLF001
        return {name: buffer.to_torch(array) for name, array in found.items()}
    return buffer.to_torch(buffer._normalize_obs(stored[places, 0], env))  # noqa: SLF001
