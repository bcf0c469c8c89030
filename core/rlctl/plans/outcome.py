"""Who follows a member of a plan to its end, how it ended, and how the whole plan did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import frozen

from rlctl.errors import ExitCode
from rlctl.events import Result
from rlctl.runs.directory import RunDirectory


class Follower(Protocol):
    """Who follows a member that was begun; `rlctl.launch.supervise.Supervisor` is one."""

    directory: RunDirectory

    def look(self) -> int | None:
        """Return the exit code when it has ended, else None. Raises NotStartedError when it could not be started since."""

    def interrupt(self, number: int) -> None:
        """Stop it; the second time kill it."""

    def end(self, code: int) -> Result:
        """Return how it ended."""

    def settled(self) -> bool | None:
        """Return whether all that it left is where `save_uri` says, once that is known, else None: the plan waits for it."""

    def abandon(self) -> None:
        """Do without what follows its end."""


@frozen
class Ended:
    """How a member stands when the host is done: finished, failed, stopped, blocked or pending, and why."""

    state: str
    reason: str = ""


@frozen
class Outcome:
    """How a plan ended: each member, and the signal that stopped it all, if one did."""

    members: Mapping[str, Ended]
    is_mirrored: bool = True
    """Whether all that was to be mirrored is."""

    def in_state(self, state: str) -> list[str]:
        """Return the members that ended so."""
        return [name for name, ended in self.members.items() if ended.state == state]

    @property
    def exit_code(self) -> int:
        """Return 1 when a member failed, 75 when the rest can be gone on with, 74 when not all is mirrored, 0 when all is done."""
        if self.in_state("failed"):
            return ExitCode.RUN_FAILED
        if any(item.state != "finished" for item in self.members.values()):
            return ExitCode.STOPPED
        return ExitCode.DONE if self.is_mirrored else ExitCode.NOT_MIRRORED
