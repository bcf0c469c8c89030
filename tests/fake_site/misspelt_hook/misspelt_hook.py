"""Implements `rlctl_worker`; the hook is called `rlctl_workers`."""

from rlctl import WorkerDescriptor, hookimpl


@hookimpl
def rlctl_worker() -> list[WorkerDescriptor]:
    return []
