"""What rlctl loads: the hook that brings `rlctl sweep`; light."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rlctl import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def rlctl_commands() -> Iterable[click.Command]:
    from rlctl.descriptors import resolve

    brought: Iterable[click.Command] = resolve("rlctl_tune.commands:commands")()  # by name: the front imports no click
    return brought
