"""`transitions`, `actions` and `frames`: what happens at each step of each training environment, as arrays on the disk.

Each environment's observer writes its own files, in the process in which the environment lives; see `rlctl.gym.row_log`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np

from rlctl import Result, RlctlError, RunInfo, hookimpl
from rlctl.gym.observing import Observable
from rlctl.gym.row_log import RowLog
from rlctl.gym.transitions import (
    ACTIONS,
    ENDS,
    FRAMES,
    HAS_INFOS,
    INFOS,
    OBSERVATIONS,
    REWARDS,
    TERMINATED,
    TRUNCATED,
    folder_of,
    leaf_spaces,
    leaf_values,
)

_open: list[tuple[Path, RowLog]] = []
"""The logs of this process, so that what they hold is written also where nobody closes the environments."""


class Records:
    """The part of these callbacks that lives beside the training: it sees to it that everything is written at the end."""

    def __init__(self, run: RunInfo, **options: Any) -> None:
        self._directory = run.directory

    @hookimpl
    def rlctl_training_ended(self, result: Result) -> None:
        for directory, log in _open:
            if directory == self._directory:
                log.flush()


class _Recorder:
    """What the observers of one environment have in common."""

    name: ClassVar[str]

    def __init__(self, run: RunInfo, index: int, chunk_steps: int, flush_seconds: float) -> None:
        self._log = RowLog(folder_of(run.directory, self.name, index), chunk_steps, flush_seconds)
        _open.append((run.directory, self._log))

    def state(self) -> dict[str, int]:
        return self._log.state()

    def set_state(self, state: Mapping[str, int]) -> None:
        self._log.set_state(state)

    def close(self) -> None:
        self._log.flush()


class Transitions(_Recorder):
    """Observations, actions, rewards, ends, and the infos that were asked for, of one environment."""

    name = "transitions"
    sees_observations = True

    def __init__(
        self,
        run: RunInfo,
        index: int,
        env: Observable,
        chunk_steps: int,
        flush_seconds: float,
        infos: Sequence[str] = (),
    ) -> None:
        super().__init__(run, index, chunk_steps, flush_seconds)
        self._spaces = {ACTIONS: env.action_space}
        if self.sees_observations:
            self._spaces[OBSERVATIONS] = env.observation_space
        self._leaves = {name: dict(leaf_spaces(space, name)) for name, space in self._spaces.items()}
        self._infos = tuple(infos)
        self._is_checked = False

    def begin(self, observation: Any, info: Mapping[str, Any], seed: int | None, *, goes_on: bool) -> None:
        """Write down what a reset has given."""
        if not self._log.columns:
            self._allocate()
        row = self._log.start(seed, goes_on=goes_on)
        try:
            self._ends[row] = 0
            if self.sees_observations:
                self._rewards[row] = 0.0
                column = self._observation_column
                if column is not None and getattr(observation, "dtype", None) == column.dtype:
                    column[row] = observation
                else:
                    self._widen(OBSERVATIONS, observation)
                    self._put(OBSERVATIONS, row, observation)
            if self._infos:
                self._put_infos(row, info)
        except BaseException:
            self._log.drop_row()
            raise

    def step(
        self, action: Any, observation: Any, reward: Any, terminated: bool, truncated: bool, info: Mapping[str, Any]
    ) -> None:
        """Write down a step."""
        log = self._log
        row = log.rows
        if row < log.limit:
            log.rows = row + 1  # what `row` does, without the call: this is the hot path
        else:
            row = log.row()
        try:
            if self._action_column is not None and self._is_checked:
                self._action_column[row] = action
            else:
                self._widen(ACTIONS, action)
                self._put(ACTIONS, row, action)
                self._is_checked = True
            self._ends[row] = (TERMINATED if terminated else 0) | (TRUNCATED if truncated else 0)
            if self.sees_observations:
                self._rewards[row] = reward
                if self._observation_column is not None:
                    self._observation_column[row] = observation
                else:
                    self._put(OBSERVATIONS, row, observation)
                if self._infos:
                    self._put_infos(row, info)
        except BaseException:
            self._log.drop_row()
            raise

    def _allocate(self) -> None:
        columns: dict[str, Any] = {ENDS: (np.uint8, ())}
        if self.sees_observations:
            columns[REWARDS] = (np.float64, ())
        for leaves in self._leaves.values():
            columns |= {name: (space.dtype, space.shape) for name, space in leaves.items()}
        self._log.allocate(columns)
        self._bind()

    def _bind(self) -> None:
        """Keep at hand what each step needs: columns, and None where a value is of several."""
        columns = self._log.columns
        self._ends, self._rewards = columns[ENDS], columns.get(REWARDS, columns[ENDS])
        self._action_column = columns.get(ACTIONS)
        self._observation_column = columns.get(OBSERVATIONS)

    def _widen(self, what: str, value: Any) -> None:
        """Give a column the dtype of what is really there, where that has more bits than the space says."""
        columns = self._log.columns
        for name, leaf in zip(self._leaves[what], leaf_values(self._spaces[what], value), strict=True):
            kind = np.result_type(columns[name].dtype, np.asarray(leaf).dtype)
            if kind != columns[name].dtype:
                columns[name] = columns[name].astype(kind)
                self._bind()

    def _put(self, what: str, row: int, value: Any) -> None:
        columns = self._log.columns
        for name, leaf in zip(self._leaves[what], leaf_values(self._spaces[what], value), strict=True):
            columns[name][row] = leaf

    def _put_infos(self, row: int, info: Mapping[str, Any]) -> None:
        columns = self._log.columns
        for key in self._infos:
            name, has = f"{INFOS}/{quote(key, safe='')}", f"{HAS_INFOS}/{quote(key, safe='')}"
            value = info.get(key)
            if name not in columns:
                if value is None:
                    continue
                self._add_info(key, name, has, value)
            columns[has][row] = value is not None
            columns[name][row] = 0 if value is None else value

    def _add_info(self, key: str, name: str, has: str, value: Any) -> None:
        """Make columns for an entry that is seen for the first time."""
        array = np.asarray(value)
        if array.dtype.kind not in "biufc":
            raise RlctlError(f'info["{key}"] cannot be recorded: it is {value!r}, and not made of numbers.')
        self._log.add_column(name, array.dtype, array.shape)
        self._log.add_column(has, np.bool_, ())


class Actions(Transitions):
    """The actions alone."""

    name = "actions"
    sees_observations = False


class Frames(_Recorder):
    """What the environment shows after each reset and step, of every so many episodes."""

    name = "frames"

    def __init__(
        self, run: RunInfo, index: int, env: Observable, chunk_steps: int, flush_seconds: float, every_episodes: int
    ) -> None:
        if env.render is None:
            raise RlctlError(
                "frames need environments that are stepped one by one and made with render_mode=rgb_array.",
                hint="--set env.kwargs.render_mode=rgb_array",
            )
        super().__init__(run, index, chunk_steps, flush_seconds)
        self._render = env.render
        self._every = every_episodes
        self._is_shown = self._is_fresh = False

    def begin(self, observation: Any, info: Mapping[str, Any], seed: int | None, *, goes_on: bool) -> None:
        """Write down the first picture of an episode, if it is one to be shown."""
        if self._is_fresh and not goes_on:
            self._log.take_back_start()
        self._is_fresh = True
        if not goes_on:
            self._is_shown = (self._log.episode + 1) % self._every == 0
        if self._is_shown:
            picture = np.asarray(self._render())
            if not self._log.columns:
                self._log.allocate({FRAMES: (picture.dtype, picture.shape)})
            row = self._log.start(seed, goes_on=goes_on)
            self._put(row, picture)
        else:
            self._log.skip_episode(goes_on=goes_on)

    def step(
        self, action: Any, observation: Any, reward: Any, terminated: bool, truncated: bool, info: Mapping[str, Any]
    ) -> None:
        """Write down what is to be seen now."""
        self._is_fresh = False
        if self._is_shown:
            self._put(self._log.row(), np.asarray(self._render()))

    def _put(self, row: int, picture: Any) -> None:
        try:
            self._log.columns[FRAMES][row] = picture
        except BaseException:
            self._log.drop_row()
            raise

    def set_state(self, state: Mapping[str, int]) -> None:
        super().set_state(state)
        self._is_fresh = False
        self._is_shown = self._log.episode >= 0 and self._log.episode % self._every == 0
