"""An engine for tests: processes of this machine, which outlive who has started them; its address is a folder."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from rlctl import ExecutorDescriptor, hookimpl
from rlctl.launch.detached import Command, DetachedExecutor
from rlctl.launch.executor import Demand
from rlctl.launch.gathering import GatheringExecutor


class ToyEngine(DetachedExecutor):
    """Has no GPU, and keeps the name of each job as a file in its folder."""

    def __init__(self, address: str | None) -> None:
        assert address is not None
        self._folder = Path(address)

    def start(self, name: str, argv: Sequence[str], log: Path, demand: Demand) -> Path:
        with log.open("ab") as output:
            subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=self._folder
            )
        (self._folder / name).touch()
        return self._folder / name

    def find(self, name: str) -> Path | None:
        path = self._folder / name
        return path if path.exists() else None

    def given_up(self, job: Path) -> str | None:
        return None

    def lacking(self, demand: Demand) -> str | None:
        return "this engine has no GPU" if demand.gpus else None


class ToyArrays(ToyEngine, GatheringExecutor):
    """Starts three at once at most; a file `refuses` in its folder lets it start nothing."""

    def start(self, name: str, argv: Sequence[str], log: Path, demand: Demand) -> Path:
        if (self._folder / "refuses").exists():
            raise OSError("this engine refuses")
        return super().start(name, argv, log, demand)

    def at_once(self) -> int:
        return 3

    def start_several(self, name: str, commands: Sequence[Command], demand: Demand) -> list[Path]:
        with (self._folder / "arrays").open("a") as file:
            file.write(f"{len(commands)} with {demand.cpus}\n")
        return [self.start(f"{name}_{index}", *command, demand) for index, command in enumerate(commands)]


@hookimpl
def rlctl_executors() -> list[ExecutorDescriptor]:
    return [
        ExecutorDescriptor(name=name, summary="for tests", factory=f"toy_engine:{factory}", takes_address=True)
        for name, factory in (("engine", "ToyEngine"), ("arrays", "ToyArrays"))
    ]
