"""What the network sees of an environment: arrays as they are, anything else flattened; and which actions are allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from attrs import frozen
from gymnasium import spaces
from gymnasium.wrappers import FlattenObservation, FrameStackObservation
from numpy.typing import NDArray

from rlctl import RlctlError
from rlctl.gym.env_state import links
from rlctl.gym.environments import make_env
from rlctl.gym.observing import observed
from rlctl.worker.observing import EnvObserver

ACTION_MASK = "action_mask"
"""Key of `info` under which an environment says which actions are allowed: gymnasium's own name for it."""


@frozen
class Layout:
    """Shape and dtype of the observations of one environment, as they are stored.

    `frames` is how many frames they are a stack of, along their first axis; None if they are none.
    """

    shape: tuple[int, ...]
    dtype: str
    frames: int | None = None


def make_observed(
    env: Mapping[str, Any], observers: Sequence[EnvObserver] = (), index: int = 0, **kwargs: Any
) -> gymnasium.Env[Any, Any]:
    """Return the environment with observations that are one array: spaces other than a Box are flattened.

    A Discrete becomes one-hot; Dict and Tuple are laid end to end. Raises RlctlError for a space that has no fixed size.
    `observers` see what is not flattened yet.
    """
    made = observed(make_env(env, **kwargs), observers, index)
    space = made.observation_space
    if isinstance(space, spaces.Box) and space.shape:
        return made
    if not space.is_np_flattenable:
        made.close()
        raise RlctlError(f"{env['id']}: observations {space} cannot be made one array.")
    return FlattenObservation(made)


def frames_of(env: gymnasium.Env[Any, Any]) -> int | None:
    """Return how many frames, of bytes, observations are a stack of; None if no FrameStackObservation says that they are."""
    space = env.observation_space
    if space.dtype != np.uint8 or space.shape is None or len(space.shape) < 3:
        return None
    # One around it may have laid them side by side, or the other way round.
    stacks = (link for link in links(env) if isinstance(link, FrameStackObservation))
    return next((link.stack_size for link in stacks if link.observation_space.shape == space.shape), None)


def layout_of(space: spaces.Space[Any], frames: int | None = None) -> Layout:
    """Return how observations of a `make_observed` environment are stored: images in bytes, the rest as float32.

    `frames` is what `frames_of` says of it.
    """
    assert space.shape is not None
    keeps_bytes = space.dtype == np.uint8 and len(space.shape) > 1
    return Layout(tuple(space.shape), "uint8" if keeps_bytes else "float32", frames)


def mask_of(info: Mapping[str, Any], num_actions: int, *, ended: bool = False) -> NDArray[np.bool_] | None:
    """Return the allowed actions, (num_actions,), or None where `info` does not say; raises RlctlError for a senseless one.

    Where the episode has `ended` it may allow nothing, which says nothing.
    """
    said = info.get(ACTION_MASK)
    if said is None:
        return None
    mask = np.asarray(said).astype(bool)
    if ended and not mask.any():
        return None
    if mask.shape != (num_actions,) or not mask.any():
        raise RlctlError(f'info["{ACTION_MASK}"] must allow at least one of {num_actions} actions, got {said!r}')
    return mask


class MaskMemory(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Remembers which actions are allowed now, for who sees the observation but not the `info`."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.mask: NDArray[np.bool_] | None = None
        self._num_actions = int(env.action_space.n)  # type: ignore[attr-defined]

    def reset(self, **kwargs: Any) -> Any:
        observation, info = self.env.reset(**kwargs)
        self.mask = mask_of(info, self._num_actions)
        return observation, info

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self.mask = mask_of(result[4], self._num_actions, ended=result[2] or result[3])
        return result


def stacked_masks(masks: list[NDArray[np.bool_] | None], num_actions: int) -> NDArray[np.bool_] | None:
    """Return masks as one array, (len(masks), num_actions); None if nothing is forbidden by any."""
    if all(mask is None for mask in masks):
        return None
    return np.stack([np.ones(num_actions, bool) if mask is None else mask for mask in masks])
