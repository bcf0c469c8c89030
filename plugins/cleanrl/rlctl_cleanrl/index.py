"""The scripts of each source, from the index beside them: what `workers list` reads, in two small files a source."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 4
"""Raise it whenever what is read from a script changes: it is part of the key of the index."""

INDEX = "index.json"
_POINTER = "current.json"
_NAMED = "named"


def cache_root() -> Path:
    """Return the folder of CleanRL's copies: in $RLCTL_CACHE_DIR, $XDG_CACHE_HOME/rlctl or ~/.cache/rlctl."""
    own, xdg = os.environ.get("RLCTL_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME")
    base = Path(own).expanduser() if own else Path(xdg) / "rlctl" if xdg else Path.home() / ".cache" / "rlctl"
    return base.absolute() / "cleanrl"


def split_algorithm(algorithm: str) -> tuple[str, str]:
    """Return source and script of "script" or "source/script"; the source "" is the one without a name."""
    source, _, script = algorithm.rpartition("/")
    return source, script


def join_algorithm(source: str, script: str) -> str:
    """Return the name under which a script of a source is an algorithm of this worker."""
    return f"{source}/{script}" if source else script


def pointer_of(source: str) -> Path:
    """Return the file that says which copy a source is; "" is the source without a name."""
    return cache_root() / _NAMED / f"{source}.json" if source else cache_root() / _POINTER


def named_sources() -> list[str]:
    """Return the names of the sources that have one, sorted."""
    return sorted(path.stem for path in (cache_root() / _NAMED).glob("[!.]*.json"))


def pointed_to(source: str) -> dict[str, str]:
    """Return kind, origin, version, snapshot and sha256 of a source. Raises OSError, ValueError, KeyError, TypeError."""
    chosen = json.loads(pointer_of(source).read_text(encoding="utf-8"))
    said = {key: str(chosen[key]) for key in ("kind", "origin", "version", "snapshot", "sha256")}
    return {**said, "snapshot": Path(said["snapshot"]).name}  # nothing may lead out of the cache


def indexed_scripts(source: str) -> list[dict[str, Any]]:
    """Return the scripts of a source as data; none before there is that source, or when its index is no good.

    Nothing is fetched, verified or repaired here: a run does that, and says so.
    """
    try:
        chosen = pointed_to(source)
        folder = cache_root() / "snapshots" / chosen["snapshot"]
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return list(index["scripts"]) if index["key"] == index_key(chosen["sha256"]) else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def index_key(content_sha256: str) -> str:
    """Return the key under which an index is valid: for this content, read by this version of our reader."""
    return f"{SCHEMA_VERSION}:{content_sha256}"
