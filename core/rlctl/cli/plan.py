"""`rlctl plan`: show, check, run and go on with many runs, evaluations and comparisons in one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlctl.cli._plans import show_members, show_outcome
from rlctl.cli._render import json_option, note, print_json
from rlctl.config.files import SUFFIXES
from rlctl.runs.store import default_root

if TYPE_CHECKING:
    from rlctl.plans.reading import Source

Command = Callable[..., Any]


def _complete_plans(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    from rlctl.plans.store import plans_root

    root = plans_root(Path(ctx.params.get("runs_dir") or default_root()))
    return [path.parent.name for path in root.glob("*/plan.json") if path.parent.name.startswith(incomplete)]


_plan = click.argument("reference", metavar="PLAN", shell_complete=_complete_plans)
_runs_dir = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    help="Where runs are kept: RLCTL_RUNS_DIR, else ./runs. Plans are beside it.",
)


def _placing(command: Command) -> Command:
    """Give a command the options that say how members share the machine: the fields of `rlctl.plans.running.Placing`."""
    jobs = click.option("-j", "--jobs", type=click.IntRange(min=1), help="CPU slots; by default one for each core.")
    executor = click.option("--executor", help="Who places all members, whatever their configurations say.")
    address = click.option(
        "--address",
        help="Where that executor finds its engine, as tcp://host:8786, or what it asks of it, as partition=gpu.",
    )
    affinity = click.option(
        "--affinity", is_flag=True, help="Pin each member to cores of its own, as many as its CPU slots."
    )
    for option in (affinity, address, executor, jobs):
        command = option(command)
    return command


def _running(command: Command) -> Command:
    """Give a command the options of those that run members."""
    fail_fast = click.option(
        "--keep-going/--fail-fast", default=True, help="After a failure, go on with the others, or stop them all."
    )
    for option in (json_option, _runs_dir, fail_fast, _placing):
        command = option(command)
    return command


def source_of(reference: str, runs_root: Path) -> Source:
    """Return the plan that a file or the id of one that was started before means."""
    from rlctl.plans.reading import read_source
    from rlctl.plans.store import saved_source

    path = Path(reference)
    return read_source(path) if path.suffix.lower() in SUFFIXES else saved_source(reference, runs_root)


@click.group()
def plan() -> None:
    """Run many members that depend on each other: trainings, evaluations, comparisons, scripts.

    PLAN is a file, YAML, TOML or JSON, or the id of a plan that was started before. docs/plans.md has the keys.
    """


@plan.command("show")
@_plan
@click.option(
    "--format", "form", type=click.Choice(["tree", "mermaid", "svg", "json"]), default="tree", show_default=True
)
@_runs_dir
def show(reference: str, form: str, runs_dir: Path | None) -> None:
    """Draw a plan: a tree, Mermaid's language, a picture, or all members as data."""
    from rlctl.plans.drawing import mermaid, svg, tree
    from rlctl.plans.expansion import expand
    from rlctl.plans.store import described

    found = expand(source_of(reference, runs_dir or default_root()))
    if form == "json":
        members = [described(member) for member in found.members.values()]
        print_json({"id": found.id, "fingerprint": found.fingerprint, "members": members})
    elif form == "svg":
        click.echo(svg(found))
    else:
        click.echo("\n".join(tree(found) if form == "tree" else mermaid(found)))


@plan.command("check")
@_plan
@_placing
@_runs_dir
@json_option
def check(reference: str, runs_dir: Path | None, as_json: bool, **placing: Any) -> int:
    """Say everything that is wrong with a plan: its shape, each configuration, and what this machine has not got."""
    from rlctl.plans.running import Placing, make_ready

    root = runs_dir or default_root()
    ready = make_ready(source_of(reference, root), root, Placing(**placing), note)
    count = len(ready.store.plan.members)
    if as_json:
        print_json({"ok": True, "problems": [], "members": count})
    else:
        note(f"plan {ready.store.plan.id} can be run: {count} members")
    return 0


@plan.command("run")
@_plan
@click.option("--dry-run", is_flag=True, help="Check all, say what would be done, and start nothing.")
@_running
def run(
    reference: str, dry_run: bool, keep_going: bool, runs_dir: Path | None, as_json: bool, **placing: Any
) -> int:  # fmt: skip
    """Run what is not finished of a plan; a finished member is not run again unless its configuration has changed.

    Exit codes: 0 all finished, 1 a member failed, 75 stopped: `rlctl plan resume` goes on.
    """
    root = runs_dir or default_root()
    return run_source(source_of(reference, root), placing, keep_going, runs_dir, as_json, dry_run=dry_run)


@plan.command("resume")
@_plan
@_running
def resume(reference: str, keep_going: bool, runs_dir: Path | None, as_json: bool, **placing: Any) -> int:
    """Go on with a plan that was stopped or killed: runs from their checkpoints, exactly."""
    root = runs_dir or default_root()
    return run_source(source_of(reference, root), placing, keep_going, runs_dir, as_json)


@plan.command("retry")
@_plan
@click.argument("members", metavar="[MEMBER]...", nargs=-1)
@click.option("--failed", is_flag=True, help="All that have failed.")
@_running
def retry(
    reference: str, members: tuple[str, ...], failed: bool, keep_going: bool, runs_dir: Path | None, as_json: bool,
    **placing: Any,
) -> int:  # fmt: skip
    """Try members again that have failed, from their checkpoints if they have some; and go on with what waits for them."""
    from rlctl.errors import UsageError

    if failed == bool(members):
        raise UsageError("say either --failed or which members.")
    root = runs_dir or default_root()
    return run_source(source_of(reference, root), placing, keep_going, runs_dir, as_json, retried=members)


@plan.command("status")
@_plan
@click.option("--all", "everything", is_flag=True, help="Every member; without it those that are not finished.")
@_runs_dir
@json_option
def status(reference: str, everything: bool, runs_dir: Path | None, as_json: bool) -> None:
    """Say how far a plan is, also one that runs in another terminal."""
    from rlctl.plans.store import open_plan

    root = runs_dir or default_root()
    show_members(open_plan(source_of(reference, root), root), as_json, everything=everything)


def run_source(
    source: Source, placing: dict[str, Any], keep_going: bool, runs_dir: Path | None, as_json: bool, *,
    dry_run: bool = False, retried: tuple[str, ...] | None = None,
) -> int:  # fmt: skip
    """Run what is not finished of a plan, and show how it went; `placing` are the fields of `Placing`."""
    from rlctl.cli._live import live_table
    from rlctl.plans.running import Placing, failed_members, make_ready, run_plan

    ready = make_ready(source, runs_dir or default_root(), Placing(**placing), note)
    again = failed_members(ready.store, retried) if retried is not None else ()
    if dry_run:
        show_members(ready.store, as_json, everything=True)
        note("this can be run; nothing was started")
        return 0
    with live_table() as (report, display):
        outcome = run_plan(ready, report, keep_going=keep_going, again=again, display=display)
    show_outcome(ready.store, outcome, as_json)
    return int(outcome.exit_code)
