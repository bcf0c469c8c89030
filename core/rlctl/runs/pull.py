"""Brings a run back from a URI: verified by hash, whole or not at all, and not begun again after an interruption."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from rlctl.errors import RlctlError, RunDirectoryError, UsageError
from rlctl.runs.checkpoints import sha256_of
from rlctl.runs.directory import RunDirectory, host_name
from rlctl.runs.files import read_json, sync_directory, write_json
from rlctl.runs.mirror import identity_of
from rlctl.runs.remote import Remote, checked_index


@frozen
class Pulled:
    """A run that was brought back, how many bytes of it came now, and what its index says."""

    directory: RunDirectory
    received: int
    index: dict[str, Any]


def pull(remote: Remote, root: Path) -> Pulled:
    """Make the run at `remote` one of the runs in `root`.

    Raises UsageError where there is none, or the place is another run's; RlctlError for content that is not its hash's; and
    what the store raises. What had arrived is kept then, hidden, for the next try.
    """
    index = _index(remote)
    name = index["run_id"]
    final, partial = root / name, root / f".{name}.pull"
    if os.path.lexists(final):
        return _already_there(RunDirectory(final), index)
    try:
        partial.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunDirectoryError(f'cannot bring a run to "{root}": {error.strerror or error}.') from error
    with _alone(partial, name):
        received, index = _fill_newest(partial, remote, index)
        _own(partial)
        partial.rename(final)
        sync_directory(root)
    return Pulled(RunDirectory(final), received, index)


def _index(remote: Remote) -> dict[str, Any]:
    found = remote.read_index()
    if found is None:
        runs = remote.beside()
        hint = (
            f"There is: {', '.join(runs)}." if runs else "The URI of a run is that of `save_uri`, and its id behind it."
        )
        raise UsageError(f"no run is kept at {remote.path}.", hint=hint)
    index = checked_index(found)
    if index.get("run_id") != remote.run_id:
        raise RlctlError(f"the index at {remote.path} is that of another run; nothing was brought back.")
    return index


def _already_there(directory: RunDirectory, index: dict[str, Any]) -> Pulled:
    """Return a run that is here already, unchanged. Raises UsageError for another one, or one that went another way."""
    hint = "Remove it first, or say another --runs-dir."
    try:
        own = identity_of(directory)
    except OSError:
        own = None
    if own != index["identity"]:
        raise UsageError(f'another run of the id "{directory.run_id}" is in {directory.path.parent}.', hint=hint)
    for name, said in index["files"].items():
        if name != "status.json" and not _is(directory.path / name, said):
            raise UsageError(
                f"run {directory.run_id} is in {directory.path.parent}, and its {name} differs.", hint=hint
            )
    return Pulled(directory, 0, index)


@contextlib.contextmanager
def _alone(partial: Path, name: str) -> Iterator[None]:
    handle = os.open(partial, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise UsageError(f"run {name} is being brought here by another process.") from error
    finally:
        os.close(handle)


def _fill_newest(partial: Path, remote: Remote, index: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Fetch what the index names; the next one, if that is replaced meanwhile by a training that goes on."""
    while True:
        try:
            return _fill(partial, remote, index), index
        except FileNotFoundError as error:
            newer = _index(remote)
            if newer == index:
                raise RlctlError(f"content is missing at {remote.path}: {error}") from error
            index = newer


def _fill(partial: Path, remote: Remote, index: dict[str, Any]) -> int:
    """Fetch what is not there yet, remove what the index does not have; return the number of bytes that came."""
    files = index["files"]
    for path in sorted(partial.rglob("*"), reverse=True):
        if (path.is_symlink() or not path.is_dir()) and path.relative_to(partial).as_posix() not in files:
            path.unlink()
    received = 0
    for name, said in files.items():
        target = partial / name
        if not _is(target, said):
            target.parent.mkdir(parents=True, exist_ok=True)
            received += _fetch(remote, name, said, target)
    for name, bundle in index["links"].items():
        (partial / name).symlink_to(bundle)
    for folder in ("logs", "backend"):
        (partial / folder).mkdir(exist_ok=True)
    return received


def _fetch(remote: Remote, name: str, said: dict[str, Any], target: Path) -> int:
    arriving = target.with_name(f".{target.name}.arriving")
    digest, size = hashlib.sha256(), 0
    with arriving.open("wb") as file:
        for piece in remote.receive(said["sha256"]):
            digest.update(piece)
            size += len(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if (digest.hexdigest(), size) != (said["sha256"], said["bytes"]):
        arriving.unlink()
        raise RlctlError(
            f"{name} was altered where it is kept: it has {size} bytes, and not the hash that it should have."
        )
    os.replace(arriving, target)
    return size


def _is(path: Path, said: dict[str, Any]) -> bool:
    if not path.is_file() or path.is_symlink() or path.stat().st_size != said["bytes"]:
        return False
    return bool(sha256_of(path) == said["sha256"])


def _own(partial: Path) -> None:
    """Let the status of a run that has no result say that nobody trains it here: the process that it names is elsewhere."""
    directory = RunDirectory(partial)
    if not directory.result.exists():
        status = read_json(directory.status) or {}
        write_json(
            directory.status, {**status, "state": "lost", "host": host_name(), "process": None, "supervisor": None}
        )
