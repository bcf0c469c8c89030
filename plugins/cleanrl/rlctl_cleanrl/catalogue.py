"""The algorithms of CleanRL 1.2.0 by name, so that they can be listed before anything is fetched; families of algorithms."""

from __future__ import annotations

from attrs import frozen

FAMILIES = {
    "PPO": ("ppo",),
    "policy optimization": ("ppg", "pqn", "rpo"),
    "Q-learning": ("dqn", "rainbow", "qdagger"),
    "distributional RL": ("c51",),
    "continuous control": ("ddpg", "td3", "sac"),
}
"""How a script of the family begins, by the name of the family."""


def family_of(script: str) -> str:
    """Return the family that a script's name begins with, "" where it begins like none."""
    first = script.partition("_")[0]
    return next((family for family, beginnings in FAMILIES.items() if first in beginnings), "")


@frozen
class Algorithm:
    """One script of PyPI's CleanRL 1.2.0: the action spaces it asserts, and whether it learns from images.

    `needs` are the modules that it imports beside those that this package brings.
    """

    name: str
    action_spaces: tuple[str, ...]
    image: bool
    needs: tuple[str, ...] = ()


# Names, spaces and needs only: a hyper-parameter is read from the script that runs. A test compares with the source.
CATALOGUE: tuple[Algorithm, ...] = (
    Algorithm("c51", ("discrete",), False),
    Algorithm("c51_atari", ("discrete",), True, ("ale_py", "cv2")),
    Algorithm("c51_atari_jax", ("discrete",), True, ("ale_py", "cv2", "flax", "jax", "optax")),
    Algorithm("c51_jax", ("discrete",), False, ("flax", "jax", "optax")),
    Algorithm("ddpg_continuous_action", ("box",), False),
    Algorithm("ddpg_continuous_action_jax", ("box",), False, ("flax", "jax", "optax")),
    Algorithm("dqn", ("discrete",), False),
    Algorithm("dqn_atari", ("discrete",), True, ("ale_py", "cv2")),
    Algorithm("dqn_atari_jax", ("discrete",), True, ("ale_py", "cv2", "flax", "jax", "optax")),
    Algorithm("dqn_jax", ("discrete",), False, ("flax", "jax", "optax")),
    Algorithm("ppg_procgen", ("discrete",), True, ("procgen",)),
    Algorithm("ppo", ("discrete",), False),
    Algorithm("ppo_atari", ("discrete",), True, ("ale_py", "cv2")),
    Algorithm("ppo_atari_envpool", ("discrete",), True, ("envpool",)),
    Algorithm("ppo_atari_envpool_xla_jax", ("discrete",), True, ("envpool", "flax", "jax", "optax")),
    Algorithm("ppo_atari_envpool_xla_jax_scan", ("discrete",), True, ("envpool", "flax", "jax", "optax")),
    Algorithm("ppo_atari_lstm", ("discrete",), True, ("ale_py", "cv2")),
    Algorithm("ppo_atari_multigpu", ("discrete",), True, ("ale_py", "cv2")),
    Algorithm("ppo_continuous_action", ("box",), False),
    Algorithm("ppo_continuous_action_isaacgym", ("box",), False, ("isaacgym", "isaacgymenvs")),
    Algorithm("ppo_pettingzoo_ma_atari", ("discrete",), True, ("pettingzoo", "supersuit")),
    Algorithm("ppo_procgen", ("discrete",), True, ("procgen",)),
    Algorithm("ppo_rnd_envpool", ("discrete",), True, ("envpool",)),
    Algorithm("rpo_continuous_action", ("box",), False),
    Algorithm("sac_atari", ("discrete",), True, ("ale_py", "cv2")),
    Algorithm("sac_continuous_action", ("box",), False),
    Algorithm("td3_continuous_action", ("box",), False),
    Algorithm("td3_continuous_action_jax", ("box",), False, ("flax", "jax", "optax")),
)
