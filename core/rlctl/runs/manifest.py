"""manifest.json: what was run by what, on what, from where; written before the training starts, so failed runs have it."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlctl import __version__

_SECRET = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)
_RECORDED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "CUDA_VISIBLE_DEVICES",
             "PYTHONHASHSEED", "MUJOCO_GL")  # fmt: skip


def provenance(hardware: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the part of a manifest that does not depend on the run; `hardware` is asked for its part."""
    around = _surroundings(hardware, Path.cwd(), int(time.monotonic()))
    return {
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": redacted(sys.argv),
        "working_directory": str(Path.cwd()),
        "rlctl": __version__,
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "platform": platform.platform(),
        **around,
        "environment": {name: os.environ[name] for name in _RECORDED if name in os.environ},
    }


@functools.lru_cache(maxsize=1)
def _surroundings(hardware: Callable[[], dict[str, Any]], folder: Path, _: int) -> dict[str, Any]:
    """Return what may change around this process, looked at once in each second: the last argument is its number.

    Hundreds of a plan's runs begin in one. git and nvidia-smi are processes, which cost more than all else of a manifest, and
    the worker imports the code later than in that second anyway.
    """
    return {"hardware": hardware(), "packages": installed_packages(), "git": git_state(folder)}


def installed_packages() -> dict[str, str]:
    """Return name → version of everything installed; of what is there twice, the first on sys.path, which is imported."""
    return dict(_packages_in(tuple((folder, _changed_at(folder)) for folder in sys.path)))


def _changed_at(folder: str) -> int | None:
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return None


@functools.lru_cache(maxsize=1)
def _packages_in(_: tuple[tuple[str, int | None], ...]) -> dict[str, str]:
    """Read them once for all runs of a plan: an installation makes a folder, and so changes when one of sys.path's changed."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        if name := distribution.metadata["Name"]:
            found.setdefault(name, distribution.version)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return commit, branch, whether there are uncommitted changes and their hash; None outside of a repository."""

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(folder), *arguments]
        try:
            answer = subprocess.run(command, capture_output=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout.decode(errors="replace").rstrip("\n") if answer.returncode == 0 else None

    lines = (git("status", "--porcelain=v2", "--branch") or "").splitlines()
    said = dict(line.removeprefix("# ").split(" ", 1) for line in lines if line.startswith("# "))
    commit = said.get("branch.oid")
    if commit is None or commit == "(initial)":
        return None
    dirty = any(not line.startswith("# ") for line in lines)
    changes = (git("diff", "HEAD") or "") if dirty else ""
    return {
        "commit": commit,
        "branch": "HEAD" if said["branch.head"] == "(detached)" else said["branch.head"],
        "dirty": dirty,
        "diff_sha256": hashlib.sha256(changes.encode()).hexdigest() if changes else None,
    }


def redacted(argv: list[str]) -> list[str]:
    """Return a command line without the values of what looks like a secret (`--set callbacks.x.api_key=...`)."""
    out = []
    for argument in argv:
        name, separator, _ = argument.partition("=")
        out.append(f"{name}=***" if separator and _SECRET.search(name) else argument)
    return out
