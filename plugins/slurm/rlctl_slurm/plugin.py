"""What this package brings to rlctl: the executor `slurm`."""

from __future__ import annotations

from rlctl import ExecutorDescriptor, hookimpl


@hookimpl
def rlctl_executors() -> list[ExecutorDescriptor]:
    return [
        ExecutorDescriptor(
            name="slurm",
            summary="jobs of a Slurm cluster; its address are options of sbatch: partition=gpu time=8:00:00",
            factory="rlctl_slurm.executor:SlurmExecutor",
            takes_address=True,
            always_elsewhere=True,
        )
    ]
