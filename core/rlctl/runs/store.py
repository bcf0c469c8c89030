"""The run store: a folder of run directories. Lists runs and resolves what people call them."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from rlctl.errors import RunDirectoryError, UsageError, did_you_mean
from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json
from rlctl.runs.index import RunIndex


def default_root() -> Path:
    """Return where runs are kept: RLCTL_RUNS_DIR, else `runs` in the current folder."""
    return Path(os.environ.get("RLCTL_RUNS_DIR") or "runs")


@frozen
class Record:
    """One run as the store sees it; `status` and `result` are what their files said when it was read.

    `declared` is what plugins said that they do in it, beside its configuration.
    """

    directory: RunDirectory
    state: str
    config: dict[str, Any]
    declared: dict[str, Any]
    status: dict[str, Any]
    result: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        """Return the row of `runs list`: plain data under stable names."""
        latest = self.result or self.status
        env, labels = self.config.get("env"), self.config.get("labels")
        return {
            "run_id": self.directory.run_id,
            "name": self.config.get("name"),
            "state": self.state,
            "worker": self.config.get("worker"),
            "algo": self.config.get("algo"),
            "env": env.get("id") if isinstance(env, dict) else None,
            "seed": self.config.get("seed"),
            "step": latest.get("step", 0),
            "episodes": latest.get("episodes", 0),
            "return_mean": latest.get("return_mean"),
            "seconds": latest.get("seconds"),
            "labels": labels if isinstance(labels, dict) else {},
            "directory": str(self.directory.path),
        }


def read_record(directory: RunDirectory) -> Record:
    """Read what a run's files say now."""
    said = read_json(directory.config) or {}
    config, declared = said.get("config"), said.get("declared")
    return Record(
        directory,
        state_of(directory),
        config if isinstance(config, dict) else {},  # one damaged run must not hide all others
        declared if isinstance(declared, dict) else {},  # runs of the first days have none
        read_json(directory.status) or {},
        read_json(directory.result) or {},
    )


@frozen
class RunStore:
    """The runs below `root`; a folder is a run when it has both config.json and manifest.json."""

    root: Path

    def directories(self) -> list[RunDirectory]:
        """Return all runs, newest first (their ids sort by time; others by when their configuration was written)."""
        return [RunDirectory(Path(path)) for _, path, _ in self._found()]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the summaries of all runs, newest first; those that have ended and were read before, from the index."""
        index = RunIndex.of(self.root)
        for name, path, config in self._found():
            result = _stat(f"{path}/result.json")
            files = (config, result) if result is not None else None
            row = index.row(name, files) if files is not None else None
            if row is None:
                record = read_record(RunDirectory(Path(path)))
                row = record.summary()
                if files is not None and record.result:
                    index.keep(name, files, row)
            row["directory"] = path  # not in the index: the folder of runs may be moved
            yield row
        index.save()  # who breaks off has not seen all of them, and leaves it as it was

    def _found(self, beginning: str = "") -> Iterator[tuple[str, str, os.stat_result]]:
        """Yield the name and path of each run, and what its config.json's inode says, newest first.

        Only runs whose names begin with `beginning`, in capitals or not; the others are not even looked at.
        """
        if not self.root.is_dir():
            return
        found, folded = [], beginning.casefold()
        for entry in os.scandir(self.root):
            if entry.name.startswith(".") or not entry.name.casefold().startswith(folded):
                continue
            config = _stat(f"{entry.path}/config.json")
            if config is not None:
                found.append((config.st_mtime, entry.name, entry.path, config))
        for _, name, path, config in sorted(found, reverse=True):
            # Half the time of a stat, and who wants the latest asks once.
            if os.access(f"{path}/manifest.json", os.F_OK):
                yield name, path, config

    def find(self, reference: str) -> RunDirectory:
        """Return the run that `reference` means: a path, an id or its beginning, a name, or `@latest`.

        No file of a run is opened unless it is a name. Raises UsageError when there is none or more than one.
        """
        path = Path(reference)
        if reference and _is_run(path):
            return RunDirectory(path.resolve())
        matches = self._latest() if reference == "@latest" else self._identified(reference) or self._named(reference)
        if len(matches) > 1:
            listed = ", ".join(matches[:5])
            raise UsageError(f'"{reference}" means {len(matches)} runs: {listed}.', hint="Give more of the id.")
        return RunDirectory(self.root / matches[0])

    def _latest(self) -> list[str]:
        """Return the newest run. Raises UsageError if there is none."""
        for name, _, _ in self._found():
            return [name]
        raise self._no_runs()

    def _identified(self, reference: str) -> list[str]:
        """Return the run of that id, else those whose ids begin with it."""
        found = [name for name, _, _ in self._found(reference)] if reference else []
        return [reference] if reference in found else found

    def _named(self, reference: str) -> list[str]:
        """Return the runs of that name. Raises UsageError if there is none."""
        names = {row["run_id"]: row["name"] for row in self.rows()}
        if not names:
            raise self._no_runs()
        matches = [run_id for run_id, name in names.items() if reference and name == reference]
        if not matches:
            known = {str(name or run_id) for run_id, name in names.items()}
            raise UsageError(f'there is no run "{reference}" in {self.root}.', hint=did_you_mean(reference, known))
        return matches

    def _no_runs(self) -> UsageError:
        return UsageError(f'there are no runs in "{self.root}".', hint="Start one with `rlctl run`, or say --runs-dir.")

    def require_ended(self, directory: RunDirectory) -> None:
        """Raise UsageError if the run goes on."""
        if state_of(directory) in ("running", "created"):
            raise UsageError(
                f"run {directory.run_id} is still running.", hint=f"Stop it first: rlctl runs stop {directory.run_id}"
            )

    def remove(self, directory: RunDirectory) -> None:
        """Delete a run; it is renamed away first, so that a half-deleted run is never seen. Raises UsageError if it runs."""
        self.require_ended(directory)
        doomed = directory.path.with_name(f".{directory.run_id}.removed")
        try:
            shutil.rmtree(doomed, ignore_errors=True)  # what an interrupted removal of the same id left
            directory.path.rename(doomed)
            shutil.rmtree(doomed)
        except OSError as error:
            raise RunDirectoryError(f"cannot remove {directory.path}: {error.strerror or error}.") from error


def _is_run(path: Path) -> bool:
    # Many a folder of other programs has a config.json alone (every model of Hugging Face's), and runs can be removed.
    return _stat(f"{path}/config.json") is not None and _stat(f"{path}/manifest.json") is not None


def _stat(path: str) -> os.stat_result | None:
    """Return what a file's inode says, None when there is no such file."""
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None
