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

FORMAT = 2
_SETTLED_NS = 2_000_000_000
"""A file younger than that could be written once more within one tick of the clock that stamps it: its row is not kept."""

COLUMNS = (
    "run_id", "name", "state", "worker", "algo", "env", "seed", "step", "episodes", "return_mean", "seconds", "labels",
)  # fmt: skip
Files = tuple[os.stat_result, os.stat_result]
"""What the inodes of the config.json and the result.json of a run say."""


@define
class RunIndex:
    """The rows of a folder of runs. `before` are those of the file, `now` those of the runs that are still there.

    An entry is one list, the values of COLUMNS and the stamps as a text: with 10,000 runs, lists in lists take half again
    as long to read.
    """

    path: Path
    before: dict[str, Any] = field(factory=dict)
    now: dict[str, Any] = field(factory=dict)
    has_new: bool = False

    @classmethod
    def of(cls, root: Path) -> RunIndex:
        """Return the index of the runs in `root`; an empty one where there is none of this version."""
        path = root / ".index.json"
        data = read_json(path) or {}
        rows = data.get("rows") if data.get("format") == FORMAT else None
        return cls(path, rows if isinstance(rows, dict) else {})

    def row(self, run_id: str, files: Files) -> dict[str, Any] | None:
        """Return the row that was read from these very files, None if there is none."""
        entry = self.before.get(run_id)
        if not isinstance(entry, list) or len(entry) != len(COLUMNS) + 1 or entry[-1] != _stamps(files):
            return None
        self.now[run_id] = entry
        return dict(zip(COLUMNS, entry))  # noqa: B905 - the stamps are left over

    def keep(self, run_id: str, files: Files, row: dict[str, Any]) -> None:
        """Keep a row that was read after its files were found to be these."""
        if time.time_ns() - max(file.st_mtime_ns for file in files) > _SETTLED_NS:
            self.now[run_id] = [*(row[column] for column in COLUMNS), _stamps(files)]
            self.has_new = True

    def save(self) -> None:
        """Write the rows if they are others than before; where nothing can be written, all is read again the next time."""
        if not self.has_new and len(self.now) == len(self.before):
            return
        with contextlib.suppress(OSError):
            # one line: an indented file is slow to write
            write_lines(self.path, [{"format": FORMAT, "rows": self.now}])


def _stamps(files: Files) -> str:
    """Return what changes when one of the files is written or replaced."""
    config, result = files
    return (
        f"{config.st_mtime_ns} {config.st_size} {config.st_ino} {result.st_mtime_ns} {result.st_size} {result.st_ino}"
    )
