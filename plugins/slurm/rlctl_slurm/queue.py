"""Slurm's queue, looked at once in a while for all runs of this process."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from attrs import define, field, frozen

from rlctl_slurm.commands import ask

JOB_VARIABLE = "RLCTL_SLURM_JOB"
"""The environment variable by which the job's script says what Slurm calls the job: 12, or 12_3 for a task of an array."""
_EACH_SECONDS = 2.0
_FIELDS = ("JobArrayID", "State", "Reason", "RestartCnt")


@frozen
class Job:
    """A job as we know it: its number, 12 or 12_3 for a task of an array, and when we have learnt of it."""

    number: str
    known_at: float = field(factory=time.monotonic)


@frozen
class Entry:
    """A job as the queue has it."""

    number: str
    state: str
    reason: str
    restarts: int


@define
class Queue:
    """The jobs of this user, those that have ended some minutes ago included."""

    _entries: Mapping[str, Entry] = field(factory=dict)
    _arrays: Collection[str] = ()
    _last_states: dict[str, str] = field(factory=dict)
    _seen_at: float = float("-inf")
    _next_look: float = float("-inf")

    def entry(self, job: Job) -> Entry | None:
        """Return how a job stood when we looked last; None for one that was not there then."""
        self._look()
        return self._entries.get(job.number)

    def has_forgotten(self, job: Job) -> bool:
        """Return whether the queue was looked at since the job is known, and did not have it any more."""
        return self.entry(job) is None and self._seen_at > job.known_at

    def was_taken_out(self, job: Job) -> bool:
        """Return whether the queue has the job's array without the job, which was not seen to begin.

        So it is with a task that somebody cancels while it waits; what has begun stays for some minutes after its end.
        """
        array, separator, _ = job.number.partition("_")
        never_began = self._last_states.get(job.number, "PENDING") == "PENDING"
        return bool(separator) and self.has_forgotten(job) and never_began and array in self._arrays

    def look_again(self) -> None:
        """Let the next question be answered by Slurm."""
        self._next_look = float("-inf")

    def _look(self) -> None:
        """Ask Slurm if that is due; what does not answer now, while its controller starts again say, will do so later."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _EACH_SECONDS
        try:
            self._entries = {entry.number: entry for entry in entries()}
        except OSError:
            return
        self._arrays = {number.partition("_")[0] for number in self._entries}
        self._last_states |= {number: entry.state for number, entry in self._entries.items()}
        self._seen_at = now


def entries(*more: str) -> list[Entry]:
    """Return the jobs of this user, or those of them that more options of squeue choose. Raises OSError."""
    wanted = ",".join(f"{name}:|" for name in _FIELDS)
    lines = ask("squeue", "--me", "--states=all", "--array", "--noheader", f"--Format={wanted}", *more).splitlines()
    found = [line.split("|") for line in lines]
    return [Entry(number, state, reason, int(restarts or 0)) for number, state, reason, restarts, *_ in found]
