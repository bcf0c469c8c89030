"""`rlctl config`: check a configuration without running it, print the schema; `rlctl config convert` is in convert.py."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import click

from rlctl.cli._render import json_option, note, print_json
from rlctl.cli.convert import convert
from rlctl.errors import ConfigError


@click.group()
def config() -> None:
    """Check a configuration, print its schema, make one of another system's file."""


config.add_command(convert)


@config.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As of `rlctl run`.")
@json_option
def check_config(file: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Say everything that is wrong with a configuration file; exit code 0 when it can be run."""
    from rlctl.config.files import read_config
    from rlctl.config.layers import Layer, parse_overrides
    from rlctl.launch.prepare import prepare
    from rlctl.plugins import discover

    values, origins = read_config(file)
    layers = [Layer(file.name, values, origins), *parse_overrides(overrides)]
    prepared = prepare(layers, discover(), note)
    if as_json:
        print_json({"ok": not prepared.problems, "problems": [attrs.asdict(problem) for problem in prepared.problems]})
        return int(ConfigError(prepared.problems).exit_code) if prepared.problems else 0
    prepared.require_sound()
    note(f"{file} can be run")
    return 0


@config.command("schema")
@click.option("-w", "--worker", help="Include this worker's hyper-parameters.")
@click.option("-a", "--algo", help="Of this algorithm; by default the worker's first.")
def print_schema(worker: str | None, algo: str | None) -> None:
    """Print the JSON Schema of a run's configuration, for editors and other programs."""
    from rlctl.config.jsonschema import config_schema, hyperparameters_schema

    schema = config_schema()
    if worker is not None:
        schema["properties"]["hyperparameters"] = hyperparameters_schema(worker, algo)
    click.echo(json.dumps(schema, indent=2))
