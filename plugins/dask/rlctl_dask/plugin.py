"""What this package brings to rlctl: the executor `dask`."""

from __future__ import annotations

from rlctl import ExecutorDescriptor, hookimpl


@hookimpl
def rlctl_executors() -> list[ExecutorDescriptor]:
    return [
        ExecutorDescriptor(
            name="dask",
            summary="workers of a Dask cluster; without an address, one on this machine as long as the command lasts",
            factory="rlctl_dask.executor:DaskExecutor",
            takes_address=True,
        )
    ]
