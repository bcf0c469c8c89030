"""Wraps `rlctl_workers`, which would let one plugin change what another says."""

from __future__ import annotations

from collections.abc import Generator

from rlctl import hookimpl


@hookimpl(wrapper=True)
def rlctl_workers() -> Generator[None, object, object]:
    return (yield)
