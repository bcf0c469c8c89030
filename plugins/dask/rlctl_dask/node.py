"""What a Dask worker runs: the keeper of a run as a process of its own, which dies with the worker."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rlctl.errors import ExitCode

_OURS = (ExitCode.DONE, ExitCode.FENCED)
"""The run has ended, however it did; or somebody else has it, and this task has nothing more to do."""


def keep(argv: Sequence[str], log: str) -> int:
    """Run the command to its end and return its exit code.

    Its stdin is a pipe of this process: when the Dask worker dies, however it does, the pipe ends and the keeper with it.
    Raises RuntimeError for a keeper that was killed, so that Dask has the task as failed.
    """
    with Path(log).open("ab") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True, env=dict(os.environ)
        )
    code = process.wait()
    if code not in _OURS:
        raise RuntimeError(f"{argv[2]} on {os.uname().nodename} ended with code {code}")
    return code
