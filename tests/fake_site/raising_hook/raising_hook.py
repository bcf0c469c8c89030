"""Can be imported, and raises when it is asked what it brings."""

from rlctl import hookimpl


@hookimpl
def rlctl_workers() -> list[object]:
    raise LookupError("the list of workers is on another machine")


@hookimpl
def rlctl_commands() -> list[object]:
    raise LookupError("the list of commands is on another machine")
