"""A run at a URI: what may be one, and the objects and indexes that are read and written there by fsspec.

`URI/RUN_ID/objects/SHA256` has the content of a file, under its hash; `URI/RUN_ID/index-NUMBER.json` says which files a run
has, and comes last. So a version is there whole or not at all on any store, also on those that know no atomic rename: an
index that was cut off is no JSON, and the one before it, with all of its objects, is removed only after the next is there.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from attrs import frozen

from rlctl.errors import NotAvailableError, Problem, RlctlError, UsageError, did_you_mean
from rlctl.requirements import missing

FORMAT = 1
REQUIREMENT = "fsspec>=2024.2"
_LOCAL = ("file", "local")
_WITHIN_A_PROCESS = ("memory",)
_OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "oss", "oci", "tos", "memory")
"""Stores without folders; asked for one, some would make a bucket of a name that is only misspelt."""
_INDEX = re.compile(r"index-(\d{8})\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PIECE = 4 << 20
_LINKS = {"checkpoints/latest", "checkpoints/best"}


# ---- URIs ----------------------------------------------------------------------------------------------------------


def uri_problem(uri: str) -> tuple[str, str] | None:
    """Return what is wrong with a URI at which runs are kept, and what to do; never repeats a secret that is in it."""
    if "::" in uri:
        return "has a chain of protocols", "Name the store alone."
    protocol, separator, rest = uri.partition("://")
    if not separator or not protocol.isidentifier():
        return "is no URI", "Say file:///folder, s3://bucket/folder, or what else fsspec knows."
    authority = rest.partition("/")[0]
    if ":" in authority.rpartition("@")[0] or "?" in rest or "#" in rest:
        message = (
            "has a password, or parameters, in which keys are given; a run keeps its configuration, for all to read"
        )
        hint = (
            "Leave them to the store's environment variables, AWS_ACCESS_KEY_ID say, or to fsspec's own configuration."
        )
        return message, hint
    if protocol in _LOCAL and not rest.startswith("/"):
        return f'"{uri}" would be another folder for each process', "Say the whole path: file:///folder."
    if protocol in _WITHIN_A_PROCESS:
        return f'"{uri}" ends with the process that writes to it', "Name a store that stays."
    return None


def why_unavailable(uri: str) -> tuple[str, str] | None:
    """Return what is not installed that a sound URI needs, and what to do."""
    lacking = missing(REQUIREMENT)
    if lacking is not None:
        return f"{lacking}.", "pip install 'rlctl[remote]'"
    import fsspec
    from fsspec.registry import known_implementations

    protocol = uri.partition("://")[0]
    try:
        fsspec.get_filesystem_class(protocol)
    except ValueError:
        return f'fsspec knows no "{protocol}://".', did_you_mean(protocol, known_implementations) or "See its list."
    except ImportError as error:
        return f"{error}.", "pip install it."
    return None


def require_uri(uri: str) -> None:
    """Raise UsageError or NotAvailableError for a URI that cannot be used."""
    if wrong := uri_problem(uri):
        raise UsageError(f"the URI {wrong[0]}.", hint=wrong[1])
    if lacking := why_unavailable(uri):
        raise NotAvailableError(lacking[0], hint=lacking[1])


def save_uri_problems(uri: str | None) -> list[Problem]:
    """Return what is wrong with `save_uri`, if it is set."""
    if uri is None:
        return []
    if wrong := uri_problem(uri):
        return [Problem("save_uri", f"{wrong[0]}.", wrong[1])]
    if lacking := why_unavailable(uri):
        return [Problem("save_uri", lacking[0], lacking[1], unavailable=True)]
    return []


# ---- what is there -------------------------------------------------------------------------------------------------


@frozen
class Remote:
    """The folder of one run in a store; `fs` is fsspec's file system. Its methods raise whatever the store does."""

    fs: Any
    path: str

    @property
    def run_id(self) -> str:
        """The run's id, by the folder's name."""
        return self.path.rpartition("/")[2]

    def indexes(self) -> list[int]:
        """Return the numbers of all indexes, the newest first; one of them may have been cut off."""
        names = (entry.rpartition("/")[2] for entry in self._list(self.path))
        return sorted((int(found[1]) for name in names if (found := _INDEX.fullmatch(name))), reverse=True)

    def read_index(self) -> dict[str, Any] | None:
        """Return the newest index that is whole, None where there is none. Raises RlctlError for one of a newer rlctl."""
        for number in self.indexes():
            try:
                data = json.loads(self.fs.cat_file(self._index(number)))
            except (ValueError, FileNotFoundError):  # cut off, or replaced meanwhile
                continue
            if data.get("format", 0) > FORMAT:
                raise RlctlError(f"{self.path} was written by a newer rlctl: upgrade this one.")
            return dict(data)
        return None

    def write_index(self, number: int, data: dict[str, Any]) -> None:
        """Write an index, which makes what it names a version."""
        text = json.dumps(data, indent=1) + "\n"
        self._make_folder(self.path)
        self.fs.pipe_file(self._index(number), text.encode())

    def objects(self) -> dict[str, int]:
        """Return hash → bytes of all contents that are there; one that was cut off has fewer bytes than it should."""
        found = self.fs.find(f"{self.path}/objects", detail=True)
        return {name.rpartition("/")[2]: int(entry["size"] or 0) for name, entry in found.items()}

    def send(self, sha256: str, pieces: Iterator[bytes]) -> None:
        """Write the content of this hash."""
        self._make_folder(f"{self.path}/objects")
        with self.fs.open(self._object(sha256), "wb") as file:
            for piece in pieces:
                file.write(piece)

    def receive(self, sha256: str) -> Iterator[bytes]:
        """Yield the content of this hash in pieces."""
        with self.fs.open(self._object(sha256), "rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def forget(self, numbers: list[int], hashes: list[str]) -> None:
        """Remove indexes, and only then contents; what cannot be removed stays, and harms nobody."""
        for path in [*map(self._index, numbers), *map(self._object, hashes)]:
            with contextlib.suppress(Exception):  # a store may refuse it, which costs room only
                self.fs.rm_file(path)

    def _index(self, number: int) -> str:
        return f"{self.path}/index-{number:08d}.json"

    def _object(self, sha256: str) -> str:
        return f"{self.path}/objects/{sha256}"

    def _list(self, path: str) -> list[str]:
        self.fs.invalidate_cache()
        try:
            return [str(name).rstrip("/") for name in self.fs.ls(path, detail=False)]
        except FileNotFoundError:
            return []

    def _make_folder(self, path: str) -> None:
        protocol = self.fs.protocol if isinstance(self.fs.protocol, str) else self.fs.protocol[0]
        if protocol not in _OBJECT_STORES:
            self.fs.makedirs(path, exist_ok=True)

    def beside(self) -> list[str]:
        """Return the runs that are kept in this folder, should it be one of runs."""
        names = [name.rpartition("/")[2] for name in self._list(self.path)]
        return sorted(name for name in names if Remote(self.fs, f"{self.path}/{name}").indexes())


def open_remote(uri: str) -> Remote:
    """Return the run at a URI that `require_uri` lets pass."""
    import fsspec.core

    # Others write there, too: a listing that was kept would hide it.
    fs, path = fsspec.core.url_to_fs(uri.rstrip("/"), use_listings_cache=False, skip_instance_cache=True)
    return Remote(fs, path)


def checked_index(data: dict[str, Any]) -> dict[str, Any]:
    """Return an index that names files within a run's directory only. Raises RlctlError: it may be a stranger's."""
    try:
        files, links, identity = data["files"], data["links"], data["identity"]
        sound = isinstance(identity, str) and all(
            _is_inside(path) and _SHA256.fullmatch(said["sha256"]) and int(said["bytes"]) >= 0
            for path, said in files.items()
        )
        sound = sound and all(path in _LINKS and re.fullmatch(r"step-\d+", to) for path, to in links.items())
    except (KeyError, TypeError, ValueError, AttributeError):
        sound = False
    if not sound:
        raise RlctlError("the index names what no run has; nothing was brought back.")
    return data


def _is_inside(path: str) -> bool:
    """Return whether a path stays within the folder that it is relative to, and is no hidden one."""
    parts = PurePosixPath(path).parts
    return bool(parts) and "/".join(parts) == path and "\\" not in path and not any(p.startswith(".") for p in parts)


def pieces_of(file: BinaryIO, size: int, seen: Callable[[bytes], Any]) -> Iterator[bytes]:
    """Yield the first `size` bytes of a file that may be growing, in pieces that `seen` is shown."""
    file.seek(0)
    left = size
    while left > 0 and (piece := file.read(min(left, _PIECE))):
        left -= len(piece)
        seen(piece)
        yield piece
