"""The options that describe a training, the same for every command that trains, and the layers that they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlctl.cli._foreign import foreign_layer
from rlctl.errors import UsageError

if TYPE_CHECKING:
    from rlctl.config.layers import Layer

_FLAGS = {
    "worker": "--worker", "algo": "--algo", "env.id": "--env", "seed": "--seed", "total_timesteps": "--total-timesteps",
    "total_episodes": "--total-episodes", "env.num_envs": "--num-envs", "device": "--device", "threads": "--threads",
    "evaluation.every_steps": "--evaluate-every", "init_from": "--init-from", "trust": "--trust",
    "time_limit": "--time-limit", "stop_at": "--stop-at", "name": "--name", "executor": "--executor", "address": "--address",
    "grace": "--grace", "save_uri": "--save-uri",
}  # fmt: skip
_TEXTS = {"worker", "algo", "env.id", "device", "name", "executor", "address", "init_from", "save_uri"}


def _complete_workers(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    from rlctl.plugins import discover

    names = [
        name
        for found in discover().workers
        for name in (found.descriptor.name, *(f"{found.descriptor.name}/{a.name}" for a in found.descriptor.algorithms))
    ]
    return [name for name in names if name.startswith(incomplete)]


_OPTIONS = (
    click.argument("target", required=False, shell_complete=_complete_workers),
    click.argument("env", required=False),
    click.option("-c", "--config", "config_file", type=click.Path(path_type=Path), help="YAML, TOML or JSON file."),
    click.option("-w", "--worker", shell_complete=_complete_workers, help="Training backend."),
    click.option("-a", "--algo", help="The worker's algorithm."),
    click.option("-e", "--env", "env_id", help="Environment id."),
    click.option("-n", "--total-timesteps", help="Budget in environment steps."),
    click.option("--total-episodes", help="Budget in episodes, instead of steps."),
    click.option("-s", "--seed", help="Seed; 0 is one."),
    click.option("--num-envs", help="Environments stepped side by side."),
    click.option("--device", help="auto, cpu, cuda, cuda:N or mps."),
    click.option("--threads", help="CPU threads of numeric libraries in the worker."),
    click.option("--evaluate-every", help="Evaluate each time so many steps have been taken."),
    click.option(
        "--init-from", metavar="RUN[:CHECKPOINT]", help="Begin with another run's weights, or a library's file."
    ),
    click.option("--trust", is_flag=True, default=None, help="Unpickle that file if need be: runs the code in it."),
    click.option("--callback", "callbacks", multiple=True, help="Switch a callback on; `no-NAME` switches one off."),
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any other setting, as a.b=value."),
    click.option("--label", "labels", multiple=True, metavar="NAME=TEXT", help="Label the run."),
    click.option("--name", help="Name the run."),
    click.option("--time-limit", help="Stop, resumable, after so many seconds of training."),
    click.option("--stop-at", help="Stop, resumable, after so many steps."),
    click.option("--executor", help="Where the worker process is placed."),
    click.option(
        "--address",
        help="Where the executor finds its engine, as tcp://host:8786, or what it asks of it, as partition=gpu.",
    ),
    click.option("--save-uri", metavar="URI", help="Mirror the run there: file:///folder, s3://bucket/folder."),
    click.option("--grace", help="Seconds to end in when stopped."),
)


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that describe a training."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def says_nothing(options: dict[str, Any]) -> bool:
    """Return whether a command line names neither a worker nor a file that could."""
    return not any(options.get(name) for name in ("target", "config_file", "foreign", "worker", "overrides"))


def layers_of(options: dict[str, Any]) -> list[Layer]:
    """Return the layers of a command line, weakest first."""
    from rlctl.config.files import parse_scalar
    from rlctl.config.layers import Layer, nested, parse_overrides

    layers, target = _file_layers(options)
    layers += parse_overrides(options["overrides"])
    layers += [Layer(f"--callback {name}", {"callbacks": _switch(name)}) for name in options["callbacks"]]
    layers += [_label(text) for text in options["labels"]]
    said = {
        "env.id": options["env_id"],
        "env.num_envs": options["num_envs"],
        "evaluation.every_steps": options["evaluate_every"],
        "trust": "true" if options["trust"] else None,
    }
    if target:
        worker, _, algo = target.partition("/")
        layers.append(Layer("command line", {"worker": worker, **({"algo": algo} if algo else {})}))
    if options["env"]:
        layers.append(Layer("command line", {"env": options["env"]}))
    for path, flag in _FLAGS.items():
        text = said[path] if path in said else options[path]
        if text is not None:
            layers.append(Layer(flag, nested(path.split("."), text if path in _TEXTS else parse_scalar(text))))
    return layers


def _file_layers(options: dict[str, Any]) -> tuple[list[Layer], str | None]:
    """Return the layer of the configuration file, if there is one, and the target, if it is not that file."""
    from rlctl.config.files import SUFFIXES, read_config
    from rlctl.config.layers import Layer

    target: str | None = options["target"]
    files: list[tuple[str | None, Path]] = [*options.get("foreign", ())]
    if options["config_file"] is not None:
        files.insert(0, (None, options["config_file"]))
    if target is not None and Path(target).suffix.lower() in SUFFIXES:
        files.insert(0, (None, Path(target)))
        target = None
    if len(files) > 1:
        raise UsageError(f'two configuration files: "{files[0][1]}" and "{files[1][1]}".')
    layers = []
    for system, file in files:
        layers.append(Layer(file.name, *read_config(file)) if system is None else foreign_layer(system, file))
    return layers, target


def _switch(name: str) -> dict[str, Any]:
    return {name[3:]: False} if name.startswith("no-") else {name: {}}


def _label(text: str) -> Layer:
    from rlctl.config.layers import Layer

    name, separator, value = text.partition("=")
    if not (name and separator):
        raise UsageError(f'--label: expected name=text, got "{text}"')
    return Layer("--label", {"labels": {name: value}})
