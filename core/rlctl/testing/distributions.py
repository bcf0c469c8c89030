"""Fake installed distributions: a folder with metadata and modules, which importlib.metadata takes for installed."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rlctl import distributions, plugins, requirements
from rlctl.hooks import ENTRY_POINT_GROUP


def fake_distribution(
    path: Path,
    name: str,
    entry_points: Mapping[str, str],
    modules: Mapping[str, str] | None = None,
    *,
    version: str = "1.0",
    group: str = ENTRY_POINT_GROUP,
) -> Path:
    """Write a distribution into the folder `path`, as `pip install` would, and return that folder.

    `entry_points` are name → "module" or "module:attribute" of the group; `modules` are dotted names → source text.
    It is found where `path` is on `sys.path`: see `on_path`, which puts it there for child processes, too.
    """
    metadata = path / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    lines = [f"[{group}]", *(f"{entry} = {value}" for entry, value in entry_points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for module, source in (modules or {}).items():
        file = path.joinpath(*module.split(".")).with_suffix(".py")
        for package in [parent for parent in file.parents if path in parent.parents]:
            package.mkdir(parents=True, exist_ok=True)
            (package / "__init__.py").touch()
        file.write_text(textwrap.dedent(source), encoding="utf-8")
    return path


@contextlib.contextmanager
def on_path(*folders: Path) -> Iterator[dict[str, str]]:
    """Put folders on the path of this process and of those that it starts; yields the environment of the latter.

    What rlctl knew of plugins is forgotten at both ends, and so are the modules that came from the folders.
    """
    before = os.environ.get("PYTHONPATH")
    added = [str(folder) for folder in folders]
    sys.path[:0] = added
    os.environ["PYTHONPATH"] = os.pathsep.join([*added, *([before] if before else [])])
    forget_plugins()
    try:
        yield dict(os.environ)
    finally:
        for folder in added:
            sys.path.remove(folder)
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
        for name in list(_modules_from(added)):
            del sys.modules[name]
        forget_plugins()


def _modules_from(folders: Iterable[str]) -> Iterator[str]:
    # A copy, in one go: other threads may import something meanwhile.
    for name, module in sys.modules.copy().items():
        file = getattr(module, "__file__", None) or ""
        if any(file.startswith(folder + os.sep) for folder in folders):
            yield name


def forget_plugins() -> None:
    """Make this process look for installed distributions and plugins anew."""
    importlib.invalidate_caches()
    for module in (distributions, plugins, requirements):
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()
