"""What this package brings to rlctl: descriptors, and what it checks of a run before it starts."""

from __future__ import annotations

from collections.abc import Iterable

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
from rlctl_dqn.algorithms import ALGORITHMS

_OBSERVATIONS = tuple(space for space in ObservationSpace if space is not ObservationSpace.OTHER)


@hookimpl
def rlctl_workers() -> list[WorkerDescriptor]:
    return [
        WorkerDescriptor(
            name="dqn",
            summary="rlctl's own DQN in PyTorch, from dqn to rainbow",
            entry_point="rlctl_dqn.worker:DqnWorker",
            algorithms=[
                AlgorithmDescriptor(
                    name=name,
                    summary=variant.summary,
                    action_spaces=(ActionSpace.DISCRETE,),
                    observation_spaces=_OBSERVATIONS,
                    hyperparameters="rlctl_dqn.config:hyperparameters",
                    default_env=variant.env,
                    default_total_timesteps=variant.total_timesteps,
                )
                for name, variant in ALGORITHMS.items()
            ],
            requires=("torch>=2.3", "gymnasium>=1.0", "numpy>=1.26", "safetensors"),
            estimated_memory_mb=400,
            resume=Resume.EXACT,
            modes=(Mode.TRAIN, Mode.EVALUATE),
            curriculum=True,
            shows_steps=True,
            warm_up="rlctl_dqn.warming:warm_up",
        )
    ]


@hookimpl
def rlctl_check_run(config: RunConfig, worker: WorkerDescriptor) -> Iterable[Problem]:
    if worker.name != "dqn":
        return ()
    from rlctl_dqn.checks import problems_in

    return problems_in(config)
