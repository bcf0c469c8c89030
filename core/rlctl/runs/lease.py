"""Who may train a run that is placed on other machines: attempts that are claimed, heartbeats, and a fence for the one before.

An engine, Dask say, may start the same run twice after a fault, and a frozen machine may wake up. So what it starts claims
the run first: `attempt-0002` can be made by one process only. The holder counts in `beat-0002`; a challenger must see that
count unchanged for the whole `seconds` of the lease, by its own clock, before it claims the next attempt.

What a training publishes, it makes in `stage-0002/` and renames into its place. Who claims the next attempt takes this folder
away: a rename of the process before it, which was frozen perhaps just before, then finds nothing to rename.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from attrs import define, field, frozen

from rlctl.errors import ExitCode
from rlctl.runs.files import link_json, read_json, write_json

FOLDER = "attempts"
"""Where a run's directory has them."""
STAGE_VARIABLE = "RLCTL_STAGE"
"""The environment variable that tells a worker process its stage."""
_SECONDS_VARIABLE = "RLCTL_LEASE_SECONDS"
_SECONDS = 15.0
_NOBODY = "nobody"
"""The placement of a run that was taken away from its engine, and that nobody has made ready yet."""
_ATTEMPT = re.compile(r"attempt-(\d{4,})")


def lease_seconds() -> float:
    """Return after how many seconds of silence a holder is given up: RLCTL_LEASE_SECONDS, else 15; on NFS at least 60."""
    return float(os.environ.get(_SECONDS_VARIABLE) or _SECONDS)


@frozen
class Attempts:
    """The folder with all attempts of one run."""

    path: Path

    def newest(self) -> int:
        """Return the number of the last attempt that was claimed, 0 before the first."""
        try:
            names = [path.name for path in self.path.iterdir()]
        except FileNotFoundError:
            return 0
        return max((int(found[1]) for name in names if (found := _ATTEMPT.fullmatch(name))), default=0)

    def claim(self, after: int, who: Mapping[str, Any], seconds: float) -> Lease | None:
        """Claim the attempt after number `after`; None when somebody else has it. Fences all attempts before it.

        The caller has seen that the holder of `after` has ended, or was silent for the whole lease: see `Challenge`.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lease = Lease(self, after + 1, seconds)
        if not link_json(lease.claimed, {**who, "number": lease.number, "seconds": seconds, "claimed_at": time.time()}):
            return None
        lease.beat()
        lease.stage.mkdir()
        for number in range(1, lease.number):  # all: who claimed before us may have died before it could do this
            self.revoke(number)
        if lease.is_current():  # if not, somebody may have looked for our stage before it was there
            return lease
        self.revoke(lease.number)
        return None

    def revoke(self, number: int) -> None:
        """Take away the folder from which an attempt publishes; from here on it can change nothing."""
        stage = self.file("stage", number)
        taken = self.path / f".revoked-{number:04d}-{secrets.token_hex(4)}"
        with contextlib.suppress(FileNotFoundError):
            os.rename(stage, taken)
            shutil.rmtree(taken, ignore_errors=True)

    def place(self, placement: str | None) -> None:
        """Say which placement may train the run from now on; None: it is not placed, and needs no lease."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "placement.json", {"id": placement, "at": time.time()})

    def placement(self) -> Path | None:
        """Return the folder of the placement that may train the run, None when there is none."""
        name = (read_json(self.path / "placement.json") or {}).get("id")
        return self.path / name if name else None

    def withdraw(self) -> None:
        """Let no placement that there was train the run."""
        if self.path.exists():
            self.place(_NOBODY)

    def is_placed(self, placement: str) -> bool:
        """Return whether this placement may train the run; a file that cannot be read now is no reason to end a training."""
        said = read_json(self.path / "placement.json")
        return said is None or said.get("id") == placement

    @contextlib.contextmanager
    def taken_over(self, report: Callable[[str], None]) -> Iterator[Path | None]:
        """Wait until nobody trains the run, let no placement begin it, and hold it for the context.

        Gives the stage from which to publish meanwhile; None for a run that was never placed, which nobody can hold.
        """
        if not self.path.exists():
            yield None
            return
        self.withdraw()
        lease = self._claim_in_time(report)
        try:
            yield lease.stage
            self.place(None)  # not before: who dies in here leaves a run that counts as lost
        finally:
            lease.release()

    def _claim_in_time(self, report: Callable[[str], None]) -> Lease:
        """Claim the next attempt as soon as it may be."""
        challenge, has_said = Challenge(self, lease_seconds()), False
        while True:
            free = challenge.may_claim()
            lease = self.claim(challenge.number, {"who": process_name()}, challenge.seconds) if free else None
            if lease is not None:
                return lease
            if not has_said:
                report(
                    f"waiting until the machine that it was on has ended it, or was silent for {challenge.seconds:g} s"
                )
                has_said = True
            time.sleep(0.1)

    def file(self, kind: str, number: int) -> Path:
        """Return the path of `attempt`, `beat`, `stage` or `ended` of an attempt."""
        return self.path / f"{kind}-{number:04d}"

    def is_held(self) -> bool | None:
        """Return whether somebody seems to train; None for a run that is not placed, or still waits for its first machine.

        By the file's age, so that a list of runs need not wait; whoever wants to claim it watches with a `Challenge`.
        """
        placement, number = (read_json(self.path / "placement.json") or {}).get("id"), self.newest()
        if placement is None or (number == 0 and placement != _NOBODY):
            return None
        if number == 0 or self.file("ended", number).exists():
            return False
        seconds = float((read_json(self.file("attempt", number)) or {}).get("seconds", _SECONDS))
        try:
            age = time.time() - self.file("beat", number).stat().st_mtime
        except OSError:
            return False
        return age < 2 * seconds


@define
class Lease:
    """One claimed attempt."""

    attempts: Attempts
    number: int
    seconds: float
    _count: int = 0
    _next_beat: float = 0.0

    @property
    def claimed(self) -> Path:
        return self.attempts.file("attempt", self.number)

    @property
    def stage(self) -> Path:
        """The folder in which what is to be published is made."""
        return self.attempts.file("stage", self.number)

    def is_current(self) -> bool:
        """Return whether nobody has claimed the attempt after this one."""
        return not self.attempts.file("attempt", self.number + 1).exists()

    def beat_when_due(self) -> None:
        """Count five times in the lease's duration."""
        if time.monotonic() >= self._next_beat:
            self.beat()

    def beat(self) -> None:
        """Let challengers see that this process lives."""
        self._count += 1
        self._next_beat = time.monotonic() + self.seconds / 5
        self.attempts.file("beat", self.number).write_text(str(self._count))

    def release(self) -> None:
        """Say that this attempt has ended and writes nothing any more, so that nobody needs to wait for its silence."""
        write_json(self.attempts.file("ended", self.number), {"at": time.time()})


@define
class Challenge:
    """Watches the last attempt until it has ended, or has been silent for the whole lease by this process's clock."""

    attempts: Attempts
    seconds: float
    _seen: tuple[int, str] | None = None
    _since: float = field(factory=time.monotonic)

    def may_claim(self) -> bool:
        """Return whether the attempt after `number` may be claimed; to be asked again and again."""
        number = self.attempts.newest()
        if number == 0 or self.attempts.file("ended", number).exists():
            self._seen = (number, "")
            return True
        seen = (number, self._count_of(number))
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since > self.seconds

    @property
    def number(self) -> int:
        """The attempt that was last looked at."""
        return self._seen[0] if self._seen else 0

    def _count_of(self, number: int) -> str:
        try:
            return self.attempts.file("beat", number).read_text()
        except OSError:
            return ""


def process_name() -> str:
    """Return which process this is, for people who look into an attempt."""
    return f"process {os.getpid()} on {os.uname().nodename}"


def stage_of_process() -> Path | None:
    """Return the stage of this worker process; None for one on its user's machine, which needs no lease."""
    said = os.environ.get(STAGE_VARIABLE)
    return Path(said) if said else None


def leave_if_fenced(stage: Path | None) -> None:
    """End this process and all that it has started, at once, if somebody else trains the run now."""
    if stage is not None and not stage.is_dir():
        leave()


def leave() -> NoReturn:
    """End this process and, if it leads its group, all that it has started, without another word to any file."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(ExitCode.FENCED)
