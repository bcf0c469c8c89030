"""The options that say which policy acts, how and where, the same for every command that lets one act."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from rlctl.cli._render import json_option
from rlctl.errors import UsageError

_ACTING = (
    click.option(
        "--seed", type=click.IntRange(min=0), help="Seed of the first episode; by default some that training never had."
    ),
    click.option("--stochastic", is_flag=True, help="Let the policy sample its actions, instead of the best one."),
    click.option("--env", "env_id", help="Another environment, with the same spaces."),
    click.option("--env-kwargs", metavar="MAPPING", help="Arguments of the environment, as {gravity: 5}."),
    click.option("--max-episode-steps", type=click.IntRange(min=1), help="Truncate episodes after so many steps."),
    click.option("--device", help="auto, cpu, cuda, cuda:N or mps; by default the run's."),
)
_FILE = (
    click.option("-w", "--worker", help="For a library's own file: the worker that it belongs to."),
    click.option("-a", "--algo", help="For a library's own file: the algorithm."),
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="For a library's own file: a setting."),
    click.option("--trust", is_flag=True, help="Unpickle the file if need be, which runs whatever code is in it."),
    click.option(
        "--runs-dir", type=click.Path(path_type=Path), help="Where runs are kept: RLCTL_RUNS_DIR, else ./runs."
    ),
)


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options, and --json."""
    return _with((*_ACTING, *_FILE, json_option), command)


def acting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options."""
    return _with(_ACTING + _FILE, command)


def file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command those of them that say what a library's own file is, and where runs are; and --json."""
    return _with((*_FILE, json_option), command)


def _with(options: Iterable[Callable[..., Any]], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(tuple(options)):
        command = option(command)
    return command


def env_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return what is said of the environment."""
    said = {"id": options["env_id"], "max_episode_steps": options["max_episode_steps"]}
    env: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    if options["env_kwargs"] is not None:
        env["kwargs"] = _mapping(options["env_kwargs"])
    return env


def config_of_file(target: str | None, options: dict[str, Any]) -> dict[str, Any] | None:
    """Return the configuration that builds the training of a file, as it is said on the command line; None for a run.

    Raises UsageError for what a run knows itself.
    """
    if target is None or not Path(target).is_file():
        for name, flag in (("worker", "--worker"), ("algo", "--algo"), ("overrides", "--set")):
            if options[name]:
                raise UsageError(f"{flag} is for a library's own file; a run knows what it is.")
        return None
    return config_of(options)


def config_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a training that the command line describes."""
    from rlctl.config.layers import merge, parse_overrides

    values: dict[str, Any] = dict(merge(parse_overrides(options["overrides"])).values)
    worker, _, algo = (options["worker"] or "").partition("/")
    said = {"worker": worker or None, "algo": options["algo"] or algo or None}
    return {**values, **{name: value for name, value in said.items() if value is not None}}


def _mapping(text: str) -> dict[str, Any]:
    from rlctl.config.files import parse_scalar

    value = parse_scalar(text)
    if not isinstance(value, dict):
        raise UsageError(f"--env-kwargs: expected a mapping such as {{gravity: 5}}, got {text!r}")
    return value
