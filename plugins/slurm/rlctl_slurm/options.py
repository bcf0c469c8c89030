"""The words by which a user says what `sbatch` is to be told: `partition=gpu time=8:00:00 exclusive`."""

from __future__ import annotations

import re
import shlex

from rlctl.errors import UsageError

_SIGNAL = re.compile(r"B:(SIG)?USR1(@\d+)?")
_OURS = {
    "array", "comment", "error", "get-user-env", "input", "job-name", "no-requeue", "nodes", "ntasks", "open-mode", "output",
    "parsable", "requeue", "test-only", "wait", "wrap",
}  # fmt: skip
"""What rlctl says itself, or what would make another thing than one job for one run."""


def sbatch_options(address: str | None) -> list[str]:
    """Return the options for sbatch's command line. Raises UsageError for words that are none, or that are rlctl's to say."""
    try:
        words = shlex.split(address or "")
    except ValueError as error:
        raise UsageError(f"address: {address!r} cannot be split into words: {error}.") from error
    problems = [problem for word in words if (problem := _problem(word.lstrip("-"))) is not None]
    if problems:
        raise UsageError(f"address of executor slurm: {' '.join(problems)}", hint="Write partition=gpu time=8:00:00.")
    return [f"--{word.lstrip('-')}" for word in words]


def _problem(word: str) -> str | None:
    name, separator, value = word.partition("=")
    if name in _OURS:
        return f'"{name}" is for rlctl to say.'
    if name == "signal" and not _SIGNAL.fullmatch(value):
        return f'"{word}" would not reach the run: say signal=B:USR1@SECONDS.'
    if len(name) < 2 or (separator and not value):
        return f'"{word}" is no option of sbatch; they are written as name=value, or name.'
    return None
