"""A run whose process was lost is made ready to go on elsewhere: from its last sound checkpoint, or anew without one.

    python -m rlctl.launch.reopen RUN_DIRECTORY

`rlctl.launch.keeper` starts it while it holds the run's lease, before the worker. What it says is in the run's log.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from rlctl.descriptors import Resume
from rlctl.errors import CheckpointError, ExitCode, RlctlError
from rlctl.events import Result
from rlctl.launch.prepare import prepare
from rlctl.launch.resume import Resumption, find_resumption, reopen_held, require_resumable
from rlctl.plugins import discover
from rlctl.runs.abandoned import set_all_aside
from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.directory import RunDirectory, process_identity
from rlctl.runs.files import read_json, write_json
from rlctl.runs.lease import stage_of_process
from rlctl.worker.eventlog import append_event
from rlctl.worker.status import close_status, finite, initial_status


def main(path: Path) -> int:
    """Make the run ready; returns 0 also when nothing is left to do, having written the result then."""
    directory = RunDirectory(path)
    try:
        _go_on(directory)
    except RlctlError as error:
        say(f"run {directory.run_id} cannot go on: {error}")
        return error.exit_code
    return ExitCode.DONE


def say(line: str) -> None:
    """Write a line to the run's log."""
    print(f"rlctl: {line}", file=sys.stderr, flush=True)


def _go_on(directory: RunDirectory) -> None:
    manifest = read_json(directory.manifest) or {}
    found = _resumption(directory) if Resume((manifest.get("worker") or {}).get("resume", "none")).goes_on else None
    if found is None:
        _begin_anew(directory)
        return
    config = found.layer.values
    if _is_complete(config, found):
        _finish(directory, found)
        return
    prepared = prepare([found.layer], discover(), say)
    prepared.require_sound()
    require_resumable(found, prepared, False)
    reopen_held(found, prepared, manifest.get("relay") or [], say, _supervisor(directory), stage_of_process())
    say(f"goes on from step {found.checkpoint.step}")


def _resumption(directory: RunDirectory) -> Resumption | None:
    """Return how the run goes on from its newest sound checkpoint; None without one."""
    config = (read_json(directory.config) or {}).get("config") or {}
    for bundle in reversed(CheckpointFolder(directory.path / "checkpoints").all()):
        try:
            return find_resumption(
                directory, str(bundle.step), config.get("total_timesteps"), config.get("total_episodes"),
                config.get("stop_at"), held=True,
            )  # fmt: skip
        except CheckpointError as error:
            say(f"{error} An earlier one will do.")
    return None


def _begin_anew(directory: RunDirectory) -> None:
    """Let the run begin at its first step, as nothing of it was saved."""
    place = set_all_aside(directory)
    say(f"begins anew, as no checkpoint was saved; what there was is kept in {place}")
    manifest = {**(read_json(directory.manifest) or {}), "resumes": []}
    write_json(directory.manifest, manifest, stage=stage_of_process())
    append_event(directory.events, "run_resumed", step=0)
    write_json(directory.status, initial_status(_supervisor(directory)), stage=stage_of_process())


def _supervisor(directory: RunDirectory) -> dict[str, Any]:
    """Return the process that waits for the run; it may be on another machine, and it may have left."""
    return (read_json(directory.status) or {}).get("supervisor") or process_identity()


def _is_complete(config: Mapping[str, Any], found: Resumption) -> bool:
    """Return whether the checkpoint is that of the end of the budget."""
    have = {"total_timesteps": found.checkpoint.step, "total_episodes": int(found.checkpoint.data["episodes"])}
    return any(isinstance(limit := config.get(name), int) and there >= limit for name, there in have.items())


def _finish(directory: RunDirectory, found: Resumption) -> None:
    """Write the result of a run whose process was lost after its last step, before it could say so."""
    data = found.checkpoint.data
    returns = [float(value) for value in data["returns"]]
    result = Result(
        status="finished",
        reason="its budget was used up when its process was lost",
        step=found.checkpoint.step,
        episodes=int(data["episodes"]),
        seconds=float(data["seconds"]),
        return_mean=sum(returns) / len(returns) if returns else None,
        exit_code=ExitCode.DONE,
    )
    close_status(directory.status, result, stage_of_process())
    write_json(directory.result, finite(attrs.asdict(result)), stage=stage_of_process())
    say(f"was finished already, at step {result.step}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
