"""Implements `rlctl_check_run` with an argument that it does not have."""

from rlctl import hookimpl


@hookimpl
def rlctl_check_run(config: object, machine: object) -> list[object]:
    return []
