"""What CleanRL's scripts did by themselves, recorded beside its plugin, and whether this computer's floats are theirs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

REFERENCE = Path(__file__).parents[1] / "plugins" / "cleanrl" / "reference"


def _load_fingerprint() -> Any:
    spec = importlib.util.spec_from_file_location("fingerprint", REFERENCE / "fingerprint.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fingerprint = _load_fingerprint()
