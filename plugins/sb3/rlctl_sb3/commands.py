"""The commands that this package adds: `rlctl presets import zoo`, `rlctl import zoo` and `rlctl import sb3`; light."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlctl.errors import ExitCode

if TYPE_CHECKING:
    from rlctl_sb3.zoo.presets import Preset

_json = click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")


@click.group()
def presets() -> None:
    """Take over what others have tuned."""


@presets.group("import")
def import_presets_group() -> None:
    """Make configurations of another project's files."""


@import_presets_group.command("zoo")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--env",
    "envs",
    multiple=True,
    metavar="ENV[=ENTRY]",
    help="Only for this environment, by the entry of its name or ENTRY.",
)
@click.option("--algo", help="The algorithm; by default the file's name.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("presets"),
    show_default=True,
    help="Folder for the files.",
)
@_json
def import_zoo_presets(path: Path, envs: tuple[str, ...], algo: str | None, output: Path, as_json: bool) -> int:
    """Make a configuration of each entry of a hyper-parameter file of rl-zoo3, such as hyperparams/ppo.yml.

    The file is read as data: nothing in it is executed. What a configuration of rlctl cannot say is named, here and in the
    file that is written. The exit code is 1 when an entry could not be used at all.
    """
    from rlctl_sb3.zoo.presets import import_presets

    made = import_presets(path, envs, algo, output)
    for preset in made:
        for line in _lines(preset):
            _note(line)
    if as_json:
        _print_json([preset.to_json() for preset in made])
    else:
        for preset in made:
            if preset.path is not None:
                click.echo(str(preset.path))
    unusable = [preset for preset in made if preset.unusable and not preset.is_section]
    return ExitCode.RUN_FAILED if unusable else ExitCode.DONE


def _lines(preset: Preset) -> list[str]:
    if preset.is_section:
        return [f"skipped {problem}" for problem in preset.unusable]
    lines = [f"{preset.env}: cannot be used: {problem}" for problem in preset.unusable]
    return lines + [f"{preset.env}: not taken over: {problem}" for problem in preset.left_out]


def _note(line: str) -> None:
    click.echo("rlctl: " + "".join(sign if sign.isprintable() else " " for sign in line), err=True)


def _print_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2))


def commands() -> tuple[click.Command, ...]:
    """Return what becomes `rlctl NAME`."""
    return (presets,)
