"""What this package brings to rlctl. Imported by every rlctl command, so it imports nothing heavy."""

from collections.abc import Iterator

from rlctl import (
    ActionSpace,
    AlgorithmDescriptor,
    Mode,
    ObservationSpace,
    Parameter,
    Resume,
    RunConfig,
    WorkerDescriptor,
    hookimpl,
)
from rlctl.errors import Problem

HYPERPARAMETERS = (
    Parameter(name="population", kinds=("integer",), default=20, minimum=2, doc="Policies drawn per generation."),
    Parameter(name="elite", kinds=("integer",), default=5, minimum=1, doc="The best of them, which are kept."),
    Parameter(name="deviation", kinds=("number",), default=1.0, exclusive_minimum=0, doc="Spread of the first ones."),
)


@hookimpl
def rlctl_workers() -> list[WorkerDescriptor]:
    """Declare the worker `crossentropy` with its one algorithm."""
    return [
        WorkerDescriptor(
            name="crossentropy",
            summary="the cross-entropy method with a linear policy",
            entry_point="rlctl_crossentropy.worker:CrossEntropyWorker",
            algorithms=(
                AlgorithmDescriptor(
                    name="cem",
                    action_spaces=(ActionSpace.DISCRETE,),
                    observation_spaces=(ObservationSpace.VECTOR,),
                    hyperparameters=HYPERPARAMETERS,
                    default_env="CartPole-v1",
                    default_total_timesteps=40_000,
                    max_num_envs=1,
                ),
            ),
            requires=("gymnasium>=1.0", "numpy>=1.26"),
            modes=(Mode.TRAIN, Mode.EVALUATE),
            resume=Resume.WEIGHTS,
        )
    ]


@hookimpl
def rlctl_check_run(config: RunConfig, worker: WorkerDescriptor) -> Iterator[Problem]:
    """Refuse more survivors than there are policies, which no range of a single setting can say."""
    settings = config.hyperparameters
    if worker.name == "crossentropy" and settings["elite"] > settings["population"]:
        message = f"must be at most population = {settings['population']}, got {settings['elite']}"
        yield Problem("hyperparameters.elite", message)
