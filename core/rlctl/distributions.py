"""What is installed in this Python: distributions, their versions, and the entry points of one group.

`importlib.metadata` does the same and more, but importing it loads the parsers of mail and archives: a third of the time
that `rlctl workers list` may take. The layout read here is specified (packaging.python.org, "Recording installed
projects" and "Entry points"): folders named `{name}-{version}.dist-info` on sys.path, with an INI file inside.
"""

from __future__ import annotations

import functools
import os
import re
import sys

from attrs import frozen


@frozen
class Distribution:
    """An installed distribution; `folder` has its metadata. `name` and `version` are as the folder's name says them."""

    name: str
    version: str
    folder: str

    def display_name(self) -> str:
        """Return the name as its authors write it (`rlctl-dqn`), which a folder's name cannot hold."""
        found = re.search(r"^Name: (.+)$", _read(os.path.join(self.folder, "METADATA")), re.MULTILINE)
        return found[1].strip() if found else self.name


@frozen
class EntryPoint:
    """One line of a group of entry points: `name = value`, value being a module or "module:attribute"."""

    name: str
    value: str
    distribution: Distribution


def installed() -> dict[str, Distribution]:
    """Return normalized name → distribution; of one that is there twice, the first on sys.path, which is what runs."""
    return _scan(tuple(sys.path))


def version_of(name: str) -> str | None:
    """Return the version of an installed distribution, None if there is none of that name."""
    found = installed().get(_normalized(name))
    return found.version if found else None


def entry_points(group: str) -> list[EntryPoint]:
    """Return all entry points of a group, sorted by name and distribution."""
    return list(_entry_points(group, tuple(sys.path)))


@functools.cache
def _entry_points(group: str, path: tuple[str, ...]) -> list[EntryPoint]:
    """Read them once: there may be hundreds of files."""
    found = [
        EntryPoint(name, value, distribution)
        for distribution in _scan(path).values()
        for name, value in _section(_read(os.path.join(distribution.folder, "entry_points.txt")), group)
    ]
    return sorted(found, key=lambda item: (item.name, item.distribution.name))


@functools.cache
def _scan(path: tuple[str, ...]) -> dict[str, Distribution]:
    found: dict[str, Distribution] = {}
    for folder in path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue  # an archive, or a folder that is not there
        for entry in names:
            if entry.endswith(".dist-info"):
                name, _, version = entry[: -len(".dist-info")].rpartition("-")
                place = os.path.join(folder or ".", entry)
                found.setdefault(_normalized(name), Distribution(name, version, place))
    return found


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _section(text: str, group: str) -> list[tuple[str, str]]:
    """Return the (name, value) lines of the section `[group]`."""
    lines, inside = [], False
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("["):
            inside = stripped == f"[{group}]"
        elif inside and "=" in stripped and not stripped.startswith(("#", ";")):
            name, _, value = stripped.partition("=")
            lines.append((name.strip(), value.partition("[")[0].strip()))
    return lines


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""
