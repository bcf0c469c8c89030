"""Where CleanRL's scripts come from: PyPI's 1.2.0, a folder or a git repository, always as a copy in the cache."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from rlctl.errors import NotAvailableError
from rlctl_cleanrl import fetching, snapshots
from rlctl_cleanrl.index import INDEX, POINTER, cache_root, index_key
from rlctl_cleanrl.scripts import Parameter, Script, read_scripts

Report = Callable[[str], None]
_REPAIR = "Run `rlctl workers setup cleanrl`, with the `--source` that you want."


@frozen
class Source:
    """One copy of CleanRL; `kind` is "pypi", "path" or "git", `path` contains cleanrl/ and cleanrl_utils/.

    `sha256` is the hash of the scripts' content: equal for equal scripts, wherever they came from.
    """

    kind: str
    origin: str
    version: str
    path: Path
    sha256: str


def current() -> Source | None:
    """Return the source that is in use, None before the first; nothing is fetched and no file is verified.

    Raises NotAvailableError where one was chosen and its copy is gone: another one is never put in its place silently.
    """
    pointer = cache_root() / POINTER
    try:
        chosen = json.loads(pointer.read_text(encoding="utf-8"))
        name = Path(str(chosen["snapshot"])).name
        kind, origin, version, sha256 = (str(chosen[key]) for key in ("kind", "origin", "version", "sha256"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotAvailableError(f"{pointer} cannot be read: {error}.", hint=_REPAIR) from error
    folder = cache_root() / "snapshots" / name
    if not folder.is_dir():
        if kind == "pypi":
            return None
        raise NotAvailableError(f"The copy of CleanRL from {origin} is gone: {folder} does not exist.", hint=_REPAIR)
    return Source(kind, origin, version, folder, sha256)


def ensure(source: str | None, report: Report, *, repair: bool = False) -> Source:
    """Return a verified source that is in use from now on: "pypi", a folder, a git URL, or None for the current one.

    None before any other choice is PyPI's, fetched on first use. `report` is called with one sentence before
    something is fetched or copied. A source that is named is copied anew; `repair` does that for an altered current
    one too. Raises NotAvailableError where the source cannot be had, or a cached file was altered.
    """
    try:
        if source is None:
            known = current()
            if known is not None and known.kind != "pypi":
                if not repair or _intact(known):
                    return _verified(known)
                source = known.origin
        if source is None or source == "pypi":
            return _pypi(report, repair=repair or source is not None)
        if fetching.is_git_url(source):
            return _git(source, report)
        return _folder(source, report)
    except OSError as error:
        raise NotAvailableError(
            f"The cache of CleanRL's scripts in {cache_root()} cannot be used: {error}.",
            hint="Set RLCTL_CACHE_DIR to a folder that can be written.",
        ) from error


def load_scripts(source: Source, report: Report | None = None) -> tuple[Script, ...]:
    """Return the source's training scripts, from the index beside them, which is made where there is none.

    `report` is called with one sentence for each script that cannot be read.
    """
    key = index_key(source.sha256)
    try:
        index = json.loads((source.path / INDEX).read_text(encoding="utf-8"))
        if index["key"] == key:
            found = tuple(_script(entry, source.path) for entry in index["scripts"])
            _tell(index["problems"], report)
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no index, or one of another version: it is made below
    problems: list[str] = []
    # Without the folder's own path: the index is made in a temporary place, and the folder is renamed.
    scripts = read_scripts(source.path, lambda text: problems.append(text.replace(f"{source.path}{os.sep}", "")))
    entries = [{**asdict(s), "path": s.path.relative_to(source.path).as_posix()} for s in scripts]
    with suppress(OSError):  # a cache that is only readable serves as well, more slowly
        snapshots.write_json(source.path / INDEX, {"key": key, "scripts": entries, "problems": problems})
    _tell(problems, report)
    return scripts


def _tell(problems: list[str], report: Report | None) -> None:
    if report is not None:
        for problem in problems:
            report(problem)


def _script(entry: dict[str, Any], root: Path) -> Script:
    parameters = tuple(Parameter(**{**p, "choices": tuple(p["choices"])}) for p in entry["parameters"])
    tuples = {"parameters": parameters, "imports": tuple(entry["imports"])}
    return Script(**{**entry, **tuples, "action_spaces": tuple(entry["action_spaces"]), "path": root / entry["path"]})


def _pypi(report: Report, *, repair: bool) -> Source:
    final = cache_root() / "snapshots" / f"pypi-{fetching.VERSION}"
    if final.is_dir():
        try:
            return _chosen(Source("pypi", "PyPI", fetching.VERSION, final, snapshots.verify(final)))
        except NotAvailableError:
            if not repair:
                raise
    kilobytes = round(fetching.WHEEL_SIZE / 1000)
    report(f"Fetching CleanRL {fetching.VERSION} ({kilobytes} kB) from PyPI with pip into {final}.")
    with _workplace() as work:
        made = work / "snapshot"
        fetching.unpack(fetching.download(work), made)
        return _installed(made, final, "pypi", "PyPI", fetching.VERSION)


def _folder(source: str, report: Report) -> Source:
    root = Path(source).expanduser().absolute()
    if not root.is_dir():
        raise NotAvailableError(
            f"There is no folder {root} to take CleanRL's scripts from.",
            hint='Give a folder that contains cleanrl/, a git URL, or "pypi".',
        )
    report(f"Copying CleanRL's scripts from {root} into {cache_root()}.")
    with _workplace() as work:
        snapshots.copy(root, work / "snapshot")
        return _installed(work / "snapshot", None, "path", str(root), None)


def _git(url: str, report: Report) -> Source:
    origin = fetching.without_password(url)
    report(f"Cloning the newest commit of {origin} with git, and copying CleanRL's scripts into {cache_root()}.")
    with _workplace() as work:
        commit = fetching.clone(url, work / "clone")
        try:
            snapshots.copy(work / "clone", work / "snapshot")
        except NotAvailableError as error:
            message = error.message.replace(str(work / "clone"), origin)
            raise NotAvailableError(message, hint="Give a repository that contains cleanrl/.") from error
        return _installed(work / "snapshot", None, "git", origin, commit)


def _installed(made: Path, final: Path | None, kind: str, origin: str, version: str | None) -> Source:
    """Seal a copy, put it in its place and make it the current one.

    A path or git copy is checked to have training scripts first; its place has the name of its content.
    """
    content = snapshots.seal(made)
    candidate = Source(kind, origin, version or content[:12], made, content)
    if not load_scripts(candidate):
        raise NotAvailableError(f"{origin} has no CleanRL training script in its cleanrl/ that can be read.")
    final = final or cache_root() / "snapshots" / f"{kind}-{content[:16]}"
    snapshots.install(made, final)
    return _chosen(Source(kind, origin, candidate.version, final, content))


def _chosen(source: Source) -> Source:
    """Make it the current source, in one step, unless it is already."""
    pointer = cache_root() / POINTER
    value = {"kind": source.kind, "origin": source.origin, "version": source.version}
    value |= {"snapshot": source.path.name, "sha256": source.sha256}
    try:
        same = json.loads(pointer.read_text(encoding="utf-8")) == value
    except (OSError, ValueError):
        same = False
    if not same:
        snapshots.write_json(pointer, value)
    return source


def _verified(source: Source) -> Source:
    if snapshots.verify(source.path) != source.sha256:
        raise NotAvailableError(f"CleanRL's copy {source.path} is not the one that was chosen.", hint=_REPAIR)
    return source


def _intact(source: Source) -> bool:
    try:
        _verified(source)
    except NotAvailableError:
        return False
    return True


@contextmanager
def _workplace() -> Iterator[Path]:
    """Give a temporary folder on the cache's own file system, so that the finished copy can be renamed into place."""
    import tempfile

    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".making-") as name:
        yield Path(name)
