"""Families of environments: which one an id or a spec belongs to, what registers it, and what to install. Nothing is imported."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen


@frozen(kw_only=True)
class Family:
    """Environments that come together.

    One belongs to it whose id begins with one of `ids` (after a `module:`), or whose entry point with one of `entry_points`.
    `registers` is the module whose import registers them, None for gymnasium's own; `needs` must be importable to make one,
    and `install` is what pip is given for it.
    """

    name: str
    summary: str
    ids: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = ()
    registers: str | None = None
    needs: tuple[str, ...] = ()
    install: str = ""


FAMILIES = (
    Family(
        name="classic_control", summary="CartPole, Pendulum, MountainCar, Acrobot",
        entry_points=("gymnasium.envs.classic_control",),
    ),
    Family(name="toy_text", summary="FrozenLake, Taxi, Blackjack, CliffWalking", entry_points=("gymnasium.envs.toy_text",)),
    Family(
        name="box2d", summary="LunarLander, BipedalWalker, CarRacing", entry_points=("gymnasium.envs.box2d",),
        needs=("Box2D",), install="gymnasium[box2d]",
    ),
    Family(
        name="mujoco", summary="HalfCheetah, Hopper, Ant and others", entry_points=("gymnasium.envs.mujoco",),
        needs=("mujoco",), install="gymnasium[mujoco]",
    ),
    Family(
        name="atari", summary="the Arcade Learning Environment", ids=("ALE/",), entry_points=("ale_py",),
        registers="ale_py", needs=("ale_py",), install="ale-py",
    ),
    Family(
        name="babyai", summary="grid worlds with instructions", ids=("BabyAI-",), entry_points=("minigrid.envs.babyai",),
        registers="minigrid", needs=("minigrid",), install="minigrid",
    ),
    Family(
        name="minigrid", summary="grid worlds", ids=("MiniGrid-", "minigrid/"), entry_points=("minigrid",),
        registers="minigrid", needs=("minigrid",), install="minigrid",
    ),
    Family(
        name="procgen", summary="procedurally generated games", ids=("procgen-", "procgen/"), entry_points=("procgen",),
        registers="procgen", needs=("procgen",), install="procgen",
    ),
    Family(
        name="dm_control", summary="DeepMind's control suite, by shimmy", ids=("dm_control/",), entry_points=("shimmy.dm_control",),
        registers="shimmy", needs=("shimmy", "dm_control"), install="shimmy[dm-control]",
    ),
)  # fmt: skip
"""The well-known ones, a narrower one before the one that it is a part of."""

OTHER = "other"
"""What all others are called."""


def family_of(env_id: str, entry_point: str | None = None) -> Family | None:
    """Return the family of an environment; None for one that is not well known."""
    name = env_id.rpartition(":")[2]
    for family in FAMILIES:
        if name.startswith(family.ids or ("\0",)):
            return family
        if entry_point is not None and _is_in(entry_point, family.entry_points):
            return family
    # The names that Atari's games had in gym: PongNoFrameskip-v4, Pong-ram-v0.
    is_old_atari = entry_point is None and ("NoFrameskip-v" in name or "-ram-v" in name)
    return next(family for family in FAMILIES if family.name == "atari") if is_old_atari else None


def _is_in(entry_point: str, modules: Iterable[str]) -> bool:
    return any(entry_point == module or entry_point.startswith((f"{module}.", f"{module}:")) for module in modules)
