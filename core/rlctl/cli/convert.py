"""`rlctl config convert`: configurations of rlctl from a file of another system, with a reason for each field not taken."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from rlctl.cli._foreign import complete_systems, converted, grouped, tell
from rlctl.cli._render import json_option, note, one_line, print_json
from rlctl.errors import ExitCode, Problem, UsageError

if TYPE_CHECKING:
    from rlctl.conversions import Conversion, ConvertedConfig

_YAML = (".yaml", ".yml")


@click.command("convert")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "system",
    required=True,
    metavar="SYSTEM",
    shell_complete=complete_systems,
    help="Whose file it is; `rlctl plugins list` shows which converters there are.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A file that ends in .yaml or .yml, or a folder; by default stdout.",
)
@click.option(
    "--plan", "as_plan", is_flag=True, help="One plan with each configuration as a member, not a file of each."
)
@json_option
def convert(file: Path, system: str, output: Path | None, as_plan: bool, as_json: bool) -> int:
    """Make configurations of another system's file.

    Every field that is taken in another form, or not at all, is named with the reason: here, and at the head of the file that
    is written. The exit code is 1 when a part of it could not be used as a training.
    """
    conversion = converted(system, file)
    usable = [made for made in conversion.configs if not made.unusable]
    if as_plan:
        paths: list[Path | None] = [_plan_path(output)]
        texts = [_plan_text(conversion, usable, file, output)] if usable else []
    else:
        paths = _paths(usable, output, as_json)
        texts = [_text(conversion, made, file, path) for made, path in zip(usable, paths, strict=True)]
    _write(paths[: len(texts)], texts)
    tell(conversion, file)
    problems = {made.name: _problems(made) for made in usable}
    if as_json:
        each = paths * len(usable) if as_plan else paths
        files = {made.name: str(path) if path else None for made, path in zip(usable, each, strict=True)}
        print_json(_as_data(conversion, files, problems))
    elif output is None:
        click.echo("".join(texts), nl=False)
    else:
        for path in paths[: len(texts)]:
            click.echo(str(path))
    return ExitCode.DONE if len(usable) == len(conversion.configs) else ExitCode.RUN_FAILED


def _paths(usable: list[ConvertedConfig], output: Path | None, as_json: bool) -> list[Path | None]:
    """Return where each configuration goes, None for nowhere; raises UsageError where it cannot be meant."""
    names = ", ".join(made.name for made in usable)
    if output is None:
        if len(usable) > 1 and not as_json:
            raise UsageError(f"the file makes {len(usable)} configurations: {names}.", hint="Say a folder: -o FOLDER.")
        return [None for _ in usable]
    if output.suffix.lower() in _YAML and not output.is_dir():
        if len(usable) > 1:
            message = f'--output: "{output}" is one file, and there are {len(usable)} configurations: {names}.'
            raise UsageError(message, hint="Say a folder.")
        return [output for _ in usable]
    if output.suffix.lower() in (".toml", ".json") or output.is_file():
        raise UsageError(f'--output: expected a folder, or a file that ends in .yaml or .yml, got "{output}".')
    return [output / (re.sub(r"[^\w.-]", "-", made.name) + ".yaml") for made in usable]


def _plan_path(output: Path | None) -> Path | None:
    if output is not None and (output.suffix.lower() not in _YAML or output.is_dir()):
        raise UsageError(f'--output: a plan is one file that ends in .yaml or .yml, got "{output}".')
    return output


def _plan_text(conversion: Conversion, usable: list[ConvertedConfig], file: Path, path: Path | None) -> str:
    """Return a plan whose members are the configurations, each after its name."""
    from rlctl.config.writing import as_yaml, section

    lines = [f"From {file} of {conversion.system}, by `rlctl config convert --plan`." + (" Run it by:" if path else "")]
    if path is not None:
        lines += ["", f"  rlctl plan run {path}"]
    for made in usable:
        lines += section(f"Changed in {made.name}:", grouped(made.changed))
        lines += section(f"Left out of {made.name}:", grouped(made.left_out))
    lines += section("Left out:", grouped(conversion.left_out))
    members = {re.sub(r"[^A-Za-z0-9_.-]", "-", made.name): {"run": made.config} for made in usable}
    if len(members) < len(usable):
        raise UsageError(f"--plan: two of these names are one id: {', '.join(made.name for made in usable)}.")
    return as_yaml({"members": members}, lines)


def _text(conversion: Conversion, made: ConvertedConfig, file: Path, path: Path | None) -> str:
    from rlctl.config.writing import as_yaml, section

    lines = [f"From {file} of {conversion.system}, by `rlctl config convert`." + (" Run it by:" if path else "")]
    if path is not None:
        lines += ["", f"  rlctl run -c {path}"]
    lines += section("Changed:", grouped(made.changed))
    lines += section("Left out:", grouped([*made.left_out, *conversion.left_out]))
    return as_yaml(made.config, lines)


def _write(paths: list[Path | None], texts: list[str]) -> None:
    from rlctl.config.writing import write_files

    write_files((path, text) for path, text in zip(paths, texts, strict=True) if path is not None)


def _problems(made: ConvertedConfig) -> list[Problem]:
    """Return, and say, why a configuration cannot be run here, its environment not being installed say."""
    from rlctl.config.layers import Layer
    from rlctl.launch.prepare import prepare
    from rlctl.plugins import discover

    problems = prepare([Layer(made.name, made.config)], discover(), note).problems
    for problem in problems:
        note(one_line(f"{made.name}: cannot be run here: {attrs.evolve(problem, origin=None)}"))
    return problems


def _as_data(
    conversion: Conversion, files: dict[str, str | None], problems: dict[str, list[Problem]]
) -> dict[str, object]:
    from rlctl.conversions import listing

    configs = [
        {**made.to_json(), "file": files.get(made.name), "problems": listing(problems.get(made.name, []))}
        for made in conversion.configs
    ]
    return {"system": conversion.system, "left_out": listing(conversion.left_out), "configs": configs}
