"""Files of other systems on the command line: converting one, saying what became of its fields, `--from-SYSTEM FILE`."""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from rlctl.cli._render import note, one_line
from rlctl.errors import ConfigError, PluginError, Problem, UsageError

if TYPE_CHECKING:
    from rlctl.config.layers import Layer
    from rlctl.conversions import Conversion


class TrainingCommand(click.Command):
    """A command with an option `--from-SYSTEM FILE` for each system whose files a plugin converts.

    What was given is in the parameter `foreign`, a list of (system, file), which is not there when nothing was.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        own, last = self.params, super().get_params(ctx)[len(self.params) :]
        # The same objects each time: click compares them.
        systems: list[click.Parameter] = ctx.meta.setdefault("rlctl.systems", list(_system_options()))
        return [*own, *systems, *last]


def _system_options() -> Iterator[click.Option]:
    from rlctl.plugins import discover

    summaries = {found.descriptor.name: found.descriptor.summary for found in discover().converters}
    for name, summary in summaries.items():
        yield click.Option(
            [f"--from-{name}"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            expose_value=False,
            callback=functools.partial(_remember, name),
            help=f"In place of --config: {summary}.",
        )


def _remember(system: str, ctx: click.Context, _: click.Parameter, file: Path | None) -> None:
    if file is not None:
        ctx.params.setdefault("foreign", []).append((system, file))


def complete_systems(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the systems whose names begin so."""
    from rlctl.plugins import discover

    return [found.descriptor.name for found in discover().converters if found.descriptor.name.startswith(incomplete)]


def converted(system: str, file: Path) -> Conversion:
    """Return what the converter makes of the file."""
    from rlctl.descriptors import resolve
    from rlctl.plugins import discover

    found = discover().converter(system)
    try:
        function = resolve(found.descriptor.convert)
    except (ImportError, AttributeError, ValueError) as error:
        message = (
            f'converter "{system}" of {found.plugin.distribution} cannot be loaded: {type(error).__name__}: {error}'
        )
        raise PluginError(message) from error
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for data, also with a garrulous plugin
        conversion: Conversion = function(file)
    return conversion


def foreign_layer(system: str, file: Path) -> Layer:
    """Return the one configuration in a file of another system, each value with the field that it is from.

    Raises UsageError where there are several, or none, and ConfigError for one that is no training.
    """
    from rlctl.config.layers import Layer

    conversion = converted(system, file)
    if len(conversion.configs) != 1:
        names = ", ".join(made.name for made in conversion.configs) or "none"
        message = f'"{file}" makes {len(conversion.configs)} configurations, and a run has one: {names}.'
        raise UsageError(message, hint=f"To choose: rlctl config convert --from {system} {file} -o FOLDER")
    (made,) = conversion.configs
    if made.unusable:
        raise ConfigError(attrs.evolve(problem, origin=file.name) for problem in made.unusable)
    tell(conversion, file)
    return Layer(file.name, made.config, {path: f"{file.name}: {field}" for path, field in made.origins.items()})


def tell(conversion: Conversion, file: Path) -> None:
    """Say what became of the fields that are not simply taken."""
    for line in _lines(file.name, "left out", conversion.left_out):
        note(line)
    for made in conversion.configs:
        kinds = (("changed", made.changed), ("left out", made.left_out), ("cannot be used", made.unusable))
        for what, problems in kinds:
            for line in _lines(made.name, what, problems):
                note(line)


def _lines(name: str, what: str, problems: Iterable[Problem]) -> Iterator[str]:
    for problem in grouped(problems):
        yield one_line(f"{name}: {what}: {problem}")


def grouped(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yield problems, fields that follow each other with one reason together: for people."""
    for _, group in itertools.groupby(problems, key=lambda problem: (problem.message, problem.hint)):
        same = list(group)
        yield attrs.evolve(same[0], path=", ".join(problem.path for problem in same))
