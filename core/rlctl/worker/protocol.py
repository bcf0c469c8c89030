"""What a backend implements: one method."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rlctl.worker.run import Run


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
