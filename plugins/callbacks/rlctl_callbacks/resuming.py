"""How long a callback's files were at each checkpoint, so that a resumed run goes on where the checkpoint has them.

`jsonl` needs none of this: rlctl itself cuts its two files back. Here are files whose length in bytes is not known when a
checkpoint is written, as they are buffered, or rewritten for a new column.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import frozen

from rlctl import CheckpointSaved, RunInfo
from rlctl.runs.files import append_line, read_json, read_lines, write_lines


@frozen
class Resumed:
    """The checkpoint from which a run goes on, and what a callback noted when that was saved; None if it could not."""

    step: int
    noted: dict[str, Any] | None


class Ledger:
    """Notes of a callback, one for each checkpoint, in `logs/NAME-positions.jsonl` of the run's directory."""

    def __init__(self, run: RunInfo, name: str) -> None:
        self._path: Path = run.directory / "logs" / f"{name}-positions.jsonl"
        self.resumed = self._find(run)

    def note(self, checkpoint: CheckpointSaved, data: dict[str, Any]) -> None:
        """Keep `data` for a run that goes on from this checkpoint."""
        self._path.parent.mkdir(exist_ok=True)
        append_line(self._path, {"step": checkpoint.step, "checkpoint": checkpoint.sha256, "data": data})

    def _find(self, run: RunInfo) -> Resumed | None:
        resumes = (read_json(run.directory / "manifest.json") or {}).get("resumes") or []
        if not resumes:
            return None
        step, sha256 = resumes[-1]["checkpoint_step"], resumes[-1]["checkpoint_sha256"]
        lines = [line for line in read_lines(self._path) if line["step"] <= step]
        if self._path.exists():
            write_lines(self._path, lines)  # later ones are of a training that is not this one any more
        noted = [line["data"] for line in lines if line["checkpoint"] == sha256]
        return Resumed(step, noted[-1] if noted else None)
