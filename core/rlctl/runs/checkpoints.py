"""Checkpoint bundles: a folder of members with the hash of each, that exists whole or not at all.

A bundle is written to a temporary folder, every member synced, and renamed into place; `latest` and `best` are links
that are replaced atomically. docs/checkpoints.md describes it for users.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from attrs import frozen

from rlctl.errors import CheckpointError
from rlctl.runs.files import hash_file, read_json, sync_directory, write_json

FORMAT = 1
"""The version of the layout; a bundle of a newer one is refused in one sentence."""

MILESTONE = "milestone"
"""The reason of a checkpoint that is kept for good."""

_PREFIX = "step-"
_SYNCS = 8
"""Files that are synced at the same time: the disk then waits once for several of them."""
_LINKS = ("latest", "best")


@frozen
class Checkpoint:
    """One bundle. `data` is what its checkpoint.json says."""

    path: Path
    data: Mapping[str, Any]

    @property
    def step(self) -> int:
        """Environment steps taken when it was saved."""
        return int(self.data["step"])

    def member(self, name: str) -> Path:
        """Return the path of a member; raises CheckpointError if it has none of that name."""
        if name not in self.data["members"]:
            raise CheckpointError(f"{self.path} has no member {name}.")
        return self.path / name

    def verify(self) -> None:
        """Raise CheckpointError naming the member that is missing, torn or altered."""
        for name, said in self.data["members"].items():
            path = self.path / name
            if not path.is_file():
                raise CheckpointError(f"checkpoint {self.path}: the member {name} is missing.")
            if path.stat().st_size != said["bytes"]:
                raise CheckpointError(
                    f"checkpoint {self.path}: the member {name} has {path.stat().st_size} bytes, not {said['bytes']}."
                )
            if sha256_of(path) != said["sha256"]:
                raise CheckpointError(f"checkpoint {self.path}: the member {name} was altered, its hash differs.")

    def sha256(self) -> str:
        """Return the hash of the bundle: of its description, which has the hash of every member."""
        return sha256_of(self.path / "checkpoint.json")


@frozen
class CheckpointFolder:
    """The `checkpoints/` folder of a run.

    A process that holds a lease (`rlctl.runs.lease`) makes bundles in its `stage`. Once that is taken away it can publish none.
    """

    path: Path
    stage: Path | None = None

    def all(self) -> list[Checkpoint]:
        """Return the bundles by step, the oldest first; what is half-written or unreadable is none."""
        if not self.path.is_dir():
            return []
        found = [read_checkpoint(path) for path in sorted(self.path.glob(f"{_PREFIX}*")) if path.is_dir()]
        return sorted((item for item in found if item is not None), key=lambda item: item.step)

    def find(self, reference: str) -> Checkpoint:
        """Return the bundle that `latest`, `best` or a step means; raises CheckpointError, listing which there are."""
        bundles = self.all()
        linked = self.path / reference
        if reference in _LINKS and linked.exists():
            found = read_checkpoint(linked.resolve())
            if found is None:
                raise CheckpointError(
                    f"checkpoint {linked.resolve()}: its checkpoint.json is missing or cannot be read.",
                    hint=self._offer(bundles),
                )
            return found
        if reference == "latest" and bundles:
            return bundles[-1]  # the link itself was lost
        for bundle in bundles:
            if reference.isdecimal() and bundle.step == int(reference):
                return bundle
        steps = ", ".join(str(bundle.step) for bundle in bundles) or "none"
        raise CheckpointError(f'there is no checkpoint "{reference}" in {self.path}.', hint=f"There is: {steps}.")

    def find_sound(self, reference: str) -> Checkpoint:
        """Return the bundle after verifying it; raises CheckpointError, naming the newest earlier one that is sound."""
        chosen = self.find(reference)
        if int(chosen.data.get("format", 0)) > FORMAT:
            raise CheckpointError(
                f"checkpoint {chosen.path} has format {chosen.data['format']}, this rlctl reads {FORMAT}: upgrade rlctl."
            )
        try:
            chosen.verify()
        except CheckpointError as error:
            earlier = [bundle for bundle in self.all() if bundle.step < chosen.step]
            raise CheckpointError(error.message, hint=self._offer(earlier)) from error
        return chosen

    def _offer(self, bundles: list[Checkpoint]) -> str:
        """Return the newest of `bundles` that is sound, as a hint."""
        sound = next((bundle.step for bundle in reversed(bundles) if _is_sound(bundle)), None)
        return "There is no sound one before it." if sound is None else f"A sound one before it: --checkpoint {sound}."

    def begin(self, step: int) -> Path:
        """Return a fresh temporary folder for a bundle of `step`; `commit` makes it one."""
        self.path.mkdir(parents=True, exist_ok=True)
        temporary = (self.stage or self.path) / f".{_PREFIX}{step:012d}.{os.getpid()}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        return temporary

    def commit(self, temporary: Path, data: Mapping[str, Any]) -> Checkpoint:
        """Seal the members in `temporary` and put the bundle in its place; it then is `latest`.

        Raises OSError, a full disk say; the previous bundles are untouched then.
        """
        members = _sealed(temporary)
        sealed = {"format": FORMAT, "created_at": time.time(), **data, "members": members}
        write_json(temporary / "checkpoint.json", sealed)
        final = self._place_for(int(data["step"]))
        os.rename(temporary, final)
        sync_directory(self.path)
        self.link("latest", final)
        return Checkpoint(final, sealed)

    def _place_for(self, step: int) -> Path:
        """Return where a bundle goes. The same step saved again, after a resume, replaces the one before.

        Where leases are held it has a name of its own instead: a process that was taken over must not remove its successor's.
        """
        name = f"{_PREFIX}{step:012d}"
        if self.stage is None:
            self._remove(self.path / name)
            return self.path / name
        return self.path / f"{name}.{self.stage.name}"

    def link(self, name: str, target: Path | None) -> None:
        """Let `name` (latest or best) point to a bundle, replacing the link in one step; None removes it."""
        if target is None:
            self._remove(self.path / name)
            return
        temporary = (self.stage or self.path) / f".{name}.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target.name)
        os.replace(temporary, self.path / name)

    def prune(self, keep_last: int | None, keep: Iterable[int] = ()) -> None:
        """Remove all but the last `keep_last` bundles, what the links point to, milestones, and those of the steps in `keep`."""
        if keep_last is None:
            return
        bundles = self.all()
        linked = {os.path.realpath(self.path / name) for name in _LINKS if (self.path / name).exists()}
        wanted = set(keep)
        for bundle in bundles[: max(0, len(bundles) - max(1, keep_last))]:
            kept = bundle.step in wanted or bundle.data.get("reason") == MILESTONE
            if not kept and os.path.realpath(bundle.path) not in linked:
                self._remove(bundle.path)

    def after(self, checkpoint: Checkpoint) -> list[Checkpoint]:
        """Return the bundles of later steps."""
        return [bundle for bundle in self.all() if bundle.step > checkpoint.step]

    def _remove(self, path: Path) -> None:
        """Remove a bundle or a link; who has lost the stage can remove nothing."""
        doomed = (self.stage or self.path) / f".removed-{path.name}"
        _remove_whatever(doomed)
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, doomed)  # first, so that nobody meets a half-removed bundle
        _remove_whatever(doomed)

    def sweep(self) -> None:
        """Remove what an interrupted save or removal left; only for the process that owns the run."""
        if self.path.is_dir():
            for path in self.path.glob(".*"):
                _remove_whatever(path)


def _remove_whatever(path: Path) -> None:
    is_folder = path.is_dir() and not path.is_symlink()
    shutil.rmtree(path, ignore_errors=True) if is_folder else path.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Return the bundle at `path`, or None when there is no readable description."""
    data = read_json(path / "checkpoint.json")
    return None if data is None or "members" not in data or "step" not in data else Checkpoint(path, data)


def sha256_of(path: Path) -> str:
    """Return the hash of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _sealed(folder: Path) -> dict[str, dict[str, Any]]:
    """Wait until every file below `folder` is on the disk, and return its hash and size; both at the same time."""
    known = {path: _taken_hash(path) for path in folder.rglob("*") if path.is_file() and not _is_hash(path)}
    paths = sorted(known)
    with ThreadPoolExecutor(_SYNCS) as pool:
        synced = pool.map(_sync_file, paths)
        hashes = [known[path] or sha256_of(path) for path in paths]
        list(synced)  # raises what a sync raised
    return {
        path.relative_to(folder).as_posix(): {"sha256": digest, "bytes": path.stat().st_size}
        for path, digest in zip(paths, hashes, strict=True)
    }


def _is_hash(path: Path) -> bool:
    return path.name.startswith(".") and path.suffix == ".sha256"


def _taken_hash(path: Path) -> str | None:
    """Return the hash that was computed while a file was written, and remove it; None without one, or of another size."""
    beside = hash_file(path)
    try:
        digest, size = beside.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    beside.unlink()
    return digest if path.stat().st_size == int(size) else None


def _is_sound(bundle: Checkpoint) -> bool:
    try:
        bundle.verify()
    except (CheckpointError, OSError):
        return False
    return True


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
