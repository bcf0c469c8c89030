"""Puts the wrappers around an environment by which a script's network can take its observations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import DtypeObservation, FlattenObservation

from rlctl import RlctlError
from rlctl.descriptors import resolve
from rlctl.gym.facts import described
from rlctl_cleanrl.observations import Change, Needs, UnfitError, change_for

Env = gymnasium.Env[Any, Any]


def fitted(made: Env, needs: Needs, tell: Callable[[Change], None]) -> Env:
    """Return an environment whose observations are what is needed; `tell` is told of a change.

    Raises RlctlError where nothing helps; the host says so before the start, if it could look at the environment.
    """
    try:
        change = change_for(described(made.observation_space), needs)
    except UnfitError as error:
        made.close()
        raise RlctlError(f"the network cannot take the observations: {error}.") from error
    if change.steps:
        tell(change)
    for step in change.steps:
        made = _WRAPPERS[step](made)
    return made


def _image_alone(env: Env) -> Env:
    wrapped: Env = resolve("minigrid.wrappers:ImgObsWrapper")(env)
    return wrapped


def _as_float32(env: Env) -> Env:
    return DtypeObservation(env, np.float32)


_WRAPPERS: dict[str, Callable[[Env], Env]] = {
    "image": _image_alone,
    "flatten": FlattenObservation,
    "float32": _as_float32,
}
