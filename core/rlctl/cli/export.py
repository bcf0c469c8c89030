"""`rlctl export`: a trained policy as a file for other programs, in any of the formats that are installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlctl.cli._policy import config_of_file, file_options
from rlctl.cli._render import note, number, print_json
from rlctl.cli.runs import complete_runs
from rlctl.errors import UsageError

if TYPE_CHECKING:
    from rlctl.exports import ExportDescriptor
    from rlctl.launch.export import Exported
    from rlctl.plugins import Registered


class _WithFormats(click.Command):
    """A command whose help lists the formats."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from rlctl.plugins import discover

        with formatter.section("Formats"):
            formatter.write_dl([(found.descriptor.name, _in_words(found)) for found in discover().exports])


def _in_words(found: Registered[ExportDescriptor]) -> str:
    from rlctl.requirements import all_missing

    descriptor = found.descriptor
    text = descriptor.summary
    if descriptor.workers:
        text += f" (worker {', '.join(descriptor.workers)})"
    for option in descriptor.options:
        text += f"; --option {option.name}={option.default}: {option.doc}"
    reason = found.error or "; ".join(all_missing(descriptor.requires))
    return f"{text} NOT AVAILABLE: {reason}" if reason else text


def _complete_formats(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    from rlctl.plugins import discover

    return [found.descriptor.name for found in discover().exports if found.descriptor.name.startswith(incomplete)]


@click.command(cls=_WithFormats)
@click.argument("target", metavar="RUN", default="@latest", shell_complete=complete_runs)
@click.option(
    "-f", "--format", "name", required=True, metavar="FORMAT", shell_complete=_complete_formats, help="See below."
)
@click.option("--checkpoint", default="latest", help="latest, best, or the step of one.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file; by default in the run's exports/.")
@click.option("--force", is_flag=True, help="Replace another file of that name.")
@click.option("--option", "said", multiple=True, metavar="NAME=VALUE", help="An option of the format.")
@click.option("--env", "env_id", help="For a library's own file: the environment.")
@file_options
def export(target: str, name: str, as_json: bool, **options: Any) -> None:
    """Write a run's policy, or a file such as SB3's model.zip, as a file for other programs.

    The file gets its name when it was held to the policy: the same actions, for observations by chance and of episodes. Its
    path is printed.
    """
    from rlctl.launch.export import export as exported

    same = {key: options[key] for key in ("checkpoint", "output", "force", "trust", "runs_dir")}
    config = config_of_file(target, options)
    if options["env_id"] is not None:
        if config is None:
            raise UsageError("--env is for a library's own file; a run knows what it is.")
        config = {**config, "env": {**config.get("env", {}), "id": options["env_id"]}}
    made = exported(target, format=name, options=_values(options["said"]), config=config, report=note, **same)
    if as_json:
        print_json(made.to_json())
        return
    _tell(made)
    click.echo(made.path)


def _values(said: tuple[str, ...]) -> dict[str, Any]:
    from rlctl.config.files import parse_scalar

    values = {}
    for text in said:
        name, separator, value = text.partition("=")
        if not (name and separator):
            raise UsageError(f'--option: expected name=value, got "{text}"')
        values[name] = parse_scalar(value)
    return values


def _tell(made: Exported) -> None:
    said = [f"{name.replace('_', ' ')} {_shown(value)}" for name, value in made.found.items()]
    whose = f"{made.what}{f', step {number(made.step, 0)}' if made.step else ''}"
    note(f"{whose}, as {made.format}{': ' if said else ''}{', '.join(said)}")
    for path in made.files[1:]:
        note(f"beside it: {path}")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2g}"
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)
