"""The algorithms of CleanRL 1.2.0 by name, so that they can be listed before anything is fetched."""

from __future__ import annotations

from attrs import frozen


@frozen
class Algorithm:
    """One script of PyPI's CleanRL 1.2.0: the action spaces it asserts, and whether it learns from images."""

    name: str
    action_spaces: tuple[str, ...]
    image: bool


# Names and spaces only: a hyper-parameter is always read from the script that runs. A test compares with the source.
CATALOGUE: tuple[Algorithm, ...] = (
    Algorithm("c51", ("discrete",), False),
    Algorithm("c51_atari", ("discrete",), True),
    Algorithm("c51_atari_jax", ("discrete",), True),
    Algorithm("c51_jax", ("discrete",), False),
    Algorithm("ddpg_continuous_action", ("box",), False),
    Algorithm("ddpg_continuous_action_jax", ("box",), False),
    Algorithm("dqn", ("discrete",), False),
    Algorithm("dqn_atari", ("discrete",), True),
    Algorithm("dqn_atari_jax", ("discrete",), True),
    Algorithm("dqn_jax", ("discrete",), False),
    Algorithm("ppg_procgen", ("discrete",), True),
    Algorithm("ppo", ("discrete",), False),
    Algorithm("ppo_atari", ("discrete",), True),
    Algorithm("ppo_atari_envpool", ("discrete",), True),
    Algorithm("ppo_atari_envpool_xla_jax", ("discrete",), True),
    Algorithm("ppo_atari_envpool_xla_jax_scan", ("discrete",), True),
    Algorithm("ppo_atari_lstm", ("discrete",), True),
    Algorithm("ppo_atari_multigpu", ("discrete",), True),
    Algorithm("ppo_continuous_action", ("box",), False),
    Algorithm("ppo_continuous_action_isaacgym", ("box",), False),
    Algorithm("ppo_pettingzoo_ma_atari", ("discrete",), True),
    Algorithm("ppo_procgen", ("discrete",), True),
    Algorithm("ppo_rnd_envpool", ("discrete",), True),
    Algorithm("rpo_continuous_action", ("box",), False),
    Algorithm("sac_atari", ("discrete",), True),
    Algorithm("sac_continuous_action", ("box",), False),
    Algorithm("td3_continuous_action", ("box",), False),
    Algorithm("td3_continuous_action_jax", ("box",), False),
)
