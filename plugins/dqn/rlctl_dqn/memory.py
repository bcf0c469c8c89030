"""How much memory there is for a replay buffer, asked before it is allocated. Light: standard library only."""

from __future__ import annotations

import os
from pathlib import Path

from rlctl.errors import RlctlError

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Return the bytes that a process can still take, the limit of a container included; None if nothing tells."""
    known = [value for value in (_free(meminfo), _left_of_limit(cgroup)) if value is not None]
    return min(known) if known else _physical()


def require_memory(what: str, needed: int, available: int | None, hint: str) -> None:
    """Raise RlctlError, in bytes, when `needed` is more than there is; None is not known and refuses nothing."""
    if available is not None and needed > available:
        raise RlctlError(f"{what} takes {needed:,} bytes, and {available:,} are free.", hint=hint)


def _free(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _left_of_limit(cgroup: Path) -> int | None:
    """Return what the control group leaves, version 2, caches of files counted as free; the limit may be the word "max"."""
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        pairs = [line.split() for line in (cgroup / "memory.stat").read_text().splitlines()]
        cached = sum(int(value) for name, value in pairs if name in ("active_file", "inactive_file"))
        return max(0, limit - used + cached)
    except (OSError, ValueError):
        return None


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
