"""`rlctl runs checkpoints`: what a run has saved, and what it was worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlctl.cli._render import json_option, number, print_json, table
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_lines
from rlctl.runs.store import RunStore, default_root

if TYPE_CHECKING:
    from rlctl.runs.checkpoints import Checkpoint, CheckpointFolder


@click.command("checkpoints")
@click.argument("reference", metavar="RUN", default="@latest")
@click.option("--runs-dir", type=click.Path(path_type=Path), help="Where runs are kept: RLCTL_RUNS_DIR, else ./runs.")
@json_option
def checkpoints(reference: str, runs_dir: Path | None, as_json: bool) -> None:
    """List a run's checkpoints, with the return of the evaluation of each."""
    directory = RunStore(runs_dir or default_root()).find(reference)
    rows = _rows(directory)
    if as_json:
        print_json(rows)
        return
    table(
        ("STEP", "REASON", "MB", "EVALUATED", "KNOWN AS"),
        [
            (number(row["step"], 0), row["reason"], number(row["bytes"] / 1e6, 2), number(row["return_mean"], 2),
             ", ".join(row["links"]) or "-")
            for row in rows
        ],
        f"{directory.path} has no checkpoints.",
    )  # fmt: skip


def _rows(directory: RunDirectory) -> list[dict[str, Any]]:
    from rlctl.evaluations import evaluations_of
    from rlctl.runs.checkpoints import CheckpointFolder

    folder = CheckpointFolder(directory.path / "checkpoints")
    values = {item.checkpoint: item.return_mean for item in evaluations_of(read_lines(directory.evaluations))}
    return [
        {
            "step": bundle.step,
            "reason": bundle.data.get("reason"),
            "bytes": sum(member["bytes"] for member in bundle.data["members"].values()),
            "sha256": bundle.sha256(),
            "return_mean": values.get(bundle.sha256()),
            "links": [name for name in ("latest", "best") if _means(folder, name, bundle)],
            "path": str(bundle.path),
        }
        for bundle in folder.all()
    ]


def _means(folder: CheckpointFolder, name: str, bundle: Checkpoint) -> bool:
    return (folder.path / name).resolve() == bundle.path.resolve()
