"""The executor: each run is a job of its own, and Slurm's states say what becomes of it."""

from __future__ import annotations

import functools
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlctl.errors import NotAvailableError, UsageError
from rlctl.launch.detached import DetachedExecutor
from rlctl.launch.executor import Demand
from rlctl_slurm.commands import ask, refusal
from rlctl_slurm.options import sbatch_options
from rlctl_slurm.queue import Job, Queue, entries

_SAVING_SECONDS = 60
"""How long before the end of a job's time its run is told to save."""
_PRESENCE_SECONDS = 15.0
_SPARE_MINUTES = 10
"""For a training of known duration: to start, to evaluate, to save."""
_OVER = {
    "BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT",
}  # fmt: skip
_WAITS = {
    "COMPLETING", "CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT",
}  # fmt: skip
"""Not now, but Slurm or its administrator will start it."""
_NEVER = {
    "BadConstraints", "InvalidAccount", "InvalidQOS", "PartitionNodeLimit", "PartitionTimeLimit",
}  # fmt: skip
"""Reasons for which a job stays in the queue for ever."""


class SlurmExecutor(DetachedExecutor):
    """Places runs as jobs of the cluster that Slurm's programs on this machine talk to."""

    keeper = "rlctl_slurm.node"

    def __init__(self, address: str | None = None) -> None:
        """Take options for sbatch, such as "partition=gpu time=8:00:00".

        Raises NotAvailableError without Slurm, UsageError for options that it does not take.
        """
        self.options = sbatch_options(address)
        _require_slurm()
        _require_accepted(tuple(self.options))

    def start(self, name: str, argv: Sequence[str], log: Path, demand: Demand) -> Any:
        """Submit a job that runs the command, and that Slurm may put back into its queue."""
        output = str(log).replace("%", "%%")
        script = f"#!/bin/sh\nexec {shlex.join(argv)}\n"
        said = ask(
            "sbatch", "--parsable", f"--job-name={name}", f"--output={output}", *self._arguments(demand), script=script
        )
        return Job(said.strip().partition(";")[0])

    def find(self, name: str) -> Any | None:
        """Return the job of this name, which Slurm knows for some minutes longer than it lives."""
        found = [entry for entry in entries(f"--name={name}") if entry.state not in _OVER]
        return Job(found[0].number) if found else None

    def given_up(self, job: Any) -> str | None:
        """Return in which state Slurm will not run the job any more."""
        if _queue().has_forgotten(job):
            return f"Slurm does not know job {job.number} any more"
        entry = _queue().entry(job)
        return f"Slurm has job {job.number} as {entry.state}" if entry is not None and entry.state in _OVER else None

    def withdrawn(self, job: Any) -> str | None:
        """Return that somebody has cancelled the job, or why Slurm lets it wait for ever."""
        entry = _queue().entry(job)
        if entry is None:
            return None
        if entry.state == "CANCELLED":
            return f"job {job.number} was cancelled in Slurm"
        if entry.state == "PENDING" and entry.reason in _NEVER:
            return f"Slurm will never start job {job.number}: {entry.reason}"
        return None

    def waits(self, job: Any) -> bool:
        """Return whether the job is in the queue; one that was put back there is not let wait the two minutes that Slurm would."""
        entry = _queue().entry(job)
        if entry is None or entry.state not in _WAITS:
            return entry is None and not _queue().has_forgotten(job)
        if entry.state == "PENDING" and entry.reason == "BeginTime" and entry.restarts > 0:
            refusal("scontrol", "update", f"JobId={job.number}", "StartTime=now")  # if not, it begins a little later
            _queue().look_again()
        return True

    def drop(self, job: Any) -> None:
        """Cancel the job, if Slurm still has it."""
        refusal("scancel", job.number)
        _queue().look_again()

    def lacking(self, demand: Demand) -> str | None:
        """Return what Slurm has against a job with this demand; it is asked with all options, and starts nothing."""
        said = _refusal(self._arguments(demand))
        if said is None:
            return None
        wanted = f"{demand.cpus} CPUs, {demand.gpus} GPUs, {demand.memory_mb or 'any'} MiB"
        return f"Slurm refuses a job of {wanted}{' with ' if self.options else ''}{' '.join(self.options)}: {said}"

    def room(self) -> int | None:
        """Return how many CPUs the partition has that are not out of order; what more is submitted waits in the queue."""
        chosen = [option for option in self.options if option.startswith("--partition=")]
        lines = ask("sinfo", "--noheader", "--format=%P|%C", *chosen).splitlines()
        counts = {name: count.split("/") for name, _, count in (line.partition("|") for line in lines)}
        if not chosen:
            counts = {name: count for name, count in counts.items() if name.endswith("*")} or counts
        return sum(_number(allocated) + _number(idle) for allocated, idle, *_ in counts.values()) or None

    def _arguments(self, demand: Demand) -> list[str]:
        """Return the options for a job with this demand; what the user says comes last, and wins."""
        wanted = [
            "--nodes=1", "--ntasks=1", f"--cpus-per-task={demand.cpus}", "--requeue", "--open-mode=append",
            # To the script's process only, which is the keeper; all other signals reach all processes of the job.
            f"--signal=B:USR1@{_SAVING_SECONDS}",
        ]  # fmt: skip
        if demand.gpus:
            wanted.append(f"--gres=gpu:{demand.gpus}")
        if demand.memory_mb:
            wanted.append(f"--mem={demand.memory_mb}")
        if demand.seconds is not None:
            wanted.append(f"--time={math.ceil(demand.seconds / 60) + _SPARE_MINUTES}")
        return [*wanted, *self.options]


def _refusal(options: Sequence[str]) -> str | None:
    return refusal("sbatch", "--test-only", *options, script="#!/bin/sh\n")


def _number(text: str) -> int:
    """Return a count of sinfo, which writes thousands as 12K."""
    return round(float(text[:-1]) * 1000) if text.endswith("K") else int(text)


@functools.cache
def _queue() -> Queue:
    """Return the queue; one look at it is for all runs of this process."""
    return Queue()


@functools.cache
def _require_slurm() -> None:
    """Raise NotAvailableError unless Slurm's controller answers."""
    try:
        ask("sinfo", "--noheader", seconds=_PRESENCE_SECONDS)
        ask("sbatch", "--version", seconds=_PRESENCE_SECONDS)
    except OSError as error:
        raise NotAvailableError(
            f"Slurm is not available here: {error}.",
            hint="Run rlctl where sbatch works, such as a cluster's login node; `scontrol ping` says whether it does.",
        ) from error


@functools.cache
def _require_accepted(options: tuple[str, ...]) -> None:
    """Raise UsageError for options that Slurm refuses whatever a job demands."""
    said = _refusal(options) if options else None
    if said is not None:
        raise UsageError(
            f"address of executor slurm: sbatch refuses {' '.join(options)}: {said}.",
            hint="`sinfo` shows the partitions; `man sbatch` has the options.",
        )
