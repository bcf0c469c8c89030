"""The command line: a click group whose commands are imported when they are called, and the one boundary for errors."""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import sys
from typing import Any, NoReturn

import click

from rlctl import __version__
from rlctl.errors import ConfigError, ExitCode, RlctlError, did_you_mean

_COMMANDS = {
    "run": ("rlctl.cli.run:run", "Train: a worker, a configuration file, or both."),
    "resume": ("rlctl.cli.resume:resume", "Go on with a run that was stopped or killed, or further."),
    "attach": ("rlctl.cli.attach:attach", "Follow again what an engine goes on with, a run or a plan."),
    "plan": ("rlctl.cli.plan:plan", "Run many: several algorithms and seeds, evaluated and compared."),
    "scripts": ("rlctl.cli.scripts:scripts", "Run shell scripts of several trainings, and find their runs again."),
    "evaluate": ("rlctl.cli.evaluate:evaluate", "Measure the policy of a run, or of a library's own file."),
    "play": ("rlctl.cli.play:play", "Show how a policy acts, in a window or as text."),
    "record": ("rlctl.cli.play:record", "Film how a policy acts, as mp4 or GIF."),
    "interactive": ("rlctl.cli.interactive:interactive", "Let another program step a policy, by lines of JSON."),
    "export": ("rlctl.cli.export:export", "Write a policy as a file for other programs, such as ONNX."),
    "runs": ("rlctl.cli.runs:runs", "List, show, follow, stop and remove runs."),
    "verify": ("rlctl.cli.verify:verify", "Prove that a worker resumes exactly, as it declares."),
    "envs": ("rlctl.cli.envs:envs", "List environments, and show what one of them is."),
    "workers": ("rlctl.cli.workers:workers", "List and show training backends, set them up."),
    "callbacks": ("rlctl.cli.plugins:callbacks", "List what can see a run's events."),
    "plugins": ("rlctl.cli.plugins:plugins", "List installed plugins, broken ones with their reason."),
    "config": ("rlctl.cli.config:config", "Check a configuration, print its schema, convert another system's."),
    "doctor": ("rlctl.cli.doctor:doctor", "Say what works here and what does not, and why."),
    "completion": ("rlctl.cli.completion:completion", "Print the completion script of a shell."),
}


class CommandGroup(click.Group):
    """Our commands from a table, so that help imports none of them, and those that plugins bring."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *sorted(set(_plugin_commands()) - set(_COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        return _plugin_commands().get(cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            hint = did_you_mean(args[0], self.list_commands(ctx))
            raise click.UsageError(f'there is no command "{args[0]}". {hint or ""}'.rstrip(), ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, summary) for name, (_, summary) in _COMMANDS.items()]
        plugin_commands = _plugin_commands()
        rows += [(name, plugin_commands[name].get_short_help_str()) for name in sorted(plugin_commands)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _plugin_commands() -> dict[str, click.Command]:
    from rlctl.plugins import discover

    found: dict[str, click.Command] = {}
    for plugin, function in discover().implementations("rlctl_commands"):
        try:
            with contextlib.redirect_stdout(sys.stderr):
                brought = {str(command.name): command for command in function()}
        except Exception as error:  # noqa: BLE001 - a broken plugin costs only its own commands
            plugin.error = f"rlctl_commands: {type(error).__name__}: {error}"
            continue
        for name, command in brought.items():
            if name in _COMMANDS or name in found:
                click.echo(f"rlctl: plugin {plugin.distribution}: the command {name} exists already; ignored", err=True)
            else:
                found[name] = command
    return found


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="rlctl")
def cli() -> None:
    """Train reinforcement-learning agents on any backend, compare them honestly, lose nothing.

    \b
      rlctl workers list                      what can train here
      rlctl run --worker cleanrl              train its default algorithm on CartPole
      rlctl run sb3/sac Pendulum-v1           a worker's algorithm in an environment
      rlctl runs show @latest                 how it went
    """


def main() -> NoReturn:
    """Run the command line; every way out goes through here."""
    _mend_streams()
    stdout = sys.stdout
    try:
        code = _run()
        stdout.flush()
    except SystemExit:
        if sys.stdout is stdout:
            raise
        code = ExitCode.DONE  # click swaps the stream when a reader goes away (`rlctl runs list | head`): no error
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EIO):
            raise
        code = ExitCode.DONE
        if error.errno != errno.EPIPE:
            code = ExitCode.RUN_FAILED
            click.echo(f"rlctl: the output cannot be written: {error.strerror}", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())  # what is buffered must not fail once more
    sys.exit(code)


def _mend_streams() -> None:
    """Make printing never fail for the stream's sake: a closed one leads nowhere, a foreign character becomes `?`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
        else:
            stream.reconfigure(errors="replace")


def _run() -> int:
    try:
        outcome = cli.main(standalone_mode=False)
        return outcome if isinstance(outcome, int) else ExitCode.DONE
    except RlctlError as error:
        _show(error)
        return error.exit_code
    except click.Abort:
        return ExitCode.INTERRUPTED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        if "--json" in sys.argv:
            _print_error(error.format_message(), None, [], error.exit_code)
        return error.exit_code


def _show(error: RlctlError) -> None:
    """Print an error: a line each on stderr, and as data on stdout for who asked for --json."""
    problems = error.problems if isinstance(error, ConfigError) else ()
    for line in [str(problem) for problem in problems] or [str(error)]:
        click.echo(f"rlctl: {line}", err=True)
    if len(problems) > 1:
        click.echo(f"rlctl: {len(problems)} problems; nothing was started", err=True)
    if "--json" in sys.argv:
        listed = [
            {"path": problem.path, "message": problem.message, "hint": problem.hint, "origin": problem.origin}
            for problem in problems
        ]
        _print_error(error.message, error.hint, listed, error.exit_code)


def _print_error(message: str, hint: str | None, problems: list[Any], exit_code: int) -> None:
    data = {"error": message, "hint": hint, "problems": problems, "exit_code": int(exit_code)}
    click.echo(json.dumps(data, indent=2))
