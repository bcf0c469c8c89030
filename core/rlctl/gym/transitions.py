"""What callbacks have recorded of each step, episode by episode: transitions, actions, frames. Names of columns, and reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from attrs import frozen
from gymnasium import spaces
from numpy.typing import NDArray

from rlctl.errors import NotAvailableError, RlctlError
from rlctl.gym.row_log import Segment, segments_of

Array = NDArray[Any]

OBSERVATIONS, ACTIONS, REWARDS, ENDS, FRAMES = "observations", "actions", "rewards", "ends", "frames"
INFOS, HAS_INFOS = "infos", "has_infos"
TERMINATED, TRUNCATED = 1, 2
"""Bits of the column `ends`."""

_ARRAYS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
_PLACE = "#"  # before the place in a tuple; `quote` leaves none in the name of a dictionary's entry


@frozen
class EpisodeTransitions:
    """The transitions of one training episode of one environment, or of its part until the run ended.

    `observations` has one more than there are actions, the first is the reset's; of a Dict or Tuple space it is a dictionary or
    tuple of arrays, and so are actions. `rewards`, `terminations` and `truncations` are (length,). `infos` has the entries that
    were asked for, (length + 1, ...), and `has_infos`, (length + 1,), where the environment gave them. `env_index` is the place
    of the environment, `index` counts its episodes from 0; after a lost life the same episode goes on under the same number.
    """

    env_index: int
    index: int
    seed: int | None
    observations: Any
    actions: Any
    rewards: Array
    terminations: Array
    truncations: Array
    infos: Mapping[str, Array]
    has_infos: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def next_observations(self) -> Any:
        """What each step led to, (length, ...)."""
        return _each(self.observations, lambda array: array[1:])

    @property
    def ended(self) -> bool:
        """Whether the episode came to its end while it was recorded."""
        return bool(len(self) and (self.terminations[-1] or self.truncations[-1]))

    @property
    def episode_return(self) -> float:
        """Undiscounted sum of the rewards, added up in their order."""
        return float(sum(self.rewards.tolist()))


@frozen
class EpisodeActions:
    """The actions of one training episode, (length, ...); `index` and `env_index` as of `EpisodeTransitions`."""

    env_index: int
    index: int
    seed: int | None
    actions: Any
    ended: bool


@frozen
class EpisodeFrames:
    """The pictures of one training episode, (length + 1, height, width, 3), the first one of the reset."""

    env_index: int
    index: int
    frames: Array


def load_transitions(run: Any, env_index: int | None = None) -> Iterator[EpisodeTransitions]:
    """Yield the episodes that the callback `transitions` recorded, environment by environment, in the order of time.

    `run` is a run's directory, or a `RunResult`; with `env_index` only that environment's. One episode is in memory at a time.
    Raises NotAvailableError for a run without that callback.
    """
    for place, segment in _segments(run, "transitions", env_index):
        yield transitions_of(place, segment)


def load_actions(run: Any, env_index: int | None = None) -> Iterator[EpisodeActions]:
    """Yield the actions of each episode that the callback `actions` recorded; as `load_transitions`."""
    for place, segment in _segments(run, "actions", env_index):
        actions = _nested(_under(segment.columns, ACTIONS, skip=1))
        yield EpisodeActions(place, segment.episode, segment.seed, actions, bool(segment.columns[ENDS][-1]))


def load_frames(run: Any, env_index: int | None = None) -> Iterator[EpisodeFrames]:
    """Yield the pictures of each episode that the callback `frames` recorded; as `load_transitions`."""
    for place, segment in _segments(run, "frames", env_index):
        yield EpisodeFrames(place, segment.episode, segment.columns[FRAMES])


def folder_of(directory: Path, what: str, env_index: int) -> Path:
    """Return where the callback `what` keeps what it recorded of an environment."""
    return directory / what / f"env-{env_index:05d}"


def _segments(run: Any, what: str, env_index: int | None) -> Iterator[tuple[int, Segment]]:
    directory = Path(getattr(run, "directory", run))
    root = directory / what
    if not root.is_dir():
        hint = f"Train with the callback: --callback {what}"
        raise NotAvailableError(f"{directory} has no {what}: nothing recorded them.", hint=hint)
    folders = sorted(root.glob("env-[0-9]*")) if env_index is None else [folder_of(directory, what, env_index)]
    for folder in folders:
        for segment in segments_of(folder):
            yield int(folder.name.partition("-")[2]), segment


def transitions_of(env_index: int, segment: Segment) -> EpisodeTransitions:
    """Return a segment of rows as transitions: the first row is what a reset gave, each other one what a step led to."""
    columns = segment.columns
    ends = columns[ENDS][1:]
    return EpisodeTransitions(
        env_index=env_index,
        index=segment.episode,
        seed=segment.seed,
        observations=_nested(_under(columns, OBSERVATIONS)),
        actions=_nested(_under(columns, ACTIONS, skip=1)),
        rewards=columns[REWARDS][1:],
        terminations=(ends & TERMINATED).astype(bool),
        truncations=(ends & TRUNCATED).astype(bool),
        infos={unquote(name[1:]): array for name, array in _under(columns, INFOS).items()},
        has_infos={unquote(name[1:]): array for name, array in _under(columns, HAS_INFOS).items()},
    )


# ---- columns of a space ----------------------------------------------------------------------------------------------


def leaf_spaces(space: spaces.Space[Any], name: str) -> Iterator[tuple[str, spaces.Space[Any]]]:
    """Yield (name of the column, space) of each array that a value of `space` is made of.

    Raises RlctlError for a space whose values are no arrays of one shape.
    """
    if isinstance(space, spaces.Dict):
        for key, inner in space.spaces.items():
            yield from leaf_spaces(inner, f"{name}/{quote(str(key), safe='')}")
    elif isinstance(space, spaces.Tuple):
        for place, inner in enumerate(space.spaces):
            yield from leaf_spaces(inner, f"{name}/{_PLACE}{place}")
    elif isinstance(space, _ARRAYS):
        yield name, space
    else:
        raise RlctlError(f"{name} of {space} cannot be recorded: their values are no arrays of one shape.")


def leaf_values(space: spaces.Space[Any], value: Any) -> Iterator[Any]:
    """Yield the arrays of a value, in the order of `leaf_spaces`."""
    if isinstance(space, spaces.Dict):
        for key, inner in space.spaces.items():
            yield from leaf_values(inner, value[key])
    elif isinstance(space, spaces.Tuple):
        for place, inner in enumerate(space.spaces):
            yield from leaf_values(inner, value[place])
    else:
        yield value


def _under(columns: Mapping[str, Array], name: str, skip: int = 0) -> dict[str, Array]:
    """Return the columns of that name and below it, by the rest of their names."""
    return {
        column[len(name) :]: array[skip:]
        for column, array in columns.items()
        if column == name or column.startswith(f"{name}/")
    }


def _nested(columns: Mapping[str, Array]) -> Any:
    """Return columns such as `/position` and `/#0` as dictionaries and tuples; the one without a name as it is."""
    if set(columns) == {""}:
        return columns[""]
    groups: dict[str, dict[str, Array]] = {}
    for name, array in columns.items():
        head, separator, rest = name[1:].partition("/")
        groups.setdefault(head, {})[separator + rest] = array
    inner = {head: _nested(group) for head, group in groups.items()}
    if all(head.startswith(_PLACE) for head in inner):
        return tuple(inner[head] for head in sorted(inner, key=lambda head: int(head[1:])))
    return {unquote(head): value for head, value in inner.items()}


def _each(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {key: _each(inner, change) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(_each(inner, change) for inner in value)
    return change(value)


def as_list(value: Any) -> Any:
    """Return arrays, and dictionaries and tuples of them, as lists of numbers."""
    return _each(value, np.ndarray.tolist)
