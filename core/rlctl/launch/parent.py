"""Where `init_from` leads: a checkpoint of another run, or a file that a library wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from rlctl.errors import CheckpointError, ConfigError, Problem, UsageError
from rlctl.launch.prepare import Prepared
from rlctl.runs.checkpoints import Checkpoint, CheckpointFolder, sha256_of
from rlctl.runs.directory import RunDirectory
from rlctl.runs.store import RunStore


def find_checkpoint(reference: str, root: Path) -> tuple[RunDirectory, Checkpoint]:
    """Return the run and the sound checkpoint that `RUN` or `RUN:CHECKPOINT` means; the latest one by default.

    Raises UsageError or CheckpointError.
    """
    name, checkpoint = split_reference(reference)
    directory = RunStore(root).find(name)
    return directory, CheckpointFolder(directory.path / "checkpoints").find_sound(checkpoint)


def split_reference(reference: str) -> tuple[str, str]:
    """Return the run and the checkpoint that `RUN` or `RUN:CHECKPOINT` names."""
    name, colon, checkpoint = reference.rpartition(":")
    return (name, checkpoint) if colon else (reference, "latest")


def find_parent(prepared: Prepared, root: Path) -> dict[str, Any] | None:
    """Return what the manifest says of a run's parent; None without `init_from`.

    Raises ConfigError for one that cannot be had or is of another algorithm.
    """
    assert prepared.config is not None
    reference = prepared.config.init_from
    if reference is None:
        return None
    path = Path(reference)
    if path.is_file():
        return {"path": str(path.resolve()), "sha256": sha256_of(path), "trust": prepared.config.trust}
    try:
        directory, checkpoint = find_checkpoint(reference, root)
    except (UsageError, CheckpointError) as error:
        name = reference.rpartition(":")[0] or reference
        hint = error.hint and error.hint.replace("--checkpoint ", f"{name}:")
        raise ConfigError([Problem("init_from", error.message, hint)]) from error
    require_same_algorithm(checkpoint, prepared, "init_from")
    return {
        "run_id": directory.run_id,
        "checkpoint_step": checkpoint.step,
        "checkpoint_sha256": checkpoint.sha256(),
        "path": str(checkpoint.path.resolve()),
    }


def check_parent(prepared: Prepared, root: Path) -> None:
    """Add to the problems of a run what is wrong with its parent, so that a dry run shows it beside all others."""
    if prepared.config is not None and prepared.worker is not None and prepared.algorithm is not None:
        try:
            find_parent(prepared, root)
        except ConfigError as error:
            origin = prepared.merged.origin("init_from")
            prepared.problems += [attrs.evolve(problem, origin=origin) for problem in error.problems]


def require_same_algorithm(checkpoint: Checkpoint, prepared: Prepared, path: str) -> None:
    """Raise ConfigError for a checkpoint of another worker or algorithm than the run's."""
    assert prepared.worker is not None and prepared.algorithm is not None
    wanted = (prepared.worker.descriptor.name, prepared.algorithm.name)
    saved = (checkpoint.data["worker"]["name"], checkpoint.data["algo"])
    if wanted != saved:
        message = f"is of {saved[0]}/{saved[1]}, the run is of {wanted[0]}/{wanted[1]}"
        raise ConfigError([Problem(path, message)])
