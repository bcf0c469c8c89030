"""Paired timing: sides take turns within each round, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

Command = Sequence[str]


def run_once(command: Command, folder: Path, environment: Mapping[str, str] | None = None) -> tuple[float, float, str]:
    """Return (wall seconds, CPU seconds of all its processes, stdout) of one run; raises when the command fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    answer = subprocess.run(
        command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if answer.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} exited with {answer.returncode}:\n{answer.stderr[-2000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, answer.stdout


@contextmanager
def pinned() -> Iterator[int | None]:
    """Keep this process, and what it starts, on the first core that it may use; gives the core, None where that cannot be."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    allowed = os.sched_getaffinity(0)
    core = min(allowed)
    os.sched_setaffinity(0, {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, allowed)


def median_of_ratios(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median over rounds of ours / theirs."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def spread(values: Sequence[float]) -> str:
    """Return "median (min to max)"."""
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
