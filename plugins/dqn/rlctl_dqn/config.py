"""What can be set of the DQN; the one source for validation, help and the network itself. Light: no torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import field, frozen

from rlctl import Parameter, parameters_of
from rlctl_dqn.algorithms import ALGORITHMS

ACTIVATIONS = ("relu", "tanh", "elu", "silu")
EXTRACTORS = ("auto", "mlp", "nature", "impala")


def _value(default: Any, doc: str, **limits: Any) -> Any:
    if isinstance(default, list):
        return field(factory=lambda: list(default), metadata={"doc": doc, **limits})
    return field(default=default, metadata={"doc": doc, **limits})


@frozen(kw_only=True)
class DqnHyperparameters:
    """Defaults are those of CleanRL's `dqn.py` and, for what it does not have, `c51.py`; other algorithms differ in a few.

    `rlctl_dqn.checks` says which combinations make no sense.
    """

    # ---- learning
    learning_rate: float = _value(2.5e-4, "Step size of the optimizer.", exclusive_minimum=0)
    optimizer: str = _value("adam", "The optimizer.", choices=("adam", "adamw", "rmsprop"))
    optimizer_epsilon: float = _value(1e-8, "Added to its denominator.", exclusive_minimum=0)
    weight_decay: float = _value(0.0, "Decay of the weights; of adamw decoupled from the gradient.", minimum=0)
    loss: str = _value("mse", "Loss of the TD error; a distribution brings its own.", choices=("mse", "huber"))
    max_grad_norm: float | None = _value(None, "Gradients are scaled to at most this norm.", exclusive_minimum=0)
    gamma: float = _value(0.99, "Discount factor.", minimum=0, maximum=1)
    batch_size: int = _value(128, "Transitions per update.", minimum=1)
    learning_starts: int = _value(10_000, "Steps before the first update.", minimum=0)
    train_frequency: int = _value(10, "Steps from one update to the next.", minimum=1)
    gradient_steps: int = _value(1, "Updates each time.", minimum=1)
    target_update_frequency: int = _value(500, "Steps from one update of the target network to the next.", minimum=1)
    tau: float = _value(
        1.0, "Share of the online network in a target update; 1 copies it.", exclusive_minimum=0, maximum=1
    )
    on_nan: str = _value(
        "stop",
        "When a loss, an observation or a reward is no finite number: end the run, leave the update or transition out, or go on.",
        choices=("stop", "skip", "ignore"),
    )

    # ---- exploration
    exploration_initial: float = _value(1.0, "Probability of a random action at first.", minimum=0, maximum=1)
    exploration_final: float = _value(0.05, "Probability of a random action in the end.", minimum=0, maximum=1)
    exploration_schedule: str = _value(
        "linear", "How it goes from the first to the last.", choices=("linear", "exponential")
    )
    exploration_fraction: float = _value(
        0.5, "linear: share of the budget over which it falls from first to last.", exclusive_minimum=0, maximum=1
    )
    exploration_decay: float = _value(
        0.1, "exponential: share of the budget in which its distance to the last falls to 1/e.", exclusive_minimum=0
    )
    noisy: bool = _value(False, "Explore by noise in the weights of the last layers, instead of random actions.")

    # ---- what is learned
    double: bool = _value(False, "The online network chooses the action that the target network values.")
    dueling: bool = _value(False, "Streams of their own for the state's value and the actions' advantages.")
    n_step: int = _value(1, "Rewards summed before the target network is asked.", minimum=1)
    distribution: str = _value(
        "none",
        "Learn the return's distribution: over fixed atoms (C51), or as quantiles (QR-DQN).",
        choices=("none", "categorical", "quantile"),
    )
    atoms: int = _value(101, "categorical: atoms of the distribution.", minimum=2)
    v_min: float = _value(-100.0, "categorical: the lowest return.")
    v_max: float = _value(100.0, "categorical: the highest return.")
    quantiles: int = _value(50, "quantile: quantiles of the distribution.", minimum=1)
    munchausen: bool = _value(False, "Add the scaled log-policy to the reward, with a softmax policy as the target.")
    munchausen_alpha: float = _value(0.9, "munchausen: scale of the log-policy.", minimum=0, maximum=1)
    munchausen_tau: float = _value(0.03, "munchausen: temperature of the policy.", exclusive_minimum=0)
    munchausen_clip: float = _value(
        -1.0, "munchausen: the log-policy, times the temperature, is at least this.", maximum=0
    )

    # ---- replay
    buffer_size: int = _value(10_000, "Transitions kept for replay.", minimum=1)
    prioritized: bool = _value(False, "Replay transitions in proportion to their priority, the last TD error.")
    priority_exponent: float = _value(0.5, "prioritized: of the priority; 0 is uniform.", minimum=0)
    priority_epsilon: float = _value(1e-6, "prioritized: added to each priority.", exclusive_minimum=0)
    importance_initial: float = _value(
        0.4, "prioritized: exponent of the importance weights at first.", minimum=0, maximum=1
    )
    importance_final: float = _value(
        1.0, "prioritized: the same when the budget is used up; linear between.", minimum=0, maximum=1
    )

    vectorization: str = _value(
        "auto",
        "How several environments are stepped. sync: one by one; async: each in a process of its own, for slow ones; native: "
        "by a vectorised class of the environment's own; auto: native where there is one, else sync.",
        choices=("auto", "sync", "async", "native"),
    )
    path: str = _value(
        "auto",
        "fast: the gradient by hand, for ReLU networks without a distribution on a CPU; reference: PyTorch's autograd, for "
        "everything; auto: fast where it can. They differ by rounding.",
        choices=("auto", "fast", "reference"),
    )

    diagnostics_every: int | None = _value(
        None, "Updates from one report of diagnostics to the next; null: none.", minimum=1
    )

    # ---- network
    hidden_sizes: list[int] = _value([120, 84], "Units of the hidden layers; not after a CNN.")
    activation: str = _value("relu", "Between these layers.", choices=ACTIVATIONS)
    extractor: str = _value(
        "auto",
        "mlp, nature or impala (CNNs), or package.module:Class; auto: nature for images of 36 pixels and more, else mlp.",
    )
    features: int = _value(512, "Units of the one hidden layer after a CNN.", minimum=1)


def hyperparameters(algorithm: str) -> tuple[Parameter, ...]:
    """Return the settings of an algorithm of this worker: those of `dqn` with other defaults."""
    own = ALGORITHMS[algorithm].defaults
    return tuple(
        attrs.evolve(parameter, default=own[parameter.name]) if parameter.name in own else parameter
        for parameter in parameters_of(DqnHyperparameters)
    )


def not_fast(settings: Mapping[str, Any]) -> str | None:
    """Return which of the settings the fast path does not do; None when it does them all, as far as they tell."""
    asked = {
        "a distribution": settings["distribution"] != "none",
        "dueling": settings["dueling"],
        "noisy": settings["noisy"],
        "munchausen": settings["munchausen"],
        f"the optimizer {settings['optimizer']}": settings["optimizer"] != "adam",
        "weight_decay": settings["weight_decay"] != 0.0,
        f"the activation {settings['activation']}": settings["activation"] != "relu",
        f"the extractor {settings['extractor']}": settings["extractor"] not in ("auto", "mlp"),
    }
    return next((what for what, is_asked in asked.items() if is_asked), None)
