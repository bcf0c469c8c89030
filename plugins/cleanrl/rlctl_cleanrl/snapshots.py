"""Copies of CleanRL's scripts in the cache: how one is made, sealed with a manifest, put in place and verified."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from rlctl.errors import NotAvailableError

FOLDERS = ("cleanrl", "cleanrl_utils")
MANIFEST = "manifest.json"
# What training and virtual environments leave inside a checkout: never the source's own scripts.
_NOT_SCRIPTS = frozenset({"__pycache__", "runs", "videos", "wandb", "node_modules", "site-packages"})


def script_files(root: Path) -> Iterator[str]:
    """Yield the path below `root`, with forward slashes, of each Python file in cleanrl/ and cleanrl_utils/."""
    for top in FOLDERS:
        for path in _python_files(root / top):
            yield path.relative_to(root).as_posix()


def _python_files(top: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(top):
        below[:] = sorted(name for name in below if name not in _NOT_SCRIPTS and not name.startswith("."))
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(folder) / name


def _to_copy(root: Path) -> dict[str, Path]:
    """Return the Python files of a source by their place in the copy; a plain folder of scripts stands for cleanrl/.

    Raises NotAvailableError where there are no scripts, or a link leads out of the source.
    """
    found = {name: root / name for name in script_files(root)}
    if not any(name.startswith("cleanrl/") for name in found):
        if not any(root.glob("*.py")):
            raise NotAvailableError(
                f"{root} is no CleanRL source: neither it nor a folder cleanrl/ in it has Python scripts.",
                hint="Give a checkout of CleanRL, or a folder of scripts in its style.",
            )
        own = ((path.relative_to(root).as_posix(), path) for path in _python_files(root))
        found = {name if name.startswith("cleanrl_utils/") else f"cleanrl/{name}": path for name, path in own}
    inside = root.resolve()
    for path in found.values():
        if not path.resolve().is_relative_to(inside):
            raise NotAvailableError(f"{path} is a link that leads out of {root}; it is not copied.")
    return found


def copy(root: Path, folder: Path) -> int:
    """Copy the scripts of a checkout or of a plain folder, and return how many. Raises NotAvailableError for no source."""
    import shutil

    files = _to_copy(root)
    for name, path in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    (folder / "cleanrl_utils").mkdir(exist_ok=True)
    return len(files)


def content_of(root: Path) -> str:
    """Return the hash that a copy of this folder would have now. Raises NotAvailableError for no source, OSError."""
    return _content_hash({name: _sha256(path) for name, path in _to_copy(root).items()})


def seal(folder: Path) -> str:
    """Write the manifest of a finished copy, and return the hash of its content."""
    files = {name: _sha256(folder / name) for name in script_files(folder)}
    content = _content_hash(files)
    write_json(folder / MANIFEST, {"sha256": content, "files": files})
    return content


def verify(folder: Path, source: str = "") -> str:
    """Check each script against the manifest, and return the hash of the content.

    Raises NotAvailableError, naming the file, where one was altered, added or removed; `source` is the name of the
    source that it belongs to, for the hint.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files, content = dict(manifest["files"]), str(manifest["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _altered(folder / MANIFEST, "is missing or damaged", source) from error
    if _content_hash(files) != content:
        raise _altered(folder / MANIFEST, "was altered", source)
    present = set(script_files(folder))
    for name in sorted(present | set(files)):
        if name not in present:
            raise _altered(folder / name, "is missing", source)
        if name not in files:
            raise _altered(folder / name, "was added", source)
        if _sha256(folder / name) != files[name]:
            raise _altered(folder / name, "was altered", source)
    return content


def install(made: Path, final: Path) -> None:
    """Move a sealed copy to its place in one step; an intact one that is there already stays.

    Raises OSError where the place cannot be written.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(3):
        try:
            os.rename(made, final)
            return
        except OSError:
            if not final.exists():
                raise
        try:
            verify(final)
            return  # somebody else was first
        except NotAvailableError:
            # An altered copy is moved out of the way, into the folder of ours that is removed at the end.
            os.rename(final, made.parent / f"altered-{os.urandom(4).hex()}")
    raise OSError(f"{final} is being changed by somebody else")


def write_json(path: Path, value: object) -> None:
    """Write a JSON file in one step, so that nobody reads half of it. Raises OSError."""
    import tempfile

    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _altered(path: Path, what: str, source: str) -> NotAvailableError:
    named = f" --name {source}" if source else ""
    return NotAvailableError(
        f"CleanRL's cached file {path} {what} since it was fetched.",
        hint=f"Run `rlctl workers setup cleanrl{named}` to make the copy afresh.",
    )


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def _content_hash(files: Mapping[str, str]) -> str:
    import hashlib

    lines = "".join(f"{name} {files[name]}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()
