"""What can be set of the DQN; the one source for validation, help and the network itself. Light: no torch here."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from rlctl import Parameter, parameters_of


def _value(default: Any, doc: str, **limits: Any) -> Any:
    if isinstance(default, list):
        return field(factory=lambda: list(default), metadata={"doc": doc, **limits})
    return field(default=default, metadata={"doc": doc, **limits})


@frozen(kw_only=True)
class DqnHyperparameters:
    """Defaults are those of CleanRL's `dqn.py`."""

    learning_rate: float = _value(2.5e-4, "Step size of Adam.", exclusive_minimum=0)
    buffer_size: int = _value(10_000, "Transitions kept for replay.", minimum=1)
    batch_size: int = _value(128, "Transitions per update.", minimum=1)
    gamma: float = _value(0.99, "Discount factor.", minimum=0, maximum=1)
    learning_starts: int = _value(10_000, "Steps before the first update.", minimum=0)
    train_frequency: int = _value(10, "Steps from one update to the next.", minimum=1)
    target_update_frequency: int = _value(500, "Steps from one update of the target network to the next.", minimum=1)
    tau: float = _value(
        1.0, "Share of the online network in a target update; 1 copies it.", exclusive_minimum=0, maximum=1
    )
    exploration_initial: float = _value(1.0, "Probability of a random action at first.", minimum=0, maximum=1)
    exploration_final: float = _value(0.05, "Probability of a random action in the end.", minimum=0, maximum=1)
    exploration_fraction: float = _value(
        0.5, "Share of the budget over which it falls from first to last.", exclusive_minimum=0, maximum=1
    )
    loss: str = _value("mse", "Loss of the TD error.", choices=("mse", "huber"))
    max_grad_norm: float | None = _value(None, "Gradients are scaled to at most this norm.", exclusive_minimum=0)
    hidden_sizes: list[int] = _value([120, 84], "Units of the hidden layers.")
    activation: str = _value("relu", "Between the layers.", choices=("relu", "tanh", "elu", "silu"))


def hyperparameters(algorithm: str) -> tuple[Parameter, ...]:  # noqa: ARG001 - there is one so far
    """Return the settings of an algorithm of this worker."""
    return parameters_of(DqnHyperparameters)
