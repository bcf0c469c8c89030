"""`executions/ID/` beside the runs: a script as it was run, its output, its end; the runs that it started carry its id.

The process of an execution is that of a plan's script, `python -m rlctl.plans.task DIRECTORY`, and it is followed as that is.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from rlctl.config.layers import SCRIPT_LABEL, SCRIPT_VARIABLE
from rlctl.errors import ConfigError, ExitCode, UsageError
from rlctl.events import RunInfo
from rlctl.launch.executor import Task
from rlctl.launch.local import LocalExecutor
from rlctl.launch.supervise import Interruptions, Supervisor
from rlctl.plans.scripts import Script
from rlctl.runs.directory import RunDirectory, create, new_run_id, process_identity, state_of
from rlctl.runs.files import read_json
from rlctl.runs.manifest import redacted
from rlctl.runs.store import RunStore
from rlctl.worker.dispatch import Dispatcher
from rlctl.worker.status import initial_status

FOLDER_VARIABLE = "RLCTL_SCRIPT_DIR"
_POLL_SECONDS = 0.05
_GRACE = 60.0
"""Seconds that a script gets to end when it is stopped: twice what the trainings get that it waits for."""


def executions_root(runs_root: Path) -> Path:
    """Return where executions are kept: beside the runs."""
    return runs_root.resolve().parent / "executions"


@frozen
class Execution:
    """One execution on disk."""

    directory: RunDirectory
    runs_root: Path

    @property
    def said(self) -> dict[str, Any]:
        """What was noted before it began: the script's name, path and hash, its arguments, where and when."""
        return read_json(self.directory.path / "script.json") or {}

    @property
    def exit_code(self) -> int | None:
        """The script's own exit code; None while it runs, and of one that was stopped or killed."""
        code = (read_json(self.directory.path / "answer.json") or {}).get("exit_code")
        return int(code) if code is not None else None

    def runs(self) -> list[dict[str, Any]]:
        """Return the rows of the runs that it started, the first phase first."""
        rows = RunStore(self.runs_root).rows()
        mine = [row for row in rows if row["labels"].get(SCRIPT_LABEL) == self.directory.run_id]
        return mine[::-1]

    def row(self) -> dict[str, Any]:
        """Return what a list shows of it."""
        said, result = self.said, read_json(self.directory.result) or {}
        return {
            "id": self.directory.run_id,
            **{key: said.get(key) for key in ("script", "path", "sha256", "arguments", "started_at")},
            "state": state_of(self.directory),
            "reason": result.get("reason"),
            "exit_code": self.exit_code,
            "directory": str(self.directory.path),
        }


def executions(runs_root: Path) -> list[Execution]:
    """Return all executions, the newest first."""
    paths = [path.parent for path in executions_root(runs_root).glob("[!.]*/script.json")]
    found = [Execution(RunDirectory(path), runs_root) for path in paths]
    return sorted(found, key=lambda item: (item.said.get("started_at", 0), item.directory.run_id), reverse=True)


def find_execution(reference: str, runs_root: Path) -> Execution | None:
    """Return the execution that `@latest`, an id or its beginning means; None when there is none. Raises UsageError for several."""
    known = executions(runs_root)
    if reference == "@latest":
        return known[0] if known else None
    matches = [item for item in known if item.directory.run_id.startswith(reference)] if len(reference) > 3 else []
    if len(matches) > 1:
        raise UsageError(f'"{reference}" means {len(matches)} executions.', hint="Give more of the id.")
    return matches[0] if matches else None


def begin_execution(script: Script, arguments: Sequence[str], runs_root: Path) -> Execution:
    """Make the folder of an execution. Raises ConfigError with all that is wrong with the script."""
    if script.problems:
        raise ConfigError(script.problems)
    name, path = new_run_id(), script.path.resolve()
    root = executions_root(runs_root)
    environment = {
        SCRIPT_VARIABLE: name,
        FOLDER_VARIABLE: str(root / name),
        "RLCTL_RUNS_DIR": str(runs_root.resolve()),
        **_path_to_rlctl(),
    }
    files = {
        "script.json": {
            "script": script.name,
            "path": str(path),
            "sha256": script.sha256,
            "arguments": redacted(list(arguments)),
            "phases": script.phases,
            "started_at": time.time(),
            "working_directory": str(Path.cwd()),
        },
        "request.json": {
            "kind": "script",
            "argv": [*script.interpreter, str(path), *arguments],
            "environment": environment,
            "grace": _GRACE,
        },
        "status.json": initial_status(process_identity()),
    }

    def fill(directory: RunDirectory) -> None:
        (directory.path / path.name).write_text(script.text, encoding="utf-8")
        (directory.path / "request.json").chmod(0o600)  # arguments may be secrets, which script.json does not have

    return Execution(create(root, name, files, fill), runs_root)


def _path_to_rlctl() -> dict[str, str]:
    """Return a PATH on which the script finds the command `rlctl` of this environment, where it would find none."""
    beside = Path(sys.executable).parent
    if shutil.which("rlctl") is not None or shutil.which("rlctl", path=str(beside)) is None:
        return {}
    return {"PATH": f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def follow(execution: Execution, report: Callable[[str], None], show: Callable[[bytes], object]) -> int:
    """Run what was begun and wait for its end; `show` is given its output. Returns the exit code for who called.

    That is the script's own, unless it was stopped: then 75 when a run of it can be resumed, else 130 or 143.
    """
    directory, interruptions = execution.directory, Interruptions()
    info = RunInfo(
        run_id=directory.run_id, directory=directory.path, worker="script", algo="script", env_id="", seed=0,
        total_timesteps=None, total_episodes=None,
    )  # fmt: skip
    supervisor = Supervisor(directory, info, LocalExecutor(), Dispatcher(_raise), report, grace=_GRACE)
    argv = (sys.executable, "-m", "rlctl.plans.task", str(directory.path))
    task = Task(run_id=directory.run_id, argv=argv, environment={"PYTHONUNBUFFERED": "1"}, log=directory.log)
    handled = 0
    with directory.log.open("rb") as log, interruptions.caught():
        supervisor.begin(task)
        while (code := supervisor.look()) is None:
            show(log.read())
            for number in interruptions.received[handled:]:
                handled += 1
                supervisor.interrupt(number)
            time.sleep(_POLL_SECONDS)
        show(log.read())
    result = supervisor.end(code)
    if result.status == "stopped":
        resumable = any(_code_of(row) == ExitCode.STOPPED for row in execution.runs())
        return ExitCode.STOPPED if resumable else result.exit_code
    return result.exit_code if execution.exit_code is None else execution.exit_code


def _code_of(row: dict[str, Any]) -> int | None:
    code = (read_json(Path(row["directory"]) / "result.json") or {}).get("exit_code")
    return int(code) if code is not None else None


def _raise(name: str, hook: str, error: BaseException) -> None:
    raise AssertionError(f"{name} failed in {hook}") from error
