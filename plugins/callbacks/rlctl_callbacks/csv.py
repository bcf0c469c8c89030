"""Episodes and metrics as tables, `episodes.csv` and `metrics.csv`; each row is handed to the system at once.

A metric that appears later is a new column at the right: the file is replaced, whole, by one with the wider heading, and
earlier rows have an empty cell there. Numbers that are not finite are `nan`, `inf` and `-inf`.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlctl import CheckpointSaved, Episode, Metrics, Result, RunInfo, hookimpl
from rlctl_callbacks.resuming import Ledger

_EPISODE = ("episode", "step", "return", "length", "env", "seconds")
_METRICS = ("step", "seconds")


class Csv:
    """Writes the two tables into the run's directory; a resumed run's have each row once, as if it had never stopped."""

    def __init__(self, run: RunInfo) -> None:
        self._ledger = Ledger(run, "csv")
        self._tables = {
            "episodes": Table(run.directory / "episodes.csv", _EPISODE),
            "metrics": Table(run.directory / "metrics.csv", _METRICS),
        }
        resumed = self._ledger.resumed
        for name, table in self._tables.items():
            if resumed is not None and resumed.noted is not None:
                table.keep(resumed.noted[name])
            elif resumed is not None:
                table.keep_until(resumed.step)

    @hookimpl
    def rlctl_episode_ended(self, episode: Episode) -> None:
        self._tables["episodes"].write({**episode.to_json(), "return": float(episode.episode_return)})

    @hookimpl
    def rlctl_metrics(self, metrics: Metrics) -> None:
        line = metrics.to_json()
        values = {
            name: float(value) for name, value in metrics.values.items()
        }  # torch's numbers would say what they are
        self._tables["metrics"].write({"step": line["step"], "seconds": line["seconds"], **values})

    @hookimpl
    def rlctl_checkpoint_saved(self, checkpoint: CheckpointSaved) -> None:
        self._ledger.note(checkpoint, {name: table.rows for name, table in self._tables.items()})

    @hookimpl
    def rlctl_training_ended(self, result: Result) -> None:
        for table in self._tables.values():
            table.close()


class Table:
    """A CSV file that grows by rows and by columns. `rows` is their number, the heading not counted."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self._columns = list(columns)
        self.rows = 0
        found = list(self._read()) if path.exists() else []
        if found:
            self._columns = list(found[0])
        self._replace(found[1:])  # without a last row that a kill has torn
        self._open()

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row; names that have no column yet get one."""
        new = row.keys() - self._known
        if new:
            self._widen([name for name in row if name in new])
        self._writer.writerow([row.get(name, "") for name in self._columns])
        self._file.flush()
        self.rows += 1

    def keep(self, rows: int) -> None:
        """Throw away what comes after so many rows."""
        self._rewrite(list(self._read())[1 : rows + 1])

    def keep_until(self, step: int) -> None:
        """Throw away the rows of later steps."""
        at = self._columns.index("step")
        self._rewrite([row for row in list(self._read())[1:] if int(row[at]) <= step])

    def close(self) -> None:
        self._file.close()

    def _open(self) -> None:
        self._known = set(self._columns)
        self._file = self._path.open("a", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")

    def _widen(self, names: Sequence[str]) -> None:
        rows = list(self._read())[1:]
        self._columns += names
        self._rewrite(rows)

    def _rewrite(self, rows: Sequence[Sequence[str]]) -> None:
        self._file.close()
        self._replace(rows)
        self._open()

    def _replace(self, rows: Sequence[Sequence[str]]) -> None:
        """Put a file with these rows in the place of the old one: a kill leaves the one or the other."""
        partial = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self._columns)
            writer.writerows([*row, *[""] * (len(self._columns) - len(row))] for row in rows)
        os.replace(partial, self._path)
        self.rows = len(rows)

    def _read(self) -> Iterator[list[str]]:
        """Yield the heading and the rows that end with a line break."""
        text = self._path.read_text(encoding="utf-8")
        yield from csv.reader(text[: text.rfind("\n") + 1].splitlines(keepends=True))
