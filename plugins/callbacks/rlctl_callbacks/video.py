"""`video`: films of the policy while it trains, in an environment of its own. The training cannot tell that it was filmed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import gymnasium

from rlctl import Policy, Progress, RunInfo, hookimpl
from rlctl.evaluations import EvaluationRequest, evaluation_seeds
from rlctl.gym.evaluation import measure
from rlctl.gym.watching import Recorder, View, Viewer
from rlctl.runs.directory import RunDirectory
from rlctl.worker.eventlog import append_event


class Video:
    """Writes `videos/training-step-STEP.mp4`, or `.gif`, each time that so many steps were taken or episodes have ended.

    `episodes` are filmed one after the other, of at most `max_steps` steps together, always with the same seeds, so that the
    films can be compared. `height` in pixels; the width follows. `fps`: by default as fast as the environment is.
    """

    def __init__(
        self,
        run: RunInfo,
        every_steps: int | None,
        every_episodes: int | None,
        episodes: int,
        max_steps: int | None,
        height: int | None,
        fps: float | None,
        format: str,  # noqa: A002 - what the option is called
        stochastic: bool,
    ) -> None:
        self._run = run
        self._every = (every_steps, every_episodes)
        self._max_steps = max_steps
        self._look: dict[str, Any] = {"speed": fps, "height": height}
        self._suffix = format
        env = dict(run.config["env"])
        seeds = evaluation_seeds(run.seed, episodes, purpose="video", num_envs=env["num_envs"])
        self._request = EvaluationRequest(env=env, seeds=seeds, num_envs=1, greedy=not stochastic)
        self._last: tuple[int, int] | None = None

    @hookimpl
    def rlctl_safe_point(
        self,
        progress: Progress,
        lend: Callable[[int], AbstractContextManager[Policy]],
        go_on: Callable[[], bool],
    ) -> None:
        now = (progress.step, progress.episodes)
        # A resumed run begins at a checkpoint, and what was due there has been filmed by then.
        last, self._last = self._last or (now if progress.step else (0, 0)), now
        due = (
            every is not None and new // every > old // every
            for every, old, new in zip(self._every, last, now, strict=True)
        )
        if any(due):
            with lend(self._request.seeds[0]) as policy:
                self._film(policy, progress.step, go_on)

    def _film(self, policy: Policy, step: int, go_on: Callable[[], bool]) -> None:
        """Film the episodes; nothing is left of a film that somebody ended who waits for the run to stop."""
        path = self._run.directory / "videos" / f"training-step-{step:012d}.{self._suffix}"
        recorders: list[Recorder] = []
        is_stopped = False
        left = iter(range(self._max_steps)) if self._max_steps is not None else None

        def on() -> bool:
            nonlocal is_stopped
            is_stopped = not go_on()
            return not is_stopped and (left is None or next(left, None) is not None)

        def viewer(env: gymnasium.Env[Any, Any]) -> Viewer:
            recorders.append(Recorder(env, lambda _: None, path, **self._look))
            return recorders[0]

        try:
            measure(policy, self._request, on, View("rgb_array", viewer))
        except BaseException:
            for recorder in recorders:
                recorder.film.abandon()
            raise
        for recorder in recorders:
            if is_stopped:
                recorder.film.abandon()
            else:
                recorder.film.end(path)
                name = str(path.relative_to(self._run.directory))
                append_event(RunDirectory(self._run.directory).events, "video_saved", step=step, file=name)
