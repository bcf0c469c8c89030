"""status.json: what a run is doing now, replaced atomically about twice a second."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from rlctl.events import Progress, Result
from rlctl.runs.directory import host_name, process_identity
from rlctl.runs.files import read_json, write_json


def initial_status(supervisor: dict[str, Any]) -> dict[str, Any]:
    """Return the status of a run whose process has not started yet."""
    return {"state": "created", "host": host_name(), "supervisor": supervisor, "updated_at": time.time()}


class StatusFile:
    """Writes the status of the run whose process this is."""

    def __init__(self, path: Path, supervisor: dict[str, Any] | None, stage: Path | None = None) -> None:
        self._path, self.stage = path, stage
        self._fixed = {"host": host_name(), "process": process_identity(), "supervisor": supervisor}

    def write(self, state: str, progress: Progress, eta_seconds: float | None) -> None:
        """Replace the status; not synced to the disk, as the next one comes in half a second."""
        status = {
            "state": state,
            "step": progress.step,
            "episodes": progress.episodes,
            "seconds": round(progress.seconds, 3),
            "steps_per_second": progress.steps_per_second,
            "return_mean": progress.return_mean,
            "eta_seconds": eta_seconds,
            "updated_at": time.time(),
            **self._fixed,
        }
        write_json(self._path, finite(status), durable=False, stage=self.stage)


def close_status(path: Path, result: Result, stage: Path | None = None) -> None:
    """Let the status say how the run ended, for whoever looks there first; result.json is what counts."""
    last = read_json(path) or {}
    ended = {
        "state": result.status,
        "step": result.step,
        "episodes": result.episodes,
        "seconds": result.seconds,
        "return_mean": result.return_mean,
        "eta_seconds": None,
        "updated_at": time.time(),
    }
    write_json(path, finite({**last, **ended}), durable=False, stage=stage)


def finite(values: dict[str, Any]) -> dict[str, Any]:
    """Return values with NaN and infinities as null, which is what JSON has for them."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }
