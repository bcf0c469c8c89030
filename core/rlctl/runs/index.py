"""`.index.json` beside the runs: a list's rows of those that have ended, so that four files of each need not be read again.

It is never the truth. A row stands beside the stamps of the files that it was read from; other stamps, by hand or by a
resumed run, and the run is read anew. Without the file everything is, once.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from attrs import define, field

from rlctl.runs.files import read_json, write_lines

FORMAT = 1
_SETTLED_NS = 2_000_000_000
"""A file younger than that could be written once more within one tick of the clock that stamps it: its row is not kept."""

COLUMNS = (
    "run_id", "name", "state", "worker", "algo", "env", "seed", "step", "episodes", "return_mean", "seconds", "labels",
)  # fmt: skip
Stamps = list[int]


@define
class RunIndex:
    """The rows of a folder of runs. `before` are those of the file, `now` those of the runs that are still there."""

    path: Path
    before: dict[str, Any] = field(factory=dict)
    now: dict[str, Any] = field(factory=dict)

    @classmethod
    def of(cls, root: Path) -> RunIndex:
        """Return the index of the runs in `root`; an empty one where there is none of this version."""
        path = root / ".index.json"
        data = read_json(path) or {}
        rows = data.get("rows") if data.get("format") == FORMAT else None
        return cls(path, rows if isinstance(rows, dict) else {})

    def row(self, run_id: str, stamps: Stamps) -> dict[str, Any] | None:
        """Return the row that was read from files with these stamps."""
        entry = self.before.get(run_id)
        if entry is None or entry[0] != stamps:
            return None
        self.now[run_id] = entry
        return dict(zip(COLUMNS, entry[1], strict=True))

    def keep(self, run_id: str, stamps: Stamps, row: dict[str, Any]) -> None:
        """Keep a row that was read after its files had these stamps."""
        if time.time_ns() - max(stamps[::3]) > _SETTLED_NS:
            self.now[run_id] = [stamps, [row[column] for column in COLUMNS]]

    def save(self) -> None:
        """Write the rows if they are others than before; where nothing can be written, all is read again the next time."""
        if self.now.keys() == self.before.keys() and all(entry is self.before[run] for run, entry in self.now.items()):
            return
        with contextlib.suppress(OSError):
            write_lines(
                self.path, [{"format": FORMAT, "rows": self.now}]
            )  # one line: an indented file is slow to write


def stamps_of(*files: os.stat_result) -> Stamps:
    """Return what changes when one of these files is written or replaced."""
    return [number for file in files for number in (file.st_mtime_ns, file.st_size, file.st_ino)]
