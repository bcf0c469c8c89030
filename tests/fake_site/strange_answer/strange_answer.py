"""Answers `rlctl_callbacks` with a name instead of a descriptor."""

from rlctl import hookimpl


@hookimpl
def rlctl_callbacks() -> list[object]:
    return ["jsonl"]
