"""`rlctl plugins` and `rlctl callbacks`: what is installed, what it brings, and what is broken."""

from __future__ import annotations

import attrs
import click

from rlctl.cli._render import json_option, print_json, table
from rlctl.plugins import discover
from rlctl.requirements import all_missing


@click.group()
def plugins() -> None:
    """List installed plugins, broken ones with their reason."""


@plugins.command("list")
@json_option
def list_plugins(as_json: bool) -> None:
    """List all distributions that bring something to rlctl."""
    registry = discover()
    rows = []
    for plugin in registry.plugins:
        brings = [
            f"{kind} {found.descriptor.name}"
            for kind, items in (
                ("worker", registry.workers),
                ("callback", registry.callbacks),
                ("executor", registry.executors),
                ("converter", registry.converters),
                ("format", registry.exports),
            )
            for found in items
            if found.plugin is plugin
        ]
        brings += ["commands"] * hasattr(plugin.loaded, "rlctl_commands")
        problems = [found.error for found in registry.workers if found.plugin is plugin]
        problems += [found.error for found in registry.callbacks if found.plugin is plugin]
        problems += [found.error for found in registry.exports if found.plugin is plugin]
        error = plugin.error or "; ".join(filter(None, problems)) or None
        rows.append(
            {**attrs.asdict(plugin, filter=lambda item, _: item.name != "loaded"), "error": error, "brings": brings}
        )
    if as_json:
        print_json(rows)
    else:
        table(
            ("PLUGIN", "VERSION", "MODULE", "BRINGS"),
            [
                (row["distribution"], row["version"], row["module"], row["error"] or ", ".join(row["brings"]))
                for row in rows
            ],
            "No plugin is installed.",
        )


@click.group()
def callbacks() -> None:
    """List what can see a run's events."""


@callbacks.command("list")
@json_option
def list_callbacks(as_json: bool) -> None:
    """List the callbacks that a run can name, with their options."""
    found = discover().callbacks
    if as_json:
        print_json([
            {
                **attrs.asdict(item.descriptor),
                "distribution": item.plugin.distribution,
                "error": item.error or "; ".join(all_missing(item.descriptor.requires)) or None,
            }
            for item in found
        ])  # fmt: skip
        return
    rows = [
        (
            item.descriptor.name,
            item.descriptor.process.value,
            item.error or "; ".join(all_missing(item.descriptor.requires)) or "ready",
            item.descriptor.summary,
            ", ".join(f"{option.name}={option.default}" for option in item.descriptor.options) or "-",
        )
        for item in found
    ]
    table(("CALLBACK", "PROCESS", "STATUS", "WHAT IT DOES", "OPTIONS"), rows, "No callback is installed.")
