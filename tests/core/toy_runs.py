"""The runs of one test, by their ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.directory import RunDirectory

Cli = Callable[..., Any]


class ToyRuns:
    """What a command line has trained below `root`."""

    def __init__(self, cli: Cli, root: Path) -> None:
        self.cli = cli
        self.root = root

    def __getitem__(self, run_id: str) -> RunDirectory:
        return RunDirectory(self.root / run_id)

    def bundles(self, run_id: str) -> CheckpointFolder:
        """Return the checkpoints of a run."""
        return CheckpointFolder(self[run_id].path / "checkpoints")
