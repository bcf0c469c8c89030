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
from rlctl.runs.index import RunIndex, stamps_of


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
        return [RunDirectory(self.root / name) for name, _ in self._found()]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the summaries of all runs, newest first; those that have ended and were listed before, from the index."""
        index = RunIndex.of(self.root)
        for name, config in self._found():
            path = os.path.join(self.root, name)  # noqa: PTH118 - with thousands of runs a Path each is a third of the time
            result = _stat(f"{path}/result.json")
            stamps = stamps_of(config, result) if result is not None else None
            row = index.row(name, stamps) if stamps is not None else None
            if row is None:
                record = read_record(RunDirectory(self.root / name))
                row = record.summary()
                if stamps is not None and record.result:
                    index.keep(name, stamps, row)
            row["directory"] = path  # not in the index: the folder of runs may be moved
            yield row
        index.save()  # who breaks off has not seen all of them, and leaves it as it was

    def _found(self) -> list[tuple[str, os.stat_result]]:
        """Return the name of each run and what its config.json's inode says, newest first."""
        if not self.root.is_dir():
            return []
        found = []
        for entry in os.scandir(self.root):
            config, manifest = _stat(f"{entry.path}/config.json"), _stat(f"{entry.path}/manifest.json")
            if config is not None and manifest is not None and not entry.name.startswith("."):
                found.append((entry.name, config))
        return sorted(found, key=lambda item: (item[1].st_mtime, item[0]), reverse=True)

    def find(self, reference: str) -> RunDirectory:
        """Return the run that `reference` means: a path, an id or its beginning, a name, or `@latest`.

        Raises UsageError when there is none or more than one.
        """
        path = Path(reference)
        if reference and _is_run(path):
            return RunDirectory(path.resolve())
        directories = self.directories()
        if not directories:
            raise UsageError(
                f'there are no runs in "{self.root}".', hint="Start one with `rlctl run`, or say --runs-dir."
            )
        if reference == "@latest":
            return directories[0]
        exact = [item for item in directories if item.run_id == reference]
        if exact:
            return exact[0]
        matches = [
            item for item in directories if reference and item.run_id.casefold().startswith(reference.casefold())
        ] or [item for item in directories if reference and read_record(item).config.get("name") == reference]
        if len(matches) == 1:
            return matches[0]
        if matches:
            listed = ", ".join(item.run_id for item in matches[:5])
            raise UsageError(f'"{reference}" means {len(matches)} runs: {listed}.', hint="Give more of the id.")
        names = {str(record.config.get("name") or record.directory.run_id) for record in map(read_record, directories)}
        raise UsageError(f'there is no run "{reference}" in {self.root}.', hint=did_you_mean(reference, names))

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
