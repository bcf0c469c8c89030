"""What this package brings to rlctl: descriptors only; hyper-parameters are read from SB3's signatures when asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rlctl import (
    ActionSpace,
    AlgorithmDescriptor,
    Mode,
    ObservationSpace,
    Problem,
    Resume,
    RunConfig,
    WorkerDescriptor,
    hookimpl,
)

if TYPE_CHECKING:
    import click

_DISCRETE, _BOX = ActionSpace.DISCRETE, ActionSpace.BOX
_ANY = (_DISCRETE, _BOX, ActionSpace.MULTI_DISCRETE, ActionSpace.MULTI_BINARY)
_OBSERVATIONS = (
    ObservationSpace.VECTOR,
    ObservationSpace.IMAGE,
    ObservationSpace.DISCRETE,
    ObservationSpace.MULTI_DISCRETE,
    ObservationSpace.MULTI_BINARY,
    ObservationSpace.DICT,
)
_ALGORITHMS: dict[str, tuple[str, tuple[ActionSpace, ...], str, int]] = {
    "ppo": ("Proximal policy optimization", _ANY, "CartPole-v1", 100_000),
    "a2c": ("Advantage actor-critic", _ANY, "CartPole-v1", 100_000),
    "dqn": ("Deep Q-network", (_DISCRETE,), "CartPole-v1", 100_000),
    "sac": ("Soft actor-critic", (_BOX,), "Pendulum-v1", 20_000),
    "td3": ("Twin delayed DDPG", (_BOX,), "Pendulum-v1", 20_000),
    "ddpg": ("Deep deterministic policy gradient", (_BOX,), "Pendulum-v1", 20_000),
}


@hookimpl
def rlctl_workers() -> list[WorkerDescriptor]:
    return [
        WorkerDescriptor(
            name="sb3",
            summary="Stable-Baselines3",
            entry_point="rlctl_sb3.worker:Sb3Worker",
            algorithms=[
                AlgorithmDescriptor(
                    name=name,
                    summary=summary,
                    action_spaces=actions,
                    observation_spaces=_OBSERVATIONS,
                    hyperparameters="rlctl_sb3.signatures:hyperparameters",
                    default_env=env,
                    default_total_timesteps=steps,
                )
                for name, (summary, actions, env, steps) in _ALGORITHMS.items()
            ],
            requires=("stable-baselines3>=2.4", "torch>=2.3", "gymnasium>=1.0"),
            estimated_memory_mb=500,
            upstream="stable-baselines3",
            resume=Resume.EXACT,
            modes=(Mode.TRAIN, Mode.EVALUATE),
        )
    ]


@hookimpl
def rlctl_check_run(config: RunConfig, worker: WorkerDescriptor) -> Iterable[Problem]:
    from rlctl_sb3.checks import problems_in

    return problems_in(config.hyperparameters) if worker.name == "sb3" else ()


@hookimpl
def rlctl_commands() -> Iterable[click.Command]:
    from rlctl.descriptors import resolve

    brought: Iterable[click.Command] = resolve("rlctl_sb3.commands:commands")()  # by name: the front imports no click
    return brought
