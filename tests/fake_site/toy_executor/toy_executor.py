"""An executor for tests: the local one, with a note of each call in the task's logs folder."""

from __future__ import annotations

from typing import Any

from rlctl import ExecutorDescriptor, hookimpl
from rlctl.launch.executor import Task
from rlctl.launch.local import LocalExecutor


class ToyExecutor(LocalExecutor):
    """Writes what it is asked to `executor.txt` beside the log."""

    def submit(self, task: Task) -> Any:
        self._notes = task.log.with_name("executor.txt")
        self._note(f"submit {task.run_id}")
        return super().submit(task)

    def cancel(self, handle: Any, signal_number: int) -> None:
        self._note(f"cancel {signal_number}")
        super().cancel(handle, signal_number)

    def kill(self, handle: Any) -> None:
        self._note("kill")
        super().kill(handle)

    def _note(self, line: str) -> None:
        with self._notes.open("a") as file:
            file.write(line + "\n")


@hookimpl
def rlctl_executors() -> list[ExecutorDescriptor]:
    return [ExecutorDescriptor(name="toy", summary="local, with notes", factory="toy_executor:ToyExecutor")]
