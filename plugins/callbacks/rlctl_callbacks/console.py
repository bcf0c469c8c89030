"""How a run is going, on stderr: a line for each N training episodes, with what they reached."""

from __future__ import annotations

import statistics
import sys
from typing import Any

from rlctl import Episode, Metrics, Progress, Result, RunInfo, hookimpl
from rlctl.events import episodes_of
from rlctl.runs.files import LineReader

_LOSSES = ("train/loss", "train/policy_loss", "train/value_loss")


class Console:
    """Prints mean ± standard deviation of the returns of `every` episodes, their mean length, losses, and the time left.

    It lives where the user waits, and reads what `jsonl` writes.
    """

    def __init__(self, run: RunInfo, every: int = 10) -> None:
        self._run, self._every = run, every
        self._episodes = LineReader(run.directory / "episodes.jsonl")
        self._metrics = LineReader(run.directory / "metrics.jsonl")
        self._waiting: list[Episode] = []
        self._losses: dict[str, float] = {}
        self._seen = sum(1 for _ in self._episodes.read())  # of a resumed run, those were told before
        for _ in self._metrics.read():
            pass

    @hookimpl
    def rlctl_status_changed(self, progress: Progress) -> None:
        self._tell(progress.seconds)

    @hookimpl
    def rlctl_run_ended(self, result: Result) -> None:
        self._tell(result.seconds)
        if self._waiting:
            self._line(self._waiting, result.seconds)
        if not (self._run.directory / "episodes.jsonl").exists():
            print('rlctl: console: there are no episodes to show, as the callback "jsonl" is off', file=sys.stderr)

    def _tell(self, seconds: float) -> None:
        for line in self._metrics.read():
            self._losses |= _losses_of(line)
        for episode in episodes_of(self._episodes.read()):
            self._waiting.append(episode)
            if len(self._waiting) == self._every:
                self._line(self._waiting, seconds)
                self._waiting = []

    def _line(self, episodes: list[Episode], seconds: float) -> None:
        self._seen += len(episodes)
        returns = [episode.episode_return for episode in episodes]
        length = statistics.fmean(episode.length for episode in episodes)
        mean, step = statistics.fmean(returns), episodes[-1].step
        spread = statistics.fmean((value - mean) ** 2 for value in returns) ** 0.5
        losses = "".join(f", {name.removeprefix('train/')} {value:.4g}" for name, value in self._losses.items())
        print(
            f"rlctl: episode {self._of(self._seen, self._run.total_episodes)}, "
            f"step {self._of(step, self._run.total_timesteps)}: return {mean:.2f} ± {spread:.2f}, "
            f"length {length:.1f}{losses}{self._left(step, seconds)}",
            file=sys.stderr,
            flush=True,
        )

    @staticmethod
    def _of(done: int, total: int | None) -> str:
        return f"{done}/{total}" if total else str(done)

    def _left(self, step: int, seconds: float) -> str:
        by_steps = self._run.total_timesteps is not None
        done, total = (step, self._run.total_timesteps) if by_steps else (self._seen, self._run.total_episodes)
        return f", {max(0.0, (total - done) * seconds / done):.0f} s left" if done and total else ""


def _losses_of(line: dict[str, Any]) -> dict[str, float]:
    try:
        values = Metrics.from_json(line).values
    except (KeyError, TypeError, AttributeError):
        return {}
    return {name: values[name] for name in _LOSSES if name in values}
