"""What an executor implements: it places one process somewhere and can say how it fares. It knows nothing of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from attrs import frozen

from rlctl.errors import NotAvailableError, Problem, RlctlError, did_you_mean
from rlctl.plugins import Registry


@frozen
class Demand:
    """What a task takes while it runs: CPU slots, GPUs, memory in MiB.

    `seconds` is after how long its training is stopped, None when that has no limit.
    `elsewhere` says that it is placed on other machines, whose engine counts all of that; here it takes one slot only.
    """

    cpus: int = 1
    gpus: int = 0
    memory_mb: int = 0
    elsewhere: bool = False
    seconds: float | None = None

    @property
    def here(self) -> Demand:
        """What it takes of this machine."""
        return Demand() if self.elsewhere else self


@frozen(kw_only=True)
class Task:
    """A process to place: its command, what to add to the environment, and where its output goes.

    `directory` is that of the run or of another member of a plan, None for a process that is neither.
    `demand` is what it takes; an executor of this machine need not look at it.
    `cores` are those that it is to be pinned to, none for all that there are.
    `warm_up` is what a process imports ("module") and calls ("module:function"), in this order, from which this one may be
    forked instead of being started afresh; empty where that must not be. An executor may leave it alone.
    The command's stdin must be a pipe that stays open as long as somebody waits for the run; its end stops the run.
    """

    run_id: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    cores: tuple[int, ...] = ()
    directory: Path | None = None
    demand: Demand = Demand()
    warm_up: tuple[str, ...] = ()


def executor_problems(name: str, address: str | None, registry: Registry) -> list[Problem]:
    """Return what is wrong with an executor's name, and with the address that it was given."""
    takes_address = False
    if name != "local":
        try:
            takes_address = registry.executor(name).descriptor.takes_address
        except NotAvailableError as error:
            known = [found.descriptor.name for found in registry.executors]
            hint = error.hint if name in known else did_you_mean(name, ["local", *known])
            return [Problem("executor", error.message, hint, unavailable=True)]
        except RlctlError as error:
            return [Problem("executor", error.message, error.hint, unavailable=True)]
    if address is None or takes_address:
        return []
    return [Problem("address", f'executor "{name}" takes no address.', "Say which: --executor dask.")]


class NotStartedError(OSError):
    """A task that was submitted could not be started after all, as its executor starts several later, in one go."""


class Executor(Protocol):
    """Places tasks. `local` is built in; a plugin brings others through `rlctl_executors`."""

    def submit(self, task: Task) -> object:
        """Start the task and return a handle at once. Raises OSError when it cannot be started."""

    def poll(self, handle: object) -> int | None:
        """Return the exit code when the process has ended (negative: the number of the signal), else None.

        Raises NotStartedError for one that could not be started since it was submitted.
        """

    def cancel(self, handle: object, signal_number: int) -> None:
        """Send a signal to the process only: it ends what it has started itself."""

    def kill(self, handle: object) -> None:
        """End the process and everything that it has started, at once."""
