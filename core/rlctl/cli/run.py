"""`rlctl run`: flags, a configuration file, or both, to one training run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from rlctl import errors
from rlctl.cli._foreign import TrainingCommand
from rlctl.cli._options import layers_of, says_nothing, training_options
from rlctl.cli._render import best_in_words, json_option, note, number, pairs, print_json, table
from rlctl.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from rlctl.api import RunResult
    from rlctl.events import RunInfo
    from rlctl.launch.prepare import Prepared
    from rlctl.plugins import Registry

_EXPLANATION = """\
rlctl run trains an agent. Say what with, or give a configuration file, or both:
  rlctl run --worker cleanrl                       a worker's default algorithm on CartPole-v1
  rlctl run sb3/sac Pendulum-v1 --seed 3           an algorithm in an environment
  rlctl run --config exp.yaml --set hyperparameters.learning_rate=1e-3
  rlctl run dqn --total-timesteps 20000 --dry-run  show the effective configuration only
Workers here: {workers}.
All options: rlctl run --help. Past runs: rlctl runs list."""


@click.command(cls=TrainingCommand)
@training_options
@click.option(
    "--seeds", metavar="A..B", help="Train once with each seed, 0..9 or 1,5,7, as a plan: `rlctl plan --help`."
)
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="With --seeds: so many at a time; by default as cores.")
@click.option("--affinity", is_flag=True, help="With --seeds: pin each to cores of its own.")
@click.option("--fail-fast", is_flag=True, help="With --seeds: the first failure stops the others, resumable.")
@click.option("--run-id", help="Name of the run's folder; by default a new ULID.")
@click.option("--runs-dir", type=click.Path(path_type=Path), help="Where runs are kept: RLCTL_RUNS_DIR, else ./runs.")
@click.option("--rehearse-stop", is_flag=True, help="Prove that this training survives an interruption; keep nothing.")
@click.option("--dry-run", is_flag=True, help="Print the effective configuration with origins; start nothing.")
@json_option
def run(as_json: bool, dry_run: bool, rehearse_stop: bool, **options: Any) -> int | None:
    """Train: a worker (WORKER or WORKER/ALGO), a configuration file, or both, in environment ENV.

    Flags win over --set, --set over the file, the file over the algorithm's defaults. Exit codes: 0 finished, 1 failed,
    2 wrong configuration, 3 something is not available, 75 stopped and
    resumable, 130/143 stopped otherwise.
    """
    if says_nothing(options):
        return _explain(as_json)
    from rlctl.launch.parent import check_parent
    from rlctl.launch.prepare import prepare
    from rlctl.plugins import discover
    from rlctl.runs.store import default_root

    registry = discover()
    if options["seeds"] is not None:
        if rehearse_stop or options["run_id"] or options["seed"] is not None:
            raise UsageError("--seeds goes with none of --seed, --run-id, --rehearse-stop; --name names the plan.")
        return _run_seeds(options, registry, as_json, dry_run=dry_run)
    if options["jobs"] is not None or options["fail_fast"] or options["affinity"]:
        raise UsageError("-j, --affinity and --fail-fast are for several runs.", hint="Say --seeds, too.")
    if rehearse_stop:
        if dry_run or options["run_id"]:
            raise UsageError("--rehearse-stop keeps none of its runs: neither --dry-run nor --run-id goes with it.")
        return _rehearse(options, registry, as_json)
    root = options["runs_dir"] or default_root()
    prepared = prepare(layers_of(options), registry, note)
    check_parent(prepared, root)
    if dry_run:
        return _show_plan(prepared, as_json)
    prepared.require_sound()
    from rlctl.api import start
    from rlctl.launch.start import create_run

    outcome = start(
        prepared,
        registry,
        lambda relay: create_run(prepared, root, options["run_id"], relay),
        report=note,
        announce=announce,
    )
    show_outcome(outcome, as_json)
    return int(outcome.exit_code)


def _rehearse(options: dict[str, Any], registry: Registry, as_json: bool) -> int:
    """Rehearse an interruption in a folder that is thrown away, and say what came of it."""
    import tempfile

    from rlctl.cli.verify import show_verdict
    from rlctl.rehearse import rehearse_stop
    from rlctl.runs.store import default_root

    with tempfile.TemporaryDirectory(prefix="rlctl-rehearsal-") as folder:
        parents = options["runs_dir"] or default_root()
        rehearsal = rehearse_stop(layers_of(options), registry, Path(folder), note, parents=parents)
    return show_verdict(rehearsal.verdict, as_json, seconds_to_stop=rehearsal.seconds_to_stop)


def _run_seeds(options: dict[str, Any], registry: Registry, as_json: bool, *, dry_run: bool) -> int:
    """Train once with each seed, and say how each went."""
    from rlctl.cli._live import live_table
    from rlctl.cli._plans import show_outcome as show_plan
    from rlctl.config.layers import Layer
    from rlctl.launch.parent import check_parent
    from rlctl.launch.prepare import prepare
    from rlctl.plans.running import Placing, make_ready, run_plan
    from rlctl.plans.seeds import parse_seeds, seeds_source
    from rlctl.runs.store import default_root

    seeds, layers = parse_seeds(options["seeds"]), layers_of(options)
    root = options["runs_dir"] or default_root()
    first = prepare([*layers, Layer("--seeds", {"seed": seeds[0]})], registry, note)
    check_parent(first, root)
    if dry_run:
        note(f"the first of {len(seeds)} runs, whose seeds are {options['seeds']}:")
        return _show_plan(first, as_json)
    first.require_sound()
    ready = make_ready(
        seeds_source(layers, seeds, options["name"]),
        root,
        Placing(jobs=options["jobs"], affinity=options["affinity"]),
        note,
    )
    with live_table() as (report, display):
        outcome = run_plan(ready, report, keep_going=not options["fail_fast"], display=display)
    show_plan(ready.store, outcome, as_json)
    return int(outcome.exit_code)


def _explain(as_json: bool) -> int:
    from rlctl.plugins import discover

    if as_json:
        raise UsageError("neither a worker nor a configuration file is given.", hint="See rlctl run --help.")
    names = ", ".join(found.descriptor.name for found in discover().workers if not found.error) or "none is installed"
    click.echo(_EXPLANATION.format(workers=names), err=True)
    return 2


def _show_plan(prepared: Prepared, as_json: bool) -> int:
    """Print what would be run, with the origin of every value, and every problem; returns the exit code."""
    from rlctl.config.layers import origins_of

    tree = prepared.effective() if prepared.config is not None else prepared.merged.values
    origins = origins_of(tree, prepared.merged)
    if as_json:
        problems = [attrs.asdict(problem) for problem in prepared.problems]
        print_json({"config": tree, "origins": origins, "declared": prepared.declared, "problems": problems})
        return int(ConfigError(prepared.problems).exit_code) if problems else 0
    rows = (row for path, origin in origins.items() for row in _rows(path, _at(tree, path), origin))
    table(("SETTING", "VALUE", "FROM"), list(rows))
    for name, sentence in prepared.declared.items():
        note(f"{name}: {sentence}")
    prepared.require_sound()
    note("this can be run; nothing was started")
    return 0


def _rows(path: str, value: Any, origin: str) -> list[tuple[str, str, str]]:
    """Return the row of a setting; of a list of mappings, such as stages, a row for each, as one would be too long to read."""
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [(f"{path}[{index}]", json.dumps(item, default=str), origin) for index, item in enumerate(value)]
    return [(path, json.dumps(value, default=str), origin)]


def _at(tree: Any, path: str) -> Any:
    """Return the value at a dotted path; keys may have dots themselves, so the longest match is taken."""
    if path in tree:
        return tree[path]
    head = next(key for key in sorted(tree, key=len, reverse=True) if path.startswith(f"{key}."))
    return _at(tree[head], path[len(head) + 1 :])


def announce(info: RunInfo) -> None:
    """Say what has started, and where its files are."""
    note(f"{info.worker}/{info.algo} on {info.env_id}, seed {info.seed}: {info.directory}")


def show_outcome(outcome: RunResult, as_json: bool) -> None:
    """Print how a run ended, and of a failed one why."""
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
        ("best", best_in_words(attrs.asdict(result))),
        ("results", str(info.directory)),
        ("look", f"rlctl runs show {info.run_id}"),
    ])  # fmt: skip
    if result.failure is not None:
        # What rlctl itself refuses says all in its message; whence it came is in result.json.
        own = hasattr(errors, result.failure.kind)
        shown = "" if own else result.failure.traceback or result.failure.log_tail
        for line in shown.rstrip().splitlines()[-15:]:
            click.echo(f"  {line}", err=True)
        note(f"run failed: {result.reason}")
        note(f"the worker's whole output: {info.directory / 'logs' / 'worker.log'}")
