"""Refuses the seed 13; at 14 the check itself is broken."""

from __future__ import annotations

from rlctl import RunConfig, WorkerDescriptor, hookimpl
from rlctl.errors import Problem


@hookimpl
def rlctl_check_run(config: RunConfig, worker: WorkerDescriptor) -> list[Problem]:
    if config.seed == 14:
        raise ZeroDivisionError("the check is broken")
    return [Problem("seed", f"13 brings bad luck to {worker.name}", "Take 12.")] if config.seed == 13 else []
