"""What a backend implements: one method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rlctl.worker.run import Run


class Resumable(Protocol):
    """What a training gives to `run.attach` so that it can be saved and resumed. Both are called at safe points only."""

    def write_state(self, folder: Path) -> None:
        """Write everything that the training is into files in `folder`; names are the training's own.

        `weights.safetensors` should be the policy; `rlctl.torch.data.write_data` writes any other state as data.
        """

    def read_state(self, folder: Path) -> None:
        """Become what `write_state` wrote."""


@runtime_checkable
class Worker(Protocol):
    """A training backend. A descriptor's `entry_point` is called without arguments and returns one of these.

    The class is only instantiated in the worker process, so its module may import anything.
    """

    def train(self, run: Run) -> None:
        """Train until `run.advance(step)` returns False, then return.

        Report with `run.record_episode` and `run.record_metrics`; write files of the library itself to
        `run.directory.backend`. Raise anything to fail the run: its traceback becomes the failure report.
        """
