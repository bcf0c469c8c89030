"""What an engine places instead of a training: it claims the run's lease, starts the process, follows it, says how it ended.

    python -m rlctl.launch.keeper PLACEMENT_FOLDER

The folder is written by `rlctl.launch.detached`. An engine may start this twice for one run, or start it again after a fault:
of all that live at the same time one holds the lease, and the others wait until that one has ended or fallen silent.

SIGTERM and SIGUSR1 mean that the engine wants its machine back: the task is stopped at a safe point, and may go on elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from attrs import define, field

from rlctl.errors import ExitCode
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import LineReader, link_json, read_json, write_json
from rlctl.runs.lease import STAGE_VARIABLE, Attempts, Challenge, Lease, process_name

_POLL_SECONDS = 0.05
_LINGER_SECONDS = 10.0
"""How long what a task has started may outlive it, until somebody says that it is to be killed."""
_NOT_STARTED = 127


def keep(folder: Path) -> tuple[int, signal.Signals | None]:
    """Train the run of a placement, if nobody else does; returns an exit code, and the engine's signal to leave if one came.

    The code is 0 when the run has ended, 75 when it was stopped for the engine's sake, 76 for one that is another's, else 1.
    """
    task = read_json(folder / "task.json")
    if task is None:
        print(f"rlctl: {folder}/task.json cannot be read here", file=sys.stderr)
        return ExitCode.RUN_FAILED, None
    keeper = Keeper(folder, task)
    return keeper.run(), keeper.told


class _OverError(Exception):
    """This process has nothing to say about the run any more. `code` is what it exits with."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@define
class Keeper:
    """Keeps one placement. `task` is what its task.json says."""

    folder: Path
    task: Mapping[str, Any]
    _attempts: Attempts = field(init=False)
    _signals: LineReader = field(init=False)
    _is_piped: bool = field(init=False)
    told: signal.Signals | None = None
    """The first signal by which the engine has told us to leave."""

    def __attrs_post_init__(self) -> None:
        self._attempts = Attempts(self.folder.parent)
        self._signals = LineReader(self.folder / "signals.jsonl")
        self._is_piped = stat.S_ISFIFO(os.fstat(0).st_mode)

    def run(self) -> int:
        """Claim the run, have it trained to its end, and say how it ended."""
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._hear)
        try:
            lease = self._claim()
        except _OverError as over:
            return over.code
        try:
            code = self._train(lease)
            link_json(self.folder / "exit.json", {"code": code, "attempt": lease.number, "at": time.time()})
        except _OverError as over:
            if over.code in (ExitCode.RUN_FAILED, ExitCode.STOPPED):
                lease.release()  # nothing of ours lives; whoever is next need not wait
            return over.code
        lease.release()
        return ExitCode.DONE

    def _claim(self) -> Lease:
        """Wait until the run is free, and claim it."""
        challenge = Challenge(self._attempts, float(self.task["lease_seconds"]))
        while True:
            self._require_wanted()
            self._require_room()
            if challenge.may_claim():
                who = {"who": process_name(), "placement": self.folder.name}
                lease = self._attempts.claim(challenge.number, who, challenge.seconds)
                if lease is not None:
                    return lease
            time.sleep(_POLL_SECONDS)

    def _require_wanted(self) -> None:
        """Raise when this placement is over: it has ended, another one has taken its place, or the engine's process is gone."""
        if (self.folder / "exit.json").exists():
            raise _OverError(ExitCode.DONE)
        if not self._attempts.is_placed(self.folder.name):
            raise _OverError(ExitCode.FENCED)
        if self._is_piped and select.select([0], [], [], 0)[0] and not os.read(0, 4096):
            raise _OverError(ExitCode.RUN_FAILED)

    def _hear(self, number: int, _: FrameType | None) -> None:
        self.told = self.told or signal.Signals(number)

    def _require_room(self) -> None:
        """Raise when the engine wants its machine back."""
        if self.told is not None:
            raise _OverError(ExitCode.STOPPED)

    def _train(self, lease: Lease) -> int:
        directory = Path(self.task["directory"]) if self.task["directory"] else None
        for argv in self._commands(directory, lease):
            result = read_json(directory / "result.json") if directory else None
            if result is not None:
                return int(result.get("exit_code", ExitCode.RUN_FAILED))
            code = self._follow(argv, lease)
            if code != 0:
                return code
        return 0

    def _commands(self, directory: Path | None, lease: Lease) -> list[Sequence[str]]:
        """Return the task's command, and before it the one that makes a run ready which another process may have begun."""
        argv = self.task["argv"]
        is_first = lease.number == int(self.task["before"]) + 1
        if directory is None or is_first or not self._is_run():
            return [argv]
        return [[sys.executable, "-m", "rlctl.launch.reopen", str(directory)], argv]

    def _is_run(self) -> bool:
        """Return whether it is a training; evaluations and scripts begin again, as they have no checkpoints."""
        return self.task["directory"] is not None and (Path(self.task["directory"]) / "config.json").exists()

    def _follow(self, argv: Sequence[str], lease: Lease) -> int:
        """Run a command to its end, or to ours, and return its exit code."""
        if (self.folder / "kill").exists():
            return -signal.SIGKILL
        self._require_room()
        environment = {**os.environ, **self.task["environment"], STAGE_VARIABLE: str(lease.stage)}
        with Path(self.task["log"]).open("ab") as log:
            try:
                process = subprocess.Popen(
                    argv, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True,
                    cwd=self.task["folder"],
                )  # fmt: skip
            except OSError as error:
                log.write(f"rlctl: {argv[0]} could not be started: {error}\n".encode())
                return _NOT_STARTED
        has_passed_on = False
        try:
            while process.poll() is None:
                self._look(lease)
                if (self.folder / "kill").exists():
                    _kill_group(process)
                    return -signal.SIGKILL
                for line in self._signals.read():
                    process.send_signal(int(line["signal"]))
                if self.told is not None and not has_passed_on:
                    has_passed_on = True
                    process.send_signal(signal.SIGTERM)
                time.sleep(_POLL_SECONDS)
            self._look(lease)  # it may have ended because it was fenced
            if self._is_cut_off(process.returncode):
                self._take_back(lease)
                self._require_room()
            if argv == self.task["argv"]:
                self._linger(process.returncode, lease)
            return process.returncode
        finally:
            _kill_group(process)

    def _look(self, lease: Lease) -> None:
        """Let others see that we live; raises when the run is not ours any more."""
        if not lease.is_current():
            raise _OverError(ExitCode.FENCED)
        self._require_wanted()
        lease.beat_when_due()

    def _is_cut_off(self, code: int) -> bool:
        """Return whether the task ended for the engine's sake only: not by itself, and not because somebody asked for it."""
        if self.told is None or code == 0 or (self.folder / "signals.jsonl").exists():
            return False
        if self.task["directory"] is None:
            return True
        directory = RunDirectory(Path(self.task["directory"]))
        ended = (read_json(directory.result) or {}).get("status", "stopped")
        return bool(ended == "stopped") and not directory.stop_request.exists()

    def _take_back(self, lease: Lease) -> None:
        """Let the task's directory say that it goes on, as it does with the engine's next start."""
        with Path(self.task["log"]).open("ab") as log:
            log.write(
                f"rlctl: was stopped by {self.told.name if self.told else ''} of the engine, and is to go on\n".encode()
            )
        if self.task["directory"] is None:
            return
        directory = RunDirectory(Path(self.task["directory"]))
        status = read_json(directory.status) or {}
        write_json(directory.status, {**status, "state": "running"}, stage=lease.stage)
        directory.result.unlink(missing_ok=True)

    def _linger(self, code: int, lease: Lease) -> None:
        """Say how the task ended, and wait until what it has left behind is to be killed."""
        link_json(self.folder / "exit.json", {"code": code, "attempt": lease.number, "at": time.time()})
        end = time.monotonic() + _LINGER_SECONDS
        while time.monotonic() < end and not (self.folder / "kill").exists():
            lease.beat_when_due()
            time.sleep(_POLL_SECONDS)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]))[0])
