"""The tree of errors: a message says what, where and the value; a hint says what to do; each class has an exit code."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from attrs import frozen


class ExitCode(IntEnum):
    """What `rlctl` exits with; documented in docs/exit-codes.md and kept stable."""

    DONE = 0
    RUN_FAILED = 1
    USAGE = 2
    NOT_AVAILABLE = 3
    NOT_MIRRORED = 74
    STOPPED = 75
    FENCED = 76
    INTERRUPTED = 130
    TERMINATED = 143


class RlctlError(Exception):
    """Anything rlctl tells its user in one line; everything else that is raised is a bug and shows its traceback."""

    exit_code: int = ExitCode.RUN_FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class UsageError(RlctlError):
    """A command was called with something that cannot be meant: a run that does not exist, a contradiction."""

    exit_code = ExitCode.USAGE


class NotAvailableError(RlctlError):
    """A plugin, worker, environment or source that the request needs is not here."""

    exit_code = ExitCode.NOT_AVAILABLE


class PluginError(NotAvailableError):
    """A plugin exists but cannot be used: it does not import, conflicts, or speaks a newer API."""


class RunDirectoryError(RlctlError):
    """The directory of a run cannot be made or written."""

    exit_code = ExitCode.USAGE


class CheckpointError(RlctlError):
    """A checkpoint that is not there, not whole, or not one for this run."""

    exit_code = ExitCode.USAGE


@frozen
class Problem:
    """One thing that is wrong with a configuration: where, what, and what to do about it."""

    path: str
    message: str
    hint: str | None = None
    origin: str | None = None
    unavailable: bool = False

    def __str__(self) -> str:
        where = f" (from {self.origin})" if self.origin else ""
        return f"{self.path}: {self.message}{where}" + (f" {self.hint}" if self.hint else "")


class ConfigError(RlctlError):
    """A configuration that is refused; `problems` has everything that is wrong with it, at least one."""

    exit_code = ExitCode.USAGE

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
        if all(problem.unavailable for problem in self.problems):
            self.exit_code = ExitCode.NOT_AVAILABLE


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return `Did you mean "x"?` for the nearest known name, else the short list of what there is, else None."""
    import difflib

    candidates = sorted(known)
    folded = {candidate.casefold(): candidate for candidate in candidates}
    close = difflib.get_close_matches(str(name).casefold(), folded, n=1, cutoff=0.6)
    if close:
        return f'Did you mean "{folded[close[0]]}"?'
    if 0 < len(candidates) <= 12:
        return f"There is: {', '.join(candidates)}."
    return None
