"""The commands that this package adds: `rlctl presets import zoo`, `rlctl import zoo` and `rlctl import sb3`; light."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlctl.errors import ExitCode

if TYPE_CHECKING:
    from rlctl_sb3.zoo.folders import Training
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


@click.group("import")
def import_group() -> None:
    """Make a run of what another program has trained."""


_runs_dir = click.option(
    "--runs-dir", type=click.Path(path_type=Path), help="Where runs are kept: RLCTL_RUNS_DIR, else ./runs."
)
_folder = click.argument("folder", type=click.Path(path_type=Path))
_name = click.option("--name", help="Name the run.")


@import_group.command("zoo")
@_folder
@_name
@_runs_dir
@_json
def import_zoo_run(folder: Path, name: str | None, runs_dir: Path | None, as_json: bool) -> None:
    """Make a run of a training by rl-zoo3: of a folder such as logs/ppo/CartPole-v1_1.

    Its episodes, evaluations, settings and models are copied; nothing is unpickled.
    """
    from rlctl_sb3.zoo.folders import read_zoo_folder

    _make_run(read_zoo_folder(folder), name, runs_dir, as_json)


@import_group.command("sb3")
@_folder
@click.option("--env", help="The environment; by default what the monitor files say.")
@click.option("--algo", help="The algorithm; by default what the model looks like.")
@_name
@_runs_dir
@_json
def import_sb3_run(
    folder: Path, env: str | None, algo: str | None, name: str | None, runs_dir: Path | None, as_json: bool
) -> None:
    """Make a run of a training by a script of SB3: monitor files, a model's zip, evaluations.npz.

    They are copied and read as data; nothing is unpickled.
    """
    from rlctl_sb3.zoo.folders import read_sb3_folder

    _make_run(read_sb3_folder(folder, env, algo), name, runs_dir, as_json)


def _make_run(training: Training, name: str | None, runs_dir: Path | None, as_json: bool) -> None:
    from rlctl.runs.store import default_root
    from rlctl_sb3.zoo.imports import make_run

    made = make_run(training, runs_dir or default_root(), name)
    for problem in training.left_out:
        _note(f"not taken over: {problem}")
    if as_json:
        _print_json(made.to_json())
        return
    click.echo(made.directory.run_id)
    counts = f"{len(training.monitors.episodes)} episodes, {len(made.evaluations)} evaluations"
    _note(f"{made.directory.path}: {training.config['algo']} on {training.config['env']['id']}, {counts}")
    if training.model is not None:
        trust = " --trust" if training.statistics is not None else ""
        _note(f"measure it: rlctl evaluate {made.directory.run_id}{trust}")


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
    return (presets, import_group)
