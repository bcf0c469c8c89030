"""`rlctl run`: flags, a configuration file, or both, to one training run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from rlctl.cli._render import json_option, note, number, pairs, print_json, table
from rlctl.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from rlctl.api import RunResult
    from rlctl.config.layers import Layer
    from rlctl.events import RunInfo
    from rlctl.launch.prepare import Prepared

_FLAGS = {
    "worker": "--worker", "algo": "--algo", "env.id": "--env", "seed": "--seed", "total_timesteps": "--total-timesteps",
    "total_episodes": "--total-episodes", "env.num_envs": "--num-envs", "device": "--device", "threads": "--threads",
    "name": "--name", "executor": "--executor", "grace": "--grace",
}  # fmt: skip
_TEXTS = {"worker", "algo", "env.id", "device", "name", "executor"}

_EXPLANATION = """\
rlctl run trains an agent. Say what with, or give a configuration file, or both:
  rlctl run --worker cleanrl                       a worker's default algorithm on CartPole-v1
  rlctl run sb3/sac Pendulum-v1 --seed 3           an algorithm in an environment
  rlctl run --config exp.yaml --set hyperparameters.learning_rate=1e-3
  rlctl run dqn --total-timesteps 20000 --dry-run  show the effective configuration only
Workers here: {workers}.
All options: rlctl run --help. Past runs: rlctl runs list."""


def _complete_workers(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    from rlctl.plugins import discover

    names = [
        name
        for found in discover().workers
        for name in (found.descriptor.name, *(f"{found.descriptor.name}/{a.name}" for a in found.descriptor.algorithms))
    ]
    return [name for name in names if name.startswith(incomplete)]


@click.command()
@click.argument("target", required=False, shell_complete=_complete_workers)
@click.argument("env", required=False)
@click.option("-c", "--config", "config_file", type=click.Path(path_type=Path), help="YAML, TOML or JSON file.")
@click.option("-w", "--worker", shell_complete=_complete_workers, help="Training backend.")
@click.option("-a", "--algo", help="The worker's algorithm.")
@click.option("-e", "--env", "env_id", help="Environment id.")
@click.option("-n", "--total-timesteps", help="Budget in environment steps.")
@click.option("--total-episodes", help="Budget in episodes, instead of steps.")
@click.option("-s", "--seed", help="Seed; 0 is one.")
@click.option("--num-envs", help="Environments stepped side by side.")
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--threads", help="CPU threads of numeric libraries in the worker.")
@click.option("--callback", "callbacks", multiple=True, help="Switch a callback on; `no-NAME` switches one off.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any other setting, as a.b=value.")
@click.option("--label", "labels", multiple=True, metavar="NAME=TEXT", help="Label the run.")
@click.option("--name", help="Name the run.")
@click.option("--executor", help="Where the worker process is placed.")
@click.option("--grace", help="Seconds to end in when stopped.")
@click.option("--run-id", help="Name of the run's folder; by default a new ULID.")
@click.option("--runs-dir", type=click.Path(path_type=Path), help="Where runs are kept: RLCTL_RUNS_DIR, else ./runs.")
@click.option("--dry-run", is_flag=True, help="Print the effective configuration with origins; start nothing.")
@json_option
def run(config_file: Path | None, as_json: bool, dry_run: bool, **options: Any) -> int | None:
    """Train: a worker (WORKER or WORKER/ALGO), a configuration file, or both, in environment ENV.

    Flags win over --set, --set over the file, the file over the algorithm's defaults. Exit codes: 0 finished, 1 failed,
    2 wrong configuration, 3 something is not available, 130/143 interrupted.
    """
    target = options["target"]
    if target and Path(target).suffix.lower() in (".yaml", ".yml", ".toml", ".json"):
        if config_file is not None:
            raise UsageError(f'two configuration files: "{target}" and "{config_file}".')
        config_file, options["target"] = Path(target), None
    if config_file is None and not any(options[name] for name in ("target", "worker", "overrides")):
        return _explain(as_json)
    from rlctl.launch.prepare import prepare
    from rlctl.plugins import discover

    registry = discover()
    prepared = prepare(_layers(config_file, options), registry, note)
    if dry_run:
        return _show_plan(prepared, as_json)
    prepared.require_sound()
    from rlctl.api import start
    from rlctl.launch.start import create_run
    from rlctl.runs.store import default_root

    root = options["runs_dir"] or default_root()
    outcome = start(
        prepared,
        registry,
        lambda relay: create_run(prepared, root, options["run_id"], relay),
        report=note,
        announce=announce,
    )
    show_outcome(outcome, as_json)
    return int(outcome.result.exit_code)


def _explain(as_json: bool) -> int:
    from rlctl.plugins import discover

    if as_json:
        raise UsageError("neither a worker nor a configuration file is given.", hint="See rlctl run --help.")
    names = ", ".join(found.descriptor.name for found in discover().workers if not found.error) or "none is installed"
    click.echo(_EXPLANATION.format(workers=names), err=True)
    return 2


def _layers(config_file: Path | None, options: dict[str, Any]) -> list[Layer]:
    """Return the layers of a command line, weakest first."""
    from rlctl.config.files import parse_scalar, read_config
    from rlctl.config.layers import Layer, nested, parse_overrides

    layers: list[Layer] = []
    if config_file is not None:
        values, origins = read_config(config_file)
        layers.append(Layer(config_file.name, values, origins))
    layers += parse_overrides(options["overrides"])
    layers += [Layer(f"--callback {name}", {"callbacks": _switch(name)}) for name in options["callbacks"]]
    layers += [_label(text) for text in options["labels"]]
    said = {"env.id": options["env_id"], "env.num_envs": options["num_envs"]}
    if options["target"]:
        worker, _, algo = options["target"].partition("/")
        layers.append(Layer("command line", {"worker": worker, **({"algo": algo} if algo else {})}))
    if options["env"]:
        layers.append(Layer("command line", {"env": options["env"]}))
    for path, flag in _FLAGS.items():
        text = said[path] if path in said else options[path]
        if text is not None:
            layers.append(Layer(flag, nested(path.split("."), text if path in _TEXTS else parse_scalar(text))))
    return layers


def _switch(name: str) -> dict[str, Any]:
    return {name[3:]: False} if name.startswith("no-") else {name: {}}


def _label(text: str) -> Layer:
    from rlctl.config.layers import Layer

    name, separator, value = text.partition("=")
    if not (name and separator):
        raise UsageError(f'--label: expected name=text, got "{text}"')
    return Layer("--label", {"labels": {name: value}})


def _show_plan(prepared: Prepared, as_json: bool) -> int:
    """Print what would be run, with the origin of every value, and every problem; returns the exit code."""
    from rlctl.launch.start import origins_of

    tree = prepared.effective() if prepared.config is not None else prepared.merged.values
    origins = origins_of(tree, prepared.merged)
    if as_json:
        problems = [attrs.asdict(problem) for problem in prepared.problems]
        print_json({"config": tree, "origins": origins, "problems": problems})
        return int(ConfigError(prepared.problems).exit_code) if problems else 0
    rows = [(path, json.dumps(_at(tree, path), default=str), origin) for path, origin in origins.items()]
    table(("SETTING", "VALUE", "FROM"), rows)
    prepared.require_sound()
    note("this can be run; nothing was started")
    return 0


def _at(tree: Any, path: str) -> Any:
    """Return the value at a dotted path; keys may have dots themselves, so the longest match is taken."""
    if path in tree:
        return tree[path]
    head = next(key for key in sorted(tree, key=len, reverse=True) if path.startswith(f"{key}."))
    return _at(tree[head], path[len(head) + 1 :])


def announce(info: RunInfo) -> None:
    note(f"{info.worker}/{info.algo} on {info.env_id}, seed {info.seed}: {info.directory}")


def show_outcome(outcome: RunResult, as_json: bool) -> None:
    info, result = outcome.info, outcome.result
    if as_json:
        print_json({"run_id": info.run_id, "directory": str(info.directory), **attrs.asdict(result)})
        return
    rate = result.step / result.seconds if result.seconds else None
    pairs([
        ("run", info.run_id),
        ("status", f"{result.status}: {result.reason}"),
        ("steps", f"{number(result.step, 0)} in {number(result.seconds)} s ({number(rate, 0)} a second)"),
        ("episodes", f"{number(result.episodes, 0)}, mean return of the last 100: {number(result.return_mean)}"),
        ("results", str(info.directory)),
        ("look", f"rlctl runs show {info.run_id}"),
    ])  # fmt: skip
    if result.failure is not None:
        shown = result.failure.traceback or result.failure.log_tail
        for line in shown.rstrip().splitlines()[-15:]:
            click.echo(f"  {line}", err=True)
        note(f"run failed: {result.reason}")
        note(f"the worker's whole output: {info.directory / 'logs' / 'worker.log'}")
