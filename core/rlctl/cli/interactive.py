"""`rlctl interactive`: another program steps a policy and its environment, by lines of JSON."""

from __future__ import annotations

from typing import Any

import click

from rlctl.cli._policy import acting_options, config_of, config_of_file, env_of
from rlctl.cli._render import note
from rlctl.cli.runs import complete_runs
from rlctl.errors import ExitCode

_NAMES = ("seed", "stochastic", "random", "device", "trust", "frames")


@click.command()
@click.argument("target", metavar="[RUN[:CHECKPOINT]]", required=False, shell_complete=complete_runs)
@click.option("--random", is_flag=True, help="Act by chance instead; without RUN, in the environment of --env.")
@click.option(
    "--frames",
    type=click.Choice(["none", "asked", "png", "rgb"]),
    default="asked",
    show_default=True,
    help="Pictures: none, those that a request asks for, or of each step, as PNG or as nested lists.",
)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the protocol and do nothing else.")
@acting_options
def interactive(target: str | None, schema: bool, **options: Any) -> int:
    """Let another program step a policy and its environment: requests on stdin, answers on stdout, one JSON object a line.

    \b
      {"cmd": "reset", "seed": 3}       begin an episode
      {"cmd": "step"}                   take the policy's action
      {"cmd": "step", "action": 1}      take this one
      {"cmd": "stop"}                   end the session; the end of stdin ends the process

    RUN is @latest and CHECKPOINT latest, where nothing else is said. A file such as SB3's model.zip will do as well; and
    without RUN, --worker and --algo give a policy that has learned nothing. docs/interactive.md describes the protocol.
    """
    if schema:
        from rlctl.interaction import SCHEMA

        click.echo(SCHEMA.read_text(encoding="utf-8"), nl=False)
        return ExitCode.DONE
    from rlctl.launch.interactive import InteractiveOptions, interact

    alone = target is None and options["random"] and options["env_id"] is not None and not options["worker"]
    untrained = target is None and bool(options["worker"] or options["algo"])
    reference = None if alone or untrained else target or "@latest"
    config = config_of(options) if untrained else config_of_file(reference, options)
    said = InteractiveOptions(env=env_of(options), **{name: options[name] for name in _NAMES})
    try:
        interact(reference, options=said, config=config, runs_dir=options["runs_dir"], report=note)
    except KeyboardInterrupt:
        note("interrupted")
    return ExitCode.DONE
