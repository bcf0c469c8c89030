"""`rlctl attach`: follow again what goes on in an engine, and whose command has left."""

from __future__ import annotations

from pathlib import Path

import click

from rlctl.cli._render import json_option, note
from rlctl.cli.plan import run_source
from rlctl.cli.run import announce, show_outcome
from rlctl.cli.runs import complete_runs
from rlctl.runs.store import default_root


@click.command()
@click.argument("reference", metavar="RUN|PLAN", default="@latest", shell_complete=complete_runs)
@click.option("--runs-dir", type=click.Path(path_type=Path), help="Where runs are kept: RLCTL_RUNS_DIR, else ./runs.")
@json_option
def attach(reference: str, runs_dir: Path | None, as_json: bool) -> int:
    """Follow a run, or the id of a plan, that was placed by an engine, as the command would that has left.

    Ctrl-C stops it; exit codes are those of `rlctl run` and `rlctl plan run`. Of a run that is over, its outcome is shown.
    """
    root = runs_dir or default_root()
    if _is_plan(reference, root):
        return _attach_plan(reference, root, as_json)
    from rlctl import api

    outcome = api.attach(reference, runs_dir=root, report=note, announce=announce)
    show_outcome(outcome, as_json)
    return int(outcome.exit_code)


def _is_plan(reference: str, root: Path) -> bool:
    """Return whether this is the id of a plan: a run of exactly that id comes first, one whose id begins so does not."""
    from rlctl.plans.store import plans_root

    return not (root / reference).exists() and (plans_root(root) / reference / "plan.json").exists()


def _attach_plan(reference: str, root: Path, as_json: bool) -> int:
    """Go on with a plan as `rlctl plan resume` does, placed as it was when it was last started."""
    from rlctl.plans.store import saved_placing, saved_source

    placing = saved_placing(reference, root)
    return run_source(saved_source(reference, root), placing, True, root, as_json)
