"""Imports numpy in its front, which no plugin may: `rlctl --help` would wait for it."""

import numpy as np  # noqa: F401

from rlctl import WorkerDescriptor, hookimpl


@hookimpl
def rlctl_workers() -> list[WorkerDescriptor]:
    return []
