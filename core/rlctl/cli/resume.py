"""`rlctl resume`: go on with a run that was stopped, killed, or is to go further."""

from __future__ import annotations

from pathlib import Path

import click

from rlctl.cli._render import json_option, note
from rlctl.cli.run import announce, show_outcome
from rlctl.cli.runs import complete_runs


@click.command()
@click.argument("reference", metavar="RUN", default="@latest", shell_complete=complete_runs)
@click.option("--checkpoint", default="latest", help="latest, best, or the step of one.")
@click.option(
    "-n", "--total-timesteps", type=click.IntRange(min=1), help="New budget, counted from the run's beginning."
)
@click.option("--total-episodes", type=click.IntRange(min=1), help="New budget in episodes, likewise.")
@click.option("--stop-at", type=click.IntRange(min=1), help="Stop after so many steps, resumable.")
@click.option("--no-early-stopping", is_flag=True, help="Go on without early stopping, from where it ended the run.")
@click.option("--allow-drift", is_flag=True, help="Go on although versions or settings have changed since.")
@click.option("--executor", help="Who places its process now; by default who did before.")
@click.option(
    "--address",
    help="Where that executor finds its engine, as tcp://host:8786, or what it asks of it, as partition=gpu.",
)
@click.option("--runs-dir", type=click.Path(path_type=Path), help="Where runs are kept: RLCTL_RUNS_DIR, else ./runs.")
@json_option
def resume(
    reference: str,
    checkpoint: str,
    total_timesteps: int | None,
    total_episodes: int | None,
    stop_at: int | None,
    no_early_stopping: bool,
    allow_drift: bool,
    executor: str | None,
    address: str | None,
    runs_dir: Path | None,
    as_json: bool,
) -> int:
    """Go on with a run in its own directory: the same steps, one curve.

    Exit codes are those of `rlctl run`; 75 means stopped again, and resumable.
    """
    from rlctl import api

    outcome = api.resume(
        reference,
        checkpoint=checkpoint,
        total_timesteps=total_timesteps,
        total_episodes=total_episodes,
        stop_at=stop_at,
        early_stopping=not no_early_stopping,
        allow_drift=allow_drift,
        executor=executor,
        address=address,
        runs_dir=runs_dir,
        report=note,
        announce=announce,
    )
    show_outcome(outcome, as_json)
    return int(outcome.exit_code)
