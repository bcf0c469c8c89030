"""The directory of a run: the names of its files, how it comes into being whole, and what its files say.

docs/run-directory.md describes each file for users.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import frozen

from rlctl.errors import RunDirectoryError
from rlctl.runs.files import read_json, sync_directory, write_json, write_new_json
from rlctl.runs.lease import FOLDER, Attempts

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RESERVE = "reserve"


def new_run_id() -> str:
    """Return a ULID: 48 bits of milliseconds and 80 random ones in Crockford's base 32; sorts by time of creation."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


@frozen
class RunDirectory:
    """The folder of one run; `path.name` is the run's id."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def status(self) -> Path:
        return self.path / "status.json"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def stop_request(self) -> Path:
        return self.path / "stop.json"

    @property
    def analytics(self) -> Path:
        return self.path / "analytics.json"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def episodes(self) -> Path:
        return self.path / "episodes.jsonl"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def evaluations(self) -> Path:
        return self.path / "evaluations.jsonl"

    @property
    def relay(self) -> Path:
        return self.path / "logs" / "hooks.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "logs" / "worker.log"

    @property
    def backend(self) -> Path:
        return self.path / "backend"

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of the worker's output; reads at most the last 16 KiB of what may be gigabytes."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 16_384))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:]) if lines else ""

    def release_reserve(self) -> None:
        """Free the room that was kept for the end of the run, so that a full disk does not hide why it ended."""
        with contextlib.suppress(OSError):
            (self.path / "logs" / _RESERVE).unlink()

    def request_stop(self, reason: str) -> None:
        """Ask the worker to end at its next safe point; it looks about twice a second."""
        write_json(self.stop_request, {"reason": reason, "requested_at": time.time()})


def create(
    root: Path, run_id: str, files: dict[str, Any], fill: Callable[[RunDirectory], None] | None = None
) -> RunDirectory:
    """Make the directory `root/run_id` with `files` (name → JSON data), whole or not at all.

    `fill` adds what else belongs to it from the start, as that of an imported run; its path is not the final one then.
    Raises RunDirectoryError when the id exists or the place cannot be written (missing rights, full disk).
    """
    final = root / run_id
    partial = root / f".{run_id}.{os.getpid()}.partial"
    made_root = False
    try:
        made_root = not root.exists()
        if os.path.lexists(final):
            raise RunDirectoryError(f'there is a run "{run_id}" in {root} already.', hint="Choose another --run-id.")
        partial.mkdir(parents=True)
        (partial / "logs").mkdir()
        (partial / "backend").mkdir()
        (partial / "logs" / "worker.log").touch()
        (partial / "logs" / _RESERVE).write_bytes(bytes(65_536))
        for name, data in files.items():
            write_new_json(partial / name, data)
        if fill is not None:
            fill(RunDirectory(partial))
        sync_directory(partial)  # before it is renamed: after a power cut it is there with all of them, or not at all
        partial.rename(final)  # onto an empty directory only: a racing run of the same id fails here
    except OSError as error:
        _forget(partial, root if made_root else None)
        if os.path.lexists(final):
            raise RunDirectoryError(f'there is a run "{run_id}" in {root} already.') from error
        raise RunDirectoryError(
            f'cannot make the run\'s directory in "{root}": {error.strerror or error}.',
            hint="Choose another place with --runs-dir or RLCTL_RUNS_DIR.",
        ) from error
    except BaseException:  # Ctrl-C, or data that is no JSON
        _forget(partial, root if made_root else None)
        raise
    return RunDirectory(final)


def files_of(directory: RunDirectory) -> dict[str, Any]:
    """Return analytics.json: what the run left, as paths relative to its directory with their sizes in bytes."""
    found = {
        str(path.relative_to(directory.path)): path.stat().st_size
        for path in sorted(directory.path.rglob("*"))
        if path.is_file() and path != directory.analytics
    }
    return {"run_id": directory.run_id, "files": found}


def _forget(partial: Path, root: Path | None) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    if root is not None:
        with contextlib.suppress(OSError):  # somebody else's run is in it by now, or it was never made
            root.rmdir()


def state_of(directory: RunDirectory) -> str:
    """Return created, running, finished, stopped, failed, or `lost` for one whose process died without a result."""
    result = read_json(directory.result)
    if result:
        return str(result.get("status", "failed"))
    status = read_json(directory.status) or {}
    held = Attempts(directory.path / FOLDER).is_held()
    if held is not None:  # it is placed on other machines: its lease says whether somebody trains it
        return _state_until_the_result(status) if held else "lost"
    if status.get("host") != host_name():
        return str(status.get("state", "lost"))  # another machine's process cannot be looked at from here
    owners = (status.get("process"), status.get("supervisor"))
    return _state_until_the_result(status) if any(map(is_alive, owners)) else "lost"


def _state_until_the_result(status: dict[str, Any]) -> str:
    """Return the state of a run that somebody still minds: its status says that it has ended a moment before there is a result."""
    state = str(status.get("state", "lost"))
    return "running" if state in ("finished", "stopped", "failed") else state


def host_name() -> str:
    """Return this machine's name, by which a status says where its process lives."""
    return os.uname().nodename


def process_identity(pid: int | None = None) -> dict[str, Any]:
    """Return {pid, started} of a process: both are needed, as pids are used again."""
    pid = pid or os.getpid()
    return {"pid": pid, "started": _start_time(pid)}


def is_alive(identity: dict[str, Any] | None) -> bool:
    """Return whether that very process still runs (a zombie does not)."""
    if not identity:
        return False
    started = _start_time(identity["pid"])
    return started is not None and started == identity["started"]


def _start_time(pid: int) -> str | None:
    """Return the start time of a live process: clock ticks since boot on Linux, `ps`'s text elsewhere."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else fields[19]
    import subprocess

    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
