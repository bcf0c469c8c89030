"""Engines that start many commands in one go, as arrays: what a host submits in one turn is gathered for them."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

from rlctl.launch.detached import Command, DetachedExecutor, Placed
from rlctl.launch.executor import Demand, Executor, NotStartedError, Task
from rlctl.launch.start import make_executor
from rlctl.plugins import Registry


class GatheringExecutor(DetachedExecutor):
    """Starts what was submitted between `gather` and `hand_over` in one go; without the first, each by itself and at once."""

    _gathered: dict[Path, Placed] | None = None

    @abstractmethod
    def at_once(self) -> int:
        """Return how many commands `start_several` takes at most. Raises OSError."""

    @abstractmethod
    def start_several(self, name: str, commands: Sequence[Command], demand: Demand) -> list[Any]:
        """Do for each command what `start` does, and return their jobs; `find` knows them as NAME_0, NAME_1 and so on.

        Raises OSError when none of them was started.
        """

    def gather(self) -> None:
        """Start nothing that is submitted from now on before `hand_over` says so."""
        self._gathered = {}

    def submit(self, task: Task) -> Placed:
        """Hand the task to the engine, or keep it until `hand_over`."""
        if self._gathered is None:
            return super().submit(task)
        handle = self._place(task)
        self._gathered[handle.folder] = handle
        return handle

    def hand_over(self) -> None:
        """Start what was gathered, together what has the same demand; `poll` says of what could not be started."""
        of_demand: dict[Demand, list[Placed]] = {}
        gathered, self._gathered = self._gathered or {}, {}
        for handle in gathered.values():
            of_demand.setdefault(handle.demand, []).append(handle)
        for demand, handles in of_demand.items():
            self._start_all(handles, demand)

    def poll(self, handle: Any) -> int | None:
        """Return the exit code when the task has ended, None while it has not; raises NotStartedError."""
        if handle.folder in (self._gathered or ()):
            return None
        if handle.refusal is not None and not (handle.folder / "exit.json").exists():
            raise NotStartedError(handle.refusal)
        return super().poll(handle)

    def _start_all(self, handles: Sequence[Placed], demand: Demand) -> None:
        try:
            self._require(demand)
            size = self.at_once() if len(handles) > 1 else 1
        except OSError as error:
            _refuse(handles, error)
            return
        for first in range(0, len(handles), size):
            self._start_together(handles[first : first + size], demand)

    def _start_together(self, handles: Sequence[Placed], demand: Demand) -> None:
        """Start some; the names are on disk before the engine is asked, so that whoever comes later finds what it was given."""
        try:
            if len(handles) == 1:
                self._start(handles[0])
                return
            name = f"placements-{secrets.token_hex(8)}"
            commands = [self._named(handle, f"{name}_{index}") for index, handle in enumerate(handles)]
            jobs = self.start_several(name, commands, demand)
        except OSError as error:
            _refuse(handles, error)
            return
        for handle, job in zip(handles, jobs, strict=True):
            handle.job = job


@define
class Executors:
    """The executors by which one host places its tasks: one for each engine that gathers them."""

    registry: Registry
    _gathering: dict[tuple[str, str | None], GatheringExecutor] = field(factory=dict)

    def of(self, name: str, address: str | None) -> Executor:
        """Return the executor of that name, for the engine at `address`; raises as `make_executor` does."""
        if (name, address) in self._gathering:
            return self._gathering[name, address]
        executor = make_executor(name, self.registry, address)
        if isinstance(executor, GatheringExecutor):
            executor.gather()
            self._gathering[name, address] = executor
        return executor

    def hand_over(self) -> None:
        """Start what was submitted since the last time, now that nothing more may begin."""
        for executor in self._gathering.values():
            executor.hand_over()


def _refuse(handles: Sequence[Placed], error: OSError) -> None:
    for handle in handles:
        handle.refusal = str(error)
