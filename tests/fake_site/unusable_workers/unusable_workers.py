"""Workers that are described well and cannot be had."""

from typing import Any

from rlctl import AlgorithmDescriptor, WorkerDescriptor, hookimpl


def _worker(name: str, entry_point: str, hyperparameters: Any = (), **fields: Any) -> WorkerDescriptor:
    algorithm = AlgorithmDescriptor(
        name="only",
        action_spaces=(),
        observation_spaces=(),
        hyperparameters=hyperparameters,
        default_env="toy",
        default_total_timesteps=100,
    )
    return WorkerDescriptor(
        name=name,
        summary="cannot be had",
        entry_point=entry_point,
        algorithms=(algorithm,),
        env_families=("toy",),
        **fields,
    )


def unlistable(_: str) -> Any:
    """Raise, as a plugin would whose source is not there."""
    raise FileNotFoundError("/nowhere/settings.py")


class Unmakeable:
    """Raises when it is made."""

    def __init__(self) -> None:
        raise OSError("libmoon.so.1: cannot open shared object file")


@hookimpl
def rlctl_workers() -> list[WorkerDescriptor]:
    return [
        _worker("toy_absent", "no_such_module_at_all:Worker"),
        _worker("toy_unmet", "unusable_workers:Unmakeable", requires=("surely-not-installed>=1",)),
        _worker("toy_raises", "unusable_workers:Unmakeable"),
        _worker("toy_unlisted", "unusable_workers:Unmakeable", "unusable_workers:unlistable"),
    ]
