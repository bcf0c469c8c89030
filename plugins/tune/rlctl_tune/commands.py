"""`rlctl sweep run`, `show` and `resume`; light: Optuna is imported when one of them is called."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from rlctl_tune.checks import Ready
    from rlctl_tune.reading import Sweep
    from rlctl_tune.study import SweepFolder

Command = Callable[..., Any]

_json = click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")
_runs_dir = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    help="Where runs are kept: RLCTL_RUNS_DIR, else ./runs. Sweeps are beside it.",
)


def _running(command: Command) -> Command:
    """Give a command the options of those that run trials: fields of `rlctl.plans.running.Placing`."""
    jobs = click.option("-j", "--jobs", type=click.IntRange(min=1), help="CPU slots; by default one for each core.")
    executor = click.option("--executor", help="Who places all runs, whatever the configuration says.")
    address = click.option("--address", help="Where that executor finds its engine, such as tcp://host:8786.")
    for option in (_json, _runs_dir, address, executor, jobs):
        command = option(command)
    return command


@click.group(short_help="Search settings, and measure the best of them on fresh seeds.")
def sweep() -> None:
    """Search hyper-parameters, and measure what was found on fresh seeds.

    FILE is YAML, TOML or JSON. docs/sweeps.md has the keys.
    """


@sweep.command("run")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check all, say what would be done, and start nothing.")
@_running
def run_command(path: Path, dry_run: bool, runs_dir: Path | None, as_json: bool, **placing: Any) -> int:
    """Run a sweep, or go on with it if it was begun before.

    Exit codes: 0 done, 1 no trial was complete or a fresh run failed, 75 stopped: `rlctl sweep resume` goes on.
    """
    from rlctl_tune.reading import read_sweep

    return _run(read_sweep(path), placing, runs_dir, as_json, dry_run=dry_run)


@sweep.command("resume")
@click.argument("name", metavar="SWEEP")
@_running
def resume_command(name: str, runs_dir: Path | None, as_json: bool, **placing: Any) -> int:
    """Go on with a sweep that was stopped or killed: open trials from the checkpoints of their runs, then new ones."""
    from rlctl.runs.store import default_root
    from rlctl_tune.study import kept_sweep

    return _run(kept_sweep(name, runs_dir or default_root()), placing, runs_dir, as_json)


@sweep.command("show")
@click.argument("name", metavar="SWEEP")
@_runs_dir
@_json
def show_command(name: str, runs_dir: Path | None, as_json: bool) -> None:
    """Say how far a sweep is, what its trials gave, and which parameter mattered; also of one that runs elsewhere."""
    from rlctl.runs.store import default_root
    from rlctl_tune.report import shown
    from rlctl_tune.study import SweepFolder, kept_sweep

    root = runs_dir or default_root()
    folder = SweepFolder(kept_sweep(name, root), root)
    _show(shown(folder, folder.study(create=False)), as_json)


def _run(
    found: Sweep, placing: Mapping[str, Any], runs_dir: Path | None, as_json: bool, *, dry_run: bool = False
) -> int:  # fmt: skip
    from rlctl.plans.running import Placing
    from rlctl.runs.manifest import redacted
    from rlctl.runs.store import default_root
    from rlctl_tune.checks import make_ready
    from rlctl_tune.fresh import best_trials
    from rlctl_tune.host import SweepHost
    from rlctl_tune.report import shown
    from rlctl_tune.study import SweepFolder

    root = runs_dir or default_root()
    folder = SweepFolder(found, root)
    folder.require_same()
    ready = make_ready(found, root, Placing(**placing), _note)
    if dry_run:
        _show_dry(found, as_json)
        return 0
    with folder.locked():
        folder.save(redacted(sys.argv))
        study = folder.study(create=True)
        with folder.storage_trouble():
            done = SweepHost(ready, study, ready.slots()).run()
            best = best_trials(study, max(1, found.fresh.trials))
        code = 75 if not done else _finish(folder, ready, best) if best else 1
    _show(shown(folder, study), as_json)
    if code == 75:
        _note(f"to go on: rlctl sweep resume {found.name}")
    elif not best:
        _note("no trial was complete; the column SAID says why")
    elif not folder.winner.exists():
        _note(f"no winner: each of the best failed with a fresh seed; why: rlctl plan status {found.name}-fresh")
    return code


def _finish(folder: SweepFolder, ready: Ready, best: list[FrozenTrial]) -> int:
    """Train the best with fresh seeds, and write what came out."""
    from rlctl_tune.fresh import judged, run_fresh, write_outcome

    if ready.sweep.fresh.trials == 0:
        write_outcome(folder, best, None)
        return 0
    code, store = run_fresh(ready, best)
    if code != 75:
        write_outcome(folder, best, judged(ready, best, store))
    return code


# ---- printing ------------------------------------------------------------------------------------------------------


def _note(line: str) -> None:
    click.echo(f"rlctl: {line}", err=True)


def _show_dry(found: Sweep, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"sweep": found.name, "trials": found.trials, "seeds": list(found.seeds)}, indent=2))
    _note(f"{found.trials} trials of {len(found.seeds)} seeds can be run; nothing was started")


def _show(data: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(data, indent=2))
        return
    keys = max((list(row["values"]) for row in data["trials"]), key=len, default=[])  # one just begun may lack some
    names = [key.rpartition(".")[2].upper() for key in keys]
    ranked = sorted(data["trials"], key=lambda row: (row["score"] is None, -(row["score"] or 0.0), row["trial"]))
    _table(
        ("TRIAL", "STATE", "SCORE", *names, "SAID"),
        [
            (
                row["trial"],
                row["state"],
                _number(row["score"]),
                *(_value(row["values"].get(key)) for key in keys),
                row["said"],
            )
            for row in ranked
        ],
    )
    _history(data["trials"])
    if data["importance"]:
        click.echo("\nimportance")
        _table(("PARAMETER", "SHARE"), [(key, f"{share:.2f}") for key, share in data["importance"].items()])
    if data["fresh"]:
        _show_fresh(data["fresh"])
    counts = ", ".join(f"{count} {state}" for state, count in data["counts"].items() if count)
    _note(f"sweep {data['sweep']}: {counts or 'no trial yet'}, of {data['wanted']}; {data['directory']}")
    if data["winner"]:
        _note(f"the winner: rlctl run -c {data['winner']}")


def _history(trials: list[dict[str, Any]]) -> None:
    """Print the trials at which the best score rose."""
    scored = [row for row in trials if row["score"] is not None]
    risen = [row for index, row in enumerate(scored) if index == 0 or row["score"] > scored[index - 1]["best_so_far"]]
    if risen:
        steps = ", ".join(f"{_number(row['score'])} (trial {row['trial']})" for row in risen)
        click.echo(f"\nbest so far: {steps}")


def _show_fresh(fresh: dict[str, Any]) -> None:
    click.echo(
        f"\nfresh seeds {', '.join(map(str, fresh['seeds']))}: score, {fresh['confidence']:.0%} bootstrap interval of the mean"
    )
    rows = [
        (row["group"], row["seeds"], _number(row["mean"]), _interval(row["mean_interval"]), _number(row["iqm"]))
        for row in fresh["groups"]
    ]
    _table(("WHAT", "SEEDS", "MEAN", "INTERVAL", "IQM"), rows)
    best = fresh["best"]
    if best["fresh"] is None:
        click.echo(f"optimism: not known, as trial {best['trial']} has no score for each fresh seed")
        return
    gap = best["optimism"]
    click.echo(
        f"optimism: trial {best['trial']} scored {_number(best['searched'])} in the search and {_number(best['fresh'])} "
        f"on fresh seeds: {_number(abs(gap))} too {'little' if gap < 0 else 'much'}"
    )


def _interval(bounds: Sequence[float] | None) -> str:
    return "-" if bounds is None else f"{_number(bounds[0])} to {_number(bounds[1])}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    cells = [list(headers), *([" ".join(str(cell).split()) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(headers) - 1)]
    for line in cells:
        texts = [*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]
        click.echo("  ".join(texts).rstrip())


def commands() -> list[click.Command]:
    """Return what this package adds to `rlctl`."""
    return [sweep]
