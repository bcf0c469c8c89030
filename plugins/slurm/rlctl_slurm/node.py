"""What a Slurm job runs: the keeper of a run, which it puts back into Slurm's queue when the job's time is up.

python -m rlctl_slurm.node PLACEMENT_FOLDER
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from rlctl.errors import ExitCode
from rlctl.launch.keeper import keep
from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.files import read_json
from rlctl_slurm.commands import refusal
from rlctl_slurm.queue import JOB_VARIABLE


def main(folder: Path) -> int:
    """Keep the placement, and requeue the job that was told by SIGUSR1 that its time is nearly up.

    Only if its run has got further: one whose time does not suffice for a step would go round for ever.
    SLURM_JOB_ID does not do for an array's last task: it has the number of the array there, all tasks of which it would mean.
    """
    before = _saved(folder)
    code, told = keep(folder)
    if code == ExitCode.STOPPED and told == signal.SIGUSR1 and _saved(folder) > before:
        said = refusal("scontrol", "requeue", os.environ[JOB_VARIABLE])
        if said is not None:
            print(f"rlctl: the job cannot be requeued: {said}", file=sys.stderr)
    return code


def _saved(folder: Path) -> int:
    """Return the step of the run's last checkpoint, -1 without one."""
    directory = (read_json(folder / "task.json") or {}).get("directory")
    bundles = CheckpointFolder(Path(directory) / "checkpoints").all() if directory else []
    return max((bundle.step for bundle in bundles), default=-1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
