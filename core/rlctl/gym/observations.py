"""Observations to hold an exported policy to: drawn from the space, and met in episodes that the policy itself plays."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rlctl.errors import NotAvailableError
from rlctl.evaluations import evaluation_seeds
from rlctl.exports import Network, Observed
from rlctl.gym.evaluation import stacked

DRAWN, PLAYED = 256, 256
"""How many observations of either kind."""

_ENDLESS = 1e6
"""From there on a bound is none: nobody meets what would be drawn between such."""
_NEAR = 10.0


def gather(network: Network, env: Mapping[str, Any], seed: int) -> Observed:
    """Return DRAWN observations of the environment's space, then PLAYED of greedy episodes, the same for the same seed.

    Raises NotAvailableError for observations that are no array and no dictionary of arrays.
    """
    made = network.make_env(env)
    try:
        space = made.observation_space
        _require_arrays(space)
        played, allowed = _play(network, made, seed)
        observations = [*_draw(space, seed), *played]
        masks = None if network.mask is None else np.concatenate([_some(len(allowed[0]), seed), np.stack(allowed)])
        return Observed(_batch(observations, space), masks)
    finally:
        made.close()


def _require_arrays(space: spaces.Space[Any]) -> None:
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    for part in parts:
        if not isinstance(part, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
            raise NotAvailableError(f"observations of {space} are neither an array nor a dictionary of arrays.")


def _draw(space: spaces.Space[Any], seed: int) -> list[Any]:
    own = copy.deepcopy(space)  # the environment may draw from its own
    own.seed(seed)
    return [_near(own.sample(), own) for _ in range(DRAWN)]


def _near(observation: Any, space: spaces.Space[Any]) -> Any:
    """Return an observation whose numbers are near 0 where its space has no bounds worth the name."""
    if isinstance(space, spaces.Dict):
        return {name: _near(observation[name], part) for name, part in space.spaces.items()}
    if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        return observation
    endless = (space.low < -_ENDLESS) | (space.high > _ENDLESS)
    near = np.clip(observation, np.maximum(space.low, -_NEAR), np.minimum(space.high, _NEAR))
    return np.where(endless, near, observation)


def _play(network: Network, env: gymnasium.Env[Any, Any], seed: int) -> tuple[list[Any], list[Any]]:
    """Return the observations of the first episodes, and what was allowed at each."""
    seeds = iter(evaluation_seeds(seed, PLAYED, purpose="export"))
    met: list[Any] = []
    allowed: list[Any] = []
    ended = True
    while len(met) < PLAYED:
        if ended:
            observation, _ = env.reset(seed=next(seeds))
        one = _batch([observation], env.observation_space)
        met.append(observation)
        if network.mask is None:
            (action,) = network.act(one)
        else:
            allowed.append(np.asarray(network.mask(env), bool))
            (action,) = network.act(one, allowed[-1][None])
        observation, _, terminated, truncated, _ = env.step(action)
        ended = terminated or truncated
    return met, allowed


def _some(num_actions: int, seed: int) -> Any:
    """Return masks by chance, of which none forbids all."""
    generator = np.random.default_rng(seed)
    masks = generator.random((DRAWN, num_actions)) < 0.5
    masks[np.arange(DRAWN), generator.integers(num_actions, size=DRAWN)] = True
    return masks


def _batch(observations: list[Any], space: spaces.Space[Any]) -> Any:
    """Return a batch in the dtype of the space, of a dictionary for each of its keys."""
    batch = stacked(observations, space)
    return dict(batch) if isinstance(space, spaces.Dict) else batch.astype(space.dtype, copy=False)
