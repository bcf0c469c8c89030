"""Keeps what a run leaves behind that goes on from an earlier checkpoint: nothing that took hours is thrown away.

`abandoned/001/` then has the later bundles, and the records as they were: the run of which only its beginning goes on.
What was recorded of its steps can be read there as from a run's directory.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from rlctl.runs.checkpoints import Checkpoint, CheckpointFolder
from rlctl.runs.directory import RunDirectory

_RECORDED_STEPS = "*/env-[0-9]*"
"""Folders of `rlctl.gym.row_log`, one for each environment: the worker removes from them what came after the checkpoint."""

_KEPT = {
    "abandoned", "attempts", "config.json", "events.jsonl", "logs", "manifest.json", "status.json", "stop.json",
}  # fmt: skip


def set_aside(directory: RunDirectory, checkpoint: Checkpoint, records: Iterable[str]) -> Path | None:
    """Move the bundles after `checkpoint` away, with copies of the `records` and of recorded steps; None when there are none.

    `checkpoint` is the latest one from then on. A kill in between costs nothing: the rest is moved by the next try.
    """
    folder = CheckpointFolder(directory.path / "checkpoints")
    later = folder.after(checkpoint)
    folder.link("latest", checkpoint.path)
    if not later:
        return None
    place = _next_place(directory)
    partial = place.with_name(f".{place.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name in records:
        if (directory.path / name).exists():
            shutil.copyfile(directory.path / name, partial / name)
    for steps in directory.path.glob(_RECORDED_STEPS):
        shutil.copytree(steps, partial / steps.relative_to(directory.path), copy_function=_link)
    (partial / "checkpoints").mkdir()
    partial.rename(place)
    for bundle in later:
        os.rename(bundle.path, place / "checkpoints" / bundle.path.name)
    return place


def set_all_aside(directory: RunDirectory) -> Path:
    """Move away all that a training has left which begins anew, having saved nothing; its log and its events stay."""
    place = _next_place(directory)
    place.mkdir()
    for path in sorted(directory.path.iterdir()):
        if path.name not in _KEPT:
            os.rename(path, place / path.name)
    directory.backend.mkdir()
    return place


def _next_place(directory: RunDirectory) -> Path:
    kept = directory.path / "abandoned"
    kept.mkdir(exist_ok=True)
    return kept / f"{len(list(kept.glob('[0-9]*'))) + 1:03d}"


def _link(source: str, target: str) -> None:
    """Let a file that is never changed, only removed, have a second name; copy it where a file system knows no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
