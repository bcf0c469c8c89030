"""Sends what a run's directory has to a URI, while it is written: whole versions, and nothing twice."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from attrs import define, field

from rlctl.errors import RlctlError, UsageError
from rlctl.runs.checkpoints import Checkpoint, CheckpointFolder
from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.remote import FORMAT, Remote, pieces_of

STATE_FILE = "logs/mirror.json"
"""How the mirror of a run fares, for who follows it; it is no part of what is sent."""
LOCK_FILE = "logs/mirror.lock"
_LEFT_OUT = (STATE_FILE, LOCK_FILE, "logs/mirror.log", "logs/reserve", "stop.json")
_FOLDERS_LEFT_OUT = ("checkpoints", "attempts")
"""Bundles are sent as such; who may train a run where it was says nothing of where it is brought to."""
_TRIES = 3


def identity_of(directory: RunDirectory) -> str:
    """Return what tells two runs of the same id apart: the hash of the event of their creation."""
    with directory.events.open("rb") as file:
        return hashlib.sha256(file.readline()).hexdigest()


@define
class Mirror:
    """One run and its place in a store. `progress` is called with each piece that is sent, by its length."""

    directory: RunDirectory
    remote: Remote
    progress: Callable[[int], None] = lambda _: None
    sent: int = 0
    _hashes: dict[str, tuple[tuple[int, ...], str]] = field(factory=dict)
    _there: dict[str, int] = field(factory=dict)

    def send(self) -> dict[str, Any]:
        """Send what is not there yet, then the index; return that. Raises what the store raises."""
        before = self.remote.read_index()
        identity = identity_of(self.directory)
        if before is not None and before.get("identity") != identity:
            raise UsageError(f"another run of the id {self.directory.run_id} is kept there; it is left as it is.")
        numbers = self.remote.indexes()
        self._there = self.remote.objects()
        ended = self.directory.result.exists()  # asked first: who sees a result has all files, the last bundle too
        files, links = self._send_bundles()
        files |= self._send_records(ended)
        index = {
            "format": FORMAT, "run_id": self.directory.run_id, "identity": identity, "mirrored_at": time.time(),
            "state": state_of(self.directory), "step": _newest_step(links), "files": files, "links": links,
        }  # fmt: skip
        wanted = {said["sha256"] for said in files.values()}
        if before is None or any(before.get(key) != index[key] for key in ("files", "links", "state")):
            self.remote.write_index(max(numbers, default=0) + 1, index)
            self.remote.forget(numbers, sorted(set(self._there) - wanted))
        return index

    # ---- bundles ---------------------------------------------------------------------------------------------------

    def _send_bundles(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Send the bundles, the newest first; one that is removed before its turn is left out."""
        folder = CheckpointFolder(self.directory.path / "checkpoints")
        files: dict[str, Any] = {}
        found: list[Checkpoint] = []
        for bundle in reversed(folder.all()):
            try:
                files |= self._send_bundle(bundle)
            except FileNotFoundError:
                continue
            found.append(bundle)
        names = {bundle.path.name for bundle in found}
        links = {"checkpoints/latest": found[0].path.name} if found else {}
        best = folder.path / "best"
        if best.is_symlink() and (name := best.readlink().name) in names:
            links["checkpoints/best"] = name
        return files, links

    def _send_bundle(self, bundle: Checkpoint) -> dict[str, Any]:
        """Send a bundle, whose members are open before the first is sent: so it may be removed meanwhile."""
        with ExitStack() as stack:
            names = ["checkpoint.json", *bundle.data["members"]]
            opened = {name: stack.enter_context((bundle.path / name).open("rb")) for name in names}
            said = {name: member["sha256"] for name, member in bundle.data["members"].items()}
            where = f"checkpoints/{bundle.path.name}"
            return {f"{where}/{name}": self._send_file(name, file, said.get(name)) for name, file in opened.items()}

    # ---- everything else -------------------------------------------------------------------------------------------

    def _send_records(self, ended: bool) -> dict[str, Any]:
        """Send the other files as long as they are now; those that grow are not shorter than at the bundles sent before."""
        files = {}
        for name in self._records():
            if name in ("result.json", "analytics.json") and not ended:
                continue
            try:
                with (self.directory.path / name).open("rb") as file:
                    files[name] = self._send_file(name, file, self._known(name, file))
            except FileNotFoundError:
                continue
        return files

    def _records(self) -> Iterator[str]:
        for folder, subfolders, names in os.walk(self.directory.path):
            place = Path(folder).relative_to(self.directory.path)
            hidden = place.parts == ()
            subfolders[:] = sorted(
                name for name in subfolders if not (name.startswith(".") or (hidden and name in _FOLDERS_LEFT_OUT))
            )
            for name in sorted(names):
                relative = (place / name).as_posix()
                path = Path(folder) / name
                if not name.startswith(".") and relative not in _LEFT_OUT and path.is_file() and not path.is_symlink():
                    yield relative

    def _known(self, name: str, file: BinaryIO) -> str | None:
        """Return the hash of a file that has not changed since it was sent."""
        stamps, digest = self._hashes.get(name, ((), ""))
        return digest if stamps == _stamps(file) else None

    def _send_file(self, name: str, file: BinaryIO, digest: str | None) -> dict[str, Any]:
        """Send a file unless its content is there; return its hash and size."""
        for _ in range(_TRIES):
            stamps = _stamps(file)
            size = stamps[1]
            if digest is None:
                said = hashlib.sha256()
                for _ in pieces_of(file, size, said.update):
                    pass
                digest = said.hexdigest()
            if self._there.get(digest) == size or self._sent_as(file, size, digest):
                self._there[digest] = size
                self._hashes[name] = (stamps, digest)
                return {"sha256": digest, "bytes": size}
            digest = None
        raise RlctlError(f"{name} is not what its hash says, or changes while it is read.")

    def _sent_as(self, file: BinaryIO, size: int, digest: str) -> bool:
        """Send a file's first `size` bytes; return whether they had that hash. What had not is removed again."""
        seen = hashlib.sha256()

        def see(piece: bytes) -> None:
            seen.update(piece)
            self.sent += len(piece)
            self.progress(len(piece))

        self.remote.send(digest, pieces_of(file, size, see))
        if seen.hexdigest() == digest:
            return True
        self.remote.forget([], [digest])
        return False


def _stamps(file: BinaryIO) -> tuple[int, ...]:
    said = os.fstat(file.fileno())
    return said.st_mtime_ns, said.st_size, said.st_ino


def _newest_step(links: dict[str, str]) -> int | None:
    return int(links["checkpoints/latest"].rpartition("-")[2]) if links else None
