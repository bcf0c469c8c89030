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


def set_aside(directory: RunDirectory, checkpoint: Checkpoint, records: Iterable[str]) -> Path | None:
    """Move the bundles after `checkpoint` away, with copies of the `records` and of recorded steps; None when there are none.

    `checkpoint` is the latest one from then on. A kill in between costs nothing: the rest is moved by the next try.
    """
    folder = CheckpointFolder(directory.path / "checkpoints")
    later = folder.after(checkpoint)
    folder.link("latest", checkpoint.path)
    if not later:
        return None
    kept = directory.path / "abandoned"
    kept.mkdir(exist_ok=True)
    place = kept / f"{len(list(kept.glob('[0-9]*'))) + 1:03d}"
    partial = kept / f".{place.name}"
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


def _link(source: str, target: str) -> None:
    """Let a file that is never changed, only removed, have a second name; copy it where a file system knows no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
