"""The algorithms of Stable-Baselines3 and of sb3-contrib: what each is for, and where its class is. Light."""

from __future__ import annotations

from attrs import frozen

from rlctl import ActionSpace

_DISCRETE, _BOX = ActionSpace.DISCRETE, ActionSpace.BOX
_COUNTABLE = (_DISCRETE, ActionSpace.MULTI_DISCRETE, ActionSpace.MULTI_BINARY)
_ANY = (_DISCRETE, _BOX, ActionSpace.MULTI_DISCRETE, ActionSpace.MULTI_BINARY)
CONTRIB = "sb3_contrib"


@frozen
class Algorithm:
    """An algorithm's class, the file that it is in below its package, and what it does when nothing is said.

    `critic` is what SB3 calls the network beside the actor, None where there is one network; the names of its policies
    end in `policies`; its networks have no features extractor where `extracts` is False.
    """

    cls: str
    summary: str
    actions: tuple[ActionSpace, ...]
    env: str
    steps: int
    critic: str | None
    package: str = "stable_baselines3"
    module: str = ""
    policies: str = "Policy"
    extracts: bool = True

    @property
    def file(self) -> str:
        """The path of the source below the package, without its ending."""
        name = self.module or self.cls.lower()
        return f"{name}/{name}"


ALGORITHMS: dict[str, Algorithm] = {
    "ppo": Algorithm("PPO", "Proximal policy optimization", _ANY, "CartPole-v1", 100_000, "vf"),
    "a2c": Algorithm("A2C", "Advantage actor-critic", _ANY, "CartPole-v1", 100_000, "vf"),
    "dqn": Algorithm("DQN", "Deep Q-network", (_DISCRETE,), "CartPole-v1", 100_000, None),
    "sac": Algorithm("SAC", "Soft actor-critic", (_BOX,), "Pendulum-v1", 20_000, "qf"),
    "td3": Algorithm("TD3", "Twin delayed DDPG", (_BOX,), "Pendulum-v1", 20_000, "qf"),
    "ddpg": Algorithm("DDPG", "Deep deterministic policy gradient", (_BOX,), "Pendulum-v1", 20_000, "qf"),
    "qrdqn": Algorithm("QRDQN", "Quantile regression DQN", (_DISCRETE,), "CartPole-v1", 100_000, None, CONTRIB),
    "tqc": Algorithm("TQC", "Truncated quantile critics", (_BOX,), "Pendulum-v1", 20_000, "qf", CONTRIB),
    "crossq": Algorithm("CrossQ", "SAC without target networks, by batch normalization", (_BOX,), "Pendulum-v1", 20_000,
                        "qf", CONTRIB),
    "trpo": Algorithm("TRPO", "Trust region policy optimization", _ANY, "CartPole-v1", 100_000, "vf", CONTRIB),
    "ars": Algorithm("ARS", "Augmented random search", (_DISCRETE, _BOX), "CartPole-v1", 100_000, None, CONTRIB,
                     extracts=False),
    "recurrent_ppo": Algorithm("RecurrentPPO", "PPO with an LSTM", _ANY, "CartPole-v1", 100_000, "vf", CONTRIB,
                               "ppo_recurrent", "LstmPolicy"),
    "maskable_ppo": Algorithm("MaskablePPO", "PPO where the environment says which actions are allowed", _COUNTABLE,
                              "Taxi-v4", 100_000, "vf", CONTRIB, "ppo_mask"),
}  # fmt: skip

MASKED = ("maskable_ppo",)
"""Those that ask the environment which actions are allowed."""
