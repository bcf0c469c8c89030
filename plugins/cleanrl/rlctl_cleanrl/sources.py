"""Where CleanRL's scripts come from: PyPI's 1.2.0, a folder or a git repository, always as a copy in the cache."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
from attrs import asdict, frozen

from rlctl.errors import NotAvailableError, UsageError, did_you_mean
from rlctl_cleanrl import fetching, snapshots
from rlctl_cleanrl.index import INDEX, cache_root, index_key, named_sources, pointed_to, pointer_of
from rlctl_cleanrl.scripts import Parameter, Script, read_scripts

Report = Callable[[str], None]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@frozen
class Source:
    """One copy of CleanRL; `kind` is "pypi", "path" or "git", `path` contains cleanrl/ and cleanrl_utils/.

    `sha256` is the hash of the scripts' content: equal for equal scripts, wherever they came from. `name` is what its
    scripts are addressed by, `NAME/script`; "" is the source whose scripts have plain names.
    """

    kind: str
    origin: str
    version: str
    path: Path
    sha256: str
    name: str = ""


def current(name: str = "") -> Source | None:
    """Return the source of that name, None before there is one; nothing is fetched and no file is verified.

    Raises NotAvailableError where one was chosen and its copy is gone: another one is never put in its place silently.
    """
    try:
        chosen = pointed_to(name)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotAvailableError(f"{pointer_of(name)} cannot be read: {error}.", hint=_repair(name)) from error
    folder = cache_root() / "snapshots" / chosen.pop("snapshot")
    if not folder.is_dir():
        if chosen["kind"] == "pypi":
            return None
        message = f"The copy of CleanRL from {chosen['origin']} is gone: {folder} does not exist."
        raise NotAvailableError(message, hint=_repair(name))
    return Source(**chosen, path=folder, name=name)


def ensure(source: str | None, report: Report, *, repair: bool = False, name: str = "") -> Source:
    """Return a verified source that has this name from now on: "pypi", a folder, a git URL, or None for the one that has.

    The source without a name is PyPI's before any other choice, fetched on first use. `report` is called with one
    sentence before something is fetched or copied. A source that is given is copied anew; `repair` does that for an
    altered one that has the name too. Raises UsageError for what is no name, NotAvailableError where the source cannot
    be had, or a cached file was altered.
    """
    try:
        if source is None:
            if name:
                require_named(name)
            known = current(name)
            if known is not None and known.kind != "pypi":
                if not repair or _intact(known):
                    return _checked(known, report)
                source = known.origin
        elif name and not _NAME.fullmatch(name):
            hint = 'Up to 40 letters, digits, "-" and "_", the first a letter or digit.'
            raise UsageError(f'"{name}" cannot be the name of a source.', hint=hint)
        if source is None or source == "pypi":
            found = _pypi(report, repair=repair or source is not None, name=name)
        elif fetching.is_git_url(source):
            found = _git(source, report)
        else:
            found = _folder(source, report)
        return _chosen(attrs.evolve(found, name=name))
    except OSError as error:
        raise NotAvailableError(
            f"The cache of CleanRL's scripts in {cache_root()} cannot be used: {error}.",
            hint="Set RLCTL_CACHE_DIR to a folder that can be written.",
        ) from error


def require_named(name: str) -> None:
    """Raise NotAvailableError where no source has this name."""
    known = named_sources()
    if name not in known:
        new = f"A new one: `rlctl workers setup cleanrl --source PATH|URL --name {name}`."
        hint = f"{did_you_mean(name, known) or ''} {new}".strip()
        raise NotAvailableError(f'There is no source of CleanRL with the name "{name}".', hint=hint)


def remove(name: str) -> Path:
    """Forget the source of that name; its copy goes too, unless another source is the same. Returns where the copy was.

    Raises NotAvailableError where no source has this name, or the cache cannot be written.
    """
    import shutil

    require_named(name)
    try:
        folder = cache_root() / "snapshots" / pointed_to(name)["snapshot"]
        pointer_of(name).unlink()
        if folder.name not in _snapshots_in_use():
            shutil.rmtree(folder, ignore_errors=not folder.exists())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotAvailableError(f"The source {name} cannot be removed: {error}.") from error
    return folder


def _snapshots_in_use() -> set[str]:
    used = {f"pypi-{fetching.VERSION}"}
    for name in ("", *named_sources()):
        with suppress(OSError, ValueError, KeyError, TypeError):
            used.add(pointed_to(name)["snapshot"])
    return used


def _repair(name: str) -> str:
    named = f" --name {name}" if name else ""
    return f"Run `rlctl workers setup cleanrl{named}`, with the `--source` that you want."


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


def _pypi(report: Report, *, repair: bool, name: str) -> Source:
    final = cache_root() / "snapshots" / f"pypi-{fetching.VERSION}"
    if final.is_dir():
        try:
            return Source("pypi", "PyPI", fetching.VERSION, final, snapshots.verify(final, name))
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
            hint='Give a folder of scripts or one that contains cleanrl/, a git URL, or "pypi".',
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
            raise NotAvailableError(
                message, hint="Give a repository of CleanRL, or of scripts in its style."
            ) from error
        return _installed(work / "snapshot", None, "git", origin, commit)


def _installed(made: Path, final: Path | None, kind: str, origin: str, version: str | None) -> Source:
    """Seal a copy and put it in its place.

    A path or git copy is checked to have training scripts first; its place has the name of its content.
    """
    content = snapshots.seal(made)
    candidate = Source(kind, origin, version or content[:12], made, content)
    if not load_scripts(candidate):
        raise NotAvailableError(f"{origin} has no CleanRL training script in its cleanrl/ that can be read.")
    final = final or cache_root() / "snapshots" / f"{kind}-{content[:16]}"
    snapshots.install(made, final)
    return Source(kind, origin, candidate.version, final, content)


def _chosen(source: Source) -> Source:
    """Let the source have its name from now on, in one step, unless it has already."""
    value = {"kind": source.kind, "origin": source.origin, "version": source.version}
    value |= {"snapshot": source.path.name, "sha256": source.sha256}
    try:
        same = pointed_to(source.name) == value
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        snapshots.write_json(pointer_of(source.name), value)
    return source


def _verified(source: Source) -> Source:
    if snapshots.verify(source.path, source.name) != source.sha256:
        raise NotAvailableError(
            f"CleanRL's copy {source.path} is not the one that was chosen.", hint=_repair(source.name)
        )
    return source


def _checked(source: Source, report: Report) -> Source:
    """Return a verified source, and say so where the folder that it was copied from is not the same any more."""
    _verified(source)
    if source.kind == "path":
        with suppress(OSError, NotAvailableError):  # the folder may be gone: the copy is what runs
            if snapshots.content_of(Path(source.origin)) != source.sha256:
                named = f" --name {source.name}" if source.name else ""
                again = f"rlctl workers setup cleanrl --source {source.origin}{named}"
                report(
                    f"{source.origin} has changed since it was copied; the copy is used. To take it as it is: {again}"
                )
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
