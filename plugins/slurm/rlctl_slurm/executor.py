"""The executor: each run is a job, or a task of an array, and Slurm's states say what becomes of it."""

from __future__ import annotations

import functools
import math
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlctl.errors import NotAvailableError, UsageError
from rlctl.launch.detached import Command
from rlctl.launch.executor import Demand
from rlctl.launch.gathering import GatheringExecutor
from rlctl_slurm.commands import ask, refusal
from rlctl_slurm.options import sbatch_options
from rlctl_slurm.queue import JOB_VARIABLE, Job, Queue, entries

_SAVING_SECONDS = 60
"""How long before the end of a job's time its run is told to save."""
_PRESENCE_SECONDS = 15.0
_SPARE_MINUTES = 10
"""For a training of known duration: to start, to evaluate, to save."""
_LARGEST_ARRAY = 1000
"""Its script has a line for each task, and Slurm takes no script of more than 4 MB by default."""
_ARRAY_LIMITS = re.compile(r"(?:MaxArraySize\s*=\s*|max_array_tasks=)(\d+)")
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


class SlurmExecutor(GatheringExecutor):
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
        script = f'#!/bin/sh\nexport {JOB_VARIABLE}="$SLURM_JOB_ID"\nexec {shlex.join(argv)}\n'
        output = str(log).replace("%", "%%")
        return Job(self._submit([f"--job-name={name}", f"--output={output}"], demand, script))

    def at_once(self) -> int:
        """Return how many tasks an array may have here."""
        limits = [int(found) for found in _ARRAY_LIMITS.findall(ask("scontrol", "show", "config"))]
        return max(1, min([*limits, _LARGEST_ARRAY]))

    def start_several(self, name: str, commands: Sequence[Command], demand: Demand) -> list[Any]:
        """Submit one array, whose tasks Slurm calls NUMBER_INDEX, and each of which it may put back into its queue by itself."""
        cases = [
            f"{index}) exec {shlex.join(argv)} >>{shlex.quote(str(log))} 2>&1 ;;"
            for index, (argv, log) in enumerate(commands)
        ]
        variable = f'export {JOB_VARIABLE}="${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"'
        script = "\n".join(["#!/bin/sh", variable, 'case "$SLURM_ARRAY_TASK_ID" in', *cases, "esac", ""])
        options = [f"--job-name={name}", f"--array=0-{len(commands) - 1}", "--output=/dev/null"]
        number = self._submit(options, demand, script)
        return [Job(f"{number}_{index}") for index in range(len(commands))]

    def _submit(self, options: Sequence[str], demand: Demand, script: str) -> str:
        """Return the number that Slurm gives to the job, or to the array."""
        said = ask("sbatch", "--parsable", *options, *self._arguments(demand), script=script)
        return said.strip().partition(";")[0]

    def find(self, name: str) -> Any | None:
        """Return the job of this name, which Slurm knows for some minutes longer than it lives.

        All tasks of an array have its name, which our own names for them have before the `_`.
        """
        of_slurm, _, index = name.partition("_")
        found = [entry.number for entry in entries(f"--name={of_slurm}") if entry.state not in _OVER]
        numbers = [number for number in found if number.partition("_")[2] == index]
        return Job(numbers[0]) if numbers else None

    def given_up(self, job: Any) -> str | None:
        """Return in which state Slurm will not run the job any more."""
        if _queue().has_forgotten(job):
            return f"Slurm does not know job {job.number} any more"
        entry = _queue().entry(job)
        return f"Slurm has job {job.number} as {entry.state}" if entry is not None and entry.state in _OVER else None

    def withdrawn(self, job: Any) -> str | None:
        """Return that somebody has cancelled the job, or why Slurm lets it wait for ever."""
        entry = _queue().entry(job)
        is_cancelled = _queue().was_taken_out(job) if entry is None else entry.state == "CANCELLED"
        if is_cancelled:
            return f"job {job.number} was cancelled in Slurm"
        if entry is None:
            return None
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
