"""How a run is going, on stderr: a bar that moves in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from rlctl import Progress as RunProgress
from rlctl import Result, RunInfo, hookimpl


class Progress:
    """Shows steps (or episodes, if they are the budget), mean return, speed and the time that is left."""

    def __init__(self, run: RunInfo, interval: float = 10.0) -> None:
        self._by_steps = run.total_timesteps is not None
        self._total = run.total_timesteps or run.total_episodes or 1
        self._interval = interval
        self._next_line = time.monotonic() + interval
        self._bar = _make_bar(self._total) if sys.stderr.isatty() else None

    @hookimpl
    def rlctl_status_changed(self, progress: RunProgress) -> None:
        done = progress.step if self._by_steps else progress.episodes
        if self._bar is not None:
            bar, task = self._bar
            bar.update(task, completed=min(done, self._total), described=_described(progress))
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + self._interval
            share = f"{done}/{self._total} {'steps' if self._by_steps else 'episodes'} ({done / self._total:.0%})"
            print(f"rlctl: {share}, {_described(progress)}{self._left(done, progress)}", file=sys.stderr, flush=True)

    @hookimpl
    def rlctl_run_ended(self, result: Result) -> None:
        if self._bar is not None:
            bar, task = self._bar
            done = result.step if self._by_steps else result.episodes
            bar.update(task, completed=min(done, self._total))
            bar.stop()

    def _left(self, done: int, progress: RunProgress) -> str:
        if not done:
            return ""
        return f", {max(0.0, (self._total - done) * progress.seconds / done):.0f} s left"


def _described(progress: RunProgress) -> str:
    mean = "-" if progress.return_mean is None else f"{progress.return_mean:.1f}"
    speed = "-" if progress.steps_per_second is None else f"{progress.steps_per_second:,.0f}".replace(",", " ")
    return f"return {mean}, {speed} steps/s"


def _make_bar(total: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[described]}"),
        TimeRemainingColumn(compact=True),
    )
    bar = RichProgress(*columns, console=Console(stderr=True), refresh_per_second=4)
    task = bar.add_task("", total=total, described="starting")
    bar.start()
    return bar, task
