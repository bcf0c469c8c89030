"""`rlctl doctor`: what works here, what does not, why, and what to do about it."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from rlctl import __version__
from rlctl.cli._render import json_option, print_json, table
from rlctl.errors import ExitCode
from rlctl.plugins import discover
from rlctl.requirements import all_missing
from rlctl.runs.store import default_root

_PACKAGES = ("torch", "numpy", "gymnasium", "stable-baselines3", "tensorboard")


@click.command()
@click.option("--runs-dir", type=click.Path(path_type=Path), help="Where runs are kept: RLCTL_RUNS_DIR, else ./runs.")
@json_option
def doctor(runs_dir: Path | None, as_json: bool) -> int:
    """Say what works here and what does not, and why. Exit code 3 when something installed cannot be used."""
    checks = [_python(), *_packages(), *_plugins(), *_workers(), _runs_folder(runs_dir or default_root()), _machine()]
    if as_json:
        print_json(checks)
    else:
        marks = {True: "ok", False: "NO", None: "-"}
        table(("CHECK", "", "WHAT WAS FOUND"), [(item["check"], marks[item["ok"]], item["found"]) for item in checks])
    return ExitCode.NOT_AVAILABLE if any(item["ok"] is False for item in checks) else ExitCode.DONE


def _check(name: str, ok: bool | None, found: str) -> dict[str, Any]:
    return {"check": name, "ok": ok, "found": found}


def _python() -> dict[str, Any]:
    supported = (3, 10) <= sys.version_info[:2] <= (3, 13)
    return _check("python", supported, f"{platform.python_version()} at {sys.executable}; rlctl {__version__}")


def _packages() -> list[dict[str, Any]]:
    """Return the packages that backends commonly need; one that is absent is no fault of itself."""
    import importlib.metadata

    checks = []
    for name in _PACKAGES:
        try:
            checks.append(_check(f"package {name}", True, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            checks.append(_check(f"package {name}", None, "not installed"))
    return checks


def _plugins() -> list[dict[str, Any]]:
    found = discover().plugins
    if not found:
        return [_check("plugins", False, "none is installed: pip install rlctl-dqn rlctl-callbacks, for example")]
    return [
        _check(f"plugin {item.distribution}", item.error is None, item.error or f"{item.version}, {item.module}")
        for item in found
    ]


def _workers() -> list[dict[str, Any]]:
    checks = []
    for found in discover().workers:
        reason = found.error or "; ".join(all_missing(found.descriptor.requires))
        ready = f"{len(found.descriptor.algorithms)} algorithms"
        checks.append(_check(f"worker {found.descriptor.name}", not reason, reason or ready))
    return checks


def _runs_folder(root: Path) -> dict[str, Any]:
    try:
        place = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return _check("runs folder", False, f"{root}: {error.strerror}")
    return _check("runs folder", True, f"{root.absolute()}{'' if root.exists() else ' (will be made)'}")


def _machine() -> dict[str, Any]:
    from rlctl.launch.machine import hardware

    found = hardware()
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    gpus = ", ".join(found["gpus"]) or "no GPU"
    return _check(
        "machine", True, f"{found['cpu_cores']} cores, {found['memory_mb']} MiB, {gpus}; OMP_NUM_THREADS {threads}"
    )
