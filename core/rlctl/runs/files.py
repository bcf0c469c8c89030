"""Files that survive a kill: atomic JSON writes, and readers of JSON lines that see only what was finished."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

WORTH_HASHING = 1 << 20
"""Bytes from which on it pays to keep the hash; a smaller file is read again in no time."""


def write_json(path: Path, data: Any, *, durable: bool = True, stage: Path | None = None) -> None:
    """Replace `path` with `data` as JSON, whole or not at all; `durable` also waits for the disk.

    A status that is rewritten each second is not worth an fsync; a result is. It is made in the folder `stage`, where
    there is one, and beside `path` otherwise; without that folder FileNotFoundError is raised, and nothing is replaced.
    """
    write_text(path, _text_of(data), durable=durable, stage=stage)


def write_new_json(path: Path, data: Any) -> None:
    """Write `data` as JSON to a file that is not there yet, and wait for the disk, but not for the file's name.

    For a folder that nobody looks into before it is renamed; `sync_directory` once makes all names in it last.
    """
    _fill(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), _text_of(data), durable=True)


def link_json(path: Path, data: Any) -> bool:
    """Write `data` as JSON to `path`, whole, if there is no such file; returns whether it was us who made it."""
    temporary = _temporary(path.parent, path.name, _text_of(data), durable=True)
    try:
        os.link(temporary, path)
    except FileExistsError:
        if temporary.stat().st_nlink < 2:  # else it was us: NFS asks again when an answer was lost, and refuses itself
            return False
    finally:
        temporary.unlink()
    sync_directory(path.parent)
    return True


def _text_of(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Replace `path` with objects as lines of JSON, whole or not at all."""
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))


def write_text(path: Path, text: str, *, durable: bool = True, stage: Path | None = None) -> None:
    """Replace `path` with a text, whole or not at all; `durable` and `stage` as of `write_json`."""
    temporary = _temporary(stage or path.parent, path.name, text, durable)
    try:
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def _temporary(folder: Path, name: str, text: str, durable: bool) -> Path:
    """Return a file in `folder` with that text."""
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
    try:
        _fill(handle, text, durable)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return Path(temporary)


def _fill(handle: int, text: str, durable: bool) -> None:
    """Write a text to a file that is open and close it; all may read it then, which a file of `mkstemp` hides from them."""
    # A lone surrogate (an argument or path that was not UTF-8) becomes its escape, which is legal JSON.
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
        os.fchmod(handle, 0o644)
        if durable:
            file.flush()
            os.fsync(handle)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in `path`, or None when there is none (yet) or it cannot be read as one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def append_line(path: Path, data: Mapping[str, Any], *, durable: bool = False) -> None:
    """Append an object as one line of JSON; a torn last line, left by a kill, is closed first so that it costs only itself."""
    line = json.dumps(data, default=str) + "\n"
    with path.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                line = "\n" + line
        file.write(line.encode())
        if durable:
            file.flush()
            os.fsync(file.fileno())


def write_hashed(path: Path, pieces: Sequence[bytes | memoryview]) -> None:
    """Write pieces one after the other; a large file is synced, and its hash computed meanwhile and left in `.NAME.sha256`.

    Whoever needs the hash, a checkpoint does, need not read gigabytes once more; and it is of what was meant to be written.
    """
    import hashlib
    from concurrent.futures import ThreadPoolExecutor  # who only reads files need not wait for these two

    size = sum(map(len, pieces))
    with path.open("wb") as file:
        if size < WORTH_HASHING:
            file.writelines(pieces)
            return
        digest = hashlib.sha256()
        with ThreadPoolExecutor(1) as hashing:
            for piece in pieces:
                hashing.submit(digest.update, piece)  # both let go of the interpreter: two cores share the work
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())  # it will be wanted anyway, and now the disk works while the hash is finished
    hash_file(path).write_text(f"{digest.hexdigest()} {size}", encoding="ascii")


def hash_file(path: Path) -> Path:
    """Return where the hash of a file stands that was computed while it was written."""
    return path.with_name(f".{path.name}.sha256")


def sync_directory(path: Path) -> None:
    """Make a rename in `path` survive a power cut, where the platform can open directories."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems refuse; the rename itself has happened
    finally:
        os.close(handle)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the complete lines of a JSON-lines file; a missing file has none, a torn or foreign line is skipped."""
    reader = LineReader(path)
    yield from reader.read()


class LineReader:
    """Follows a JSON-lines file that another process appends to; `read` yields what was completed since the last call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield new complete lines; starts over when the file has become shorter (it was cut back by a resume)."""
        try:
            size = self.path.stat().st_size
        except OSError:
            return
        if size < self._offset:
            self._offset = 0
        if size == self._offset:
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                try:
                    data = json.loads(line)
                except ValueError:
                    continue
                if isinstance(data, dict):
                    yield data
