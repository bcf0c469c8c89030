"""Where a training begins if not anew: at a checkpoint, with somebody's weights, or only to lend its policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from rlctl.errors import CheckpointError
from rlctl.runs.checkpoints import Checkpoint, read_checkpoint
from rlctl.worker.protocol import Resumable


class PolicyLent(BaseException):
    """Ends a training that was built for its policy only; what a backend catches must not stop it."""


@frozen
class Resumed:
    """Everything is as it was at the checkpoint."""

    checkpoint: Checkpoint


@frozen
class Weights:
    """A new training with weights from `path`: a bundle's folder, or a file of the library's own; its own ones for None.

    With `use`, nothing is trained: it is called with the state that has the weights, and the training is ended.
    """

    path: Path | None
    trust: bool = False
    use: Callable[[Resumable], None] | None = None

    def read(self, state: Resumable) -> None:
        """Give the weights to `state`, and end the training there if only they are wanted."""
        if self.path is not None and self.path.is_dir():
            state.read_weights(self.path)
        elif self.path is not None:
            state.read_artefact(self.path, self.trust)
        if self.use is not None:
            self.use(state)
            raise PolicyLent


Beginning = Resumed | Weights


def beginning_of(parent: Mapping[str, Any] | None) -> Weights | None:
    """Return the beginning that a manifest names as the run's parent; a bundle is verified once more.

    Raises CheckpointError when it is not what the host has seen.
    """
    if parent is None:
        return None
    path = Path(parent["path"])
    if "checkpoint_sha256" in parent:
        bundle = read_checkpoint(path)
        if bundle is None or bundle.sha256() != parent["checkpoint_sha256"]:
            raise CheckpointError(f"checkpoint {path}, which this run is to begin with, is gone or was altered.")
        bundle.verify()
    return Weights(path, trust=bool(parent.get("trust")))
