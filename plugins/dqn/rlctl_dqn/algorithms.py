"""The algorithms of this worker: each is `dqn` with other defaults. Light: no torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen


@frozen
class Variant:
    """What an algorithm is, the defaults in which it differs from `dqn`, and what it is made for."""

    summary: str
    defaults: Mapping[str, Any] = field(factory=dict)
    env: str = "CartPole-v1"
    total_timesteps: int = 500_000


_C51_EPSILON = 0.01 / 128
"""Of Adam in CleanRL's c51.py: 0.01 / batch size."""

ALGORITHMS: dict[str, Variant] = {
    "dqn": Variant("Deep Q-network (Mnih et al. 2015); defaults of CleanRL's dqn.py"),
    "dqn_atari": Variant(
        "dqn for images; defaults of CleanRL's dqn_atari.py",
        {
            "learning_rate": 1e-4,
            "buffer_size": 1_000_000,
            "target_update_frequency": 1_000,
            "batch_size": 32,
            "exploration_final": 0.01,
            "exploration_fraction": 0.1,
            "learning_starts": 80_000,
            "train_frequency": 4,
        },
        env="rlctl/Atari-v0",
        total_timesteps=10_000_000,
    ),
    "double_dqn": Variant("dqn with double Q-learning (van Hasselt et al. 2016)", {"double": True}),
    "dueling_dqn": Variant("dqn with value and advantage streams (Wang et al. 2016)", {"dueling": True}),
    "c51": Variant(
        "Categorical DQN (Bellemare et al. 2017); defaults of CleanRL's c51.py",
        {"distribution": "categorical", "optimizer_epsilon": _C51_EPSILON},
    ),
    "qr_dqn": Variant(
        "Quantile regression DQN (Dabney et al. 2018)",
        {"distribution": "quantile", "optimizer_epsilon": _C51_EPSILON},
    ),
    "rainbow": Variant(
        "Double, dueling, 3 steps, prioritised, categorical and noisy (Hessel et al. 2018)",
        {
            "double": True,
            "dueling": True,
            "n_step": 3,
            "prioritized": True,
            "distribution": "categorical",
            "noisy": True,
            "exploration_initial": 0.0,
            "exploration_final": 0.0,
            "optimizer_epsilon": _C51_EPSILON,
        },
    ),
}
