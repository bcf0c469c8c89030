"""The process that plays and films: `python -m rlctl.gym.play_process DIRECTORY`, see `rlctl.gym.lending`."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium

from rlctl.errors import NotAvailableError
from rlctl.evaluations import WITHOUT_A_WINDOW, PlayRequest
from rlctl.gym.environments import make_env
from rlctl.gym.evaluation import measure
from rlctl.gym.lending import answer, lend, tell
from rlctl.gym.random_policy import RandomPolicy
from rlctl.gym.watching import Recorder, Tell, TextView, View, Viewer, Window
from rlctl.runs.directory import RunDirectory
from rlctl.worker.protocol import Policy, Resumable

_OF_WINDOWS = ("pygame", "glfw", "pyglet")
"""Modules whose errors are those of a display."""


def play(directory: RunDirectory, asked: dict[str, Any]) -> dict[str, Any]:
    """Play the episodes, telling of frames and ends; returns what there is to say of the film.

    Without a `path` there is no policy, only an environment in which to act by chance.
    """
    request = PlayRequest.from_json(asked["play"])
    telling = functools.partial(tell, directory)
    found: dict[str, Any] = {}

    def use(state: Resumable) -> None:
        with state.policy(request.episodes.seeds[0]) as policy:
            found.update(perform(RandomPolicy(policy.make_env) if request.random else policy, request, telling))

    if asked["path"] is None:
        return perform(RandomPolicy(make_env), request, telling)
    lend(directory, asked, use)
    return found


def perform(policy: Policy, request: PlayRequest, tell: Tell) -> dict[str, Any]:
    """Let the policy act in one environment, for what the request asks for to see."""
    left = None if request.steps is None else iter(range(request.steps))
    go_on = (lambda: True) if left is None else (lambda: next(left, None) is not None)
    recorders: list[Recorder] = []

    def viewer(env: gymnasium.Env[Any, Any]) -> Viewer:
        if request.film is None:
            return Window(env, tell) if request.render == "human" else TextView(env, tell, request)
        recorders.append(Recorder(env, tell, Path(request.film), request.speed))
        return recorders[0]

    try:
        with _errors_of_displays(request):
            measure(policy, request.episodes, go_on, View(request.render, viewer))
    except BaseException:
        for recorder in recorders:
            recorder.film.abandon()
        raise
    for recorder in recorders:
        recorder.film.end(Path(str(request.film)))
    return {"frames": recorders[0].film.frames, "speed": recorders[0].film.speed} if recorders else {}


@contextlib.contextmanager
def _errors_of_displays(request: PlayRequest) -> Iterator[None]:
    """Say what else there is when a library has nowhere to draw."""
    try:
        yield
    except Exception as error:
        library = type(error).__module__.partition(".")[0]
        if request.render == "human" and library in (*_OF_WINDOWS, "mujoco"):
            raise NotAvailableError(f"no window can be opened: {error}.", hint=WITHOUT_A_WINDOW) from error
        if library == "mujoco":
            hint = "Without a display, MUJOCO_GL=egl or MUJOCO_GL=osmesa in the environment lets MuJoCo draw."
            raise NotAvailableError(f"MuJoCo cannot draw pictures: {error}.", hint=hint) from error
        raise


if __name__ == "__main__":
    sys.exit(answer(sys.argv, play))
