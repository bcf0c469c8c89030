"""Brings `rlctl hello`, and a `rlctl run` that must not win over rlctl's own."""

import click

from rlctl import hookimpl


@click.command()
@click.argument("name", default="world")
def hello(name: str) -> None:
    """Greet."""
    click.echo(f"hello, {name}")


@click.command()
def run() -> None:
    """Usurp."""
    click.echo("usurped")


@hookimpl
def rlctl_commands() -> list[click.Command]:
    return [hello, run]
