"""An engine for tests: processes of this machine, which outlive who has started them; its address is a folder."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from rlctl import ExecutorDescriptor, hookimpl
from rlctl.launch.detached import DetachedExecutor
from rlctl.launch.executor import Demand


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


@hookimpl
def rlctl_executors() -> list[ExecutorDescriptor]:
    factory = "toy_engine:ToyEngine"
    return [ExecutorDescriptor(name="engine", summary="for tests", factory=factory, takes_address=True)]
