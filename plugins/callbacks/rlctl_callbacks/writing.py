"""A thread that writes what a training has handed over, every so many seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable


class WriterThread:
    """Calls `write` each `seconds` until the end; what that raises ends it, and is raised by the next `check`."""

    def __init__(self, name: str, write: Callable[[], None], seconds: float) -> None:
        self.error: Exception | None = None
        self._write = write
        self._seconds = seconds
        self._ending = threading.Event()
        self._is_writing = threading.Lock()
        self._thread = threading.Thread(target=self._work, name=f"rlctl-{name}", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what went wrong in the thread, where it can be reported."""
        if self.error is not None:
            raise self.error

    def write_now(self) -> None:
        """Write in the calling thread; raises what went wrong, now or before."""
        self.check()
        with self._is_writing:
            self._write()

    def end(self) -> None:
        """Write for the last time; raises what went wrong, now or before."""
        self._ending.set()
        self._thread.join()
        self.write_now()

    def _work(self) -> None:
        while not self._ending.wait(self._seconds):
            try:
                with self._is_writing:
                    self._write()
            except Exception as error:  # noqa: BLE001 - a full disk, say
                self.error = error
                return
