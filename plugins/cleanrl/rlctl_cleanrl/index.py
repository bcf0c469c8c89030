"""The scripts of the source in use, from the index beside them: what `workers list` reads, in two small files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 2
"""Raise it whenever what is read from a script changes: it is part of the key of the index."""

INDEX = "index.json"
POINTER = "current.json"


def cache_root() -> Path:
    """Return the folder of CleanRL's copies: in $RLCTL_CACHE_DIR, $XDG_CACHE_HOME/rlctl or ~/.cache/rlctl."""
    own, xdg = os.environ.get("RLCTL_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME")
    base = Path(own).expanduser() if own else Path(xdg) / "rlctl" if xdg else Path.home() / ".cache" / "rlctl"
    return base.absolute() / "cleanrl"


def index_key(content_sha256: str) -> str:
    """Return the key under which an index is valid: for this content, read by this version of our reader."""
    return f"{SCHEMA_VERSION}:{content_sha256}"


def indexed_scripts() -> list[dict[str, Any]]:
    """Return the scripts of the source in use as data; none before there is a source, or when its index is no good.

    Nothing is fetched, verified or repaired here: a run does that, and says so.
    """
    root = cache_root()
    try:
        chosen = json.loads((root / POINTER).read_text(encoding="utf-8"))
        folder = root / "snapshots" / Path(str(chosen["snapshot"])).name
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return list(index["scripts"]) if index["key"] == index_key(chosen["sha256"]) else []
    except (OSError, ValueError, KeyError, TypeError):
        return []
