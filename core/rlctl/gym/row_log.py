"""Rows of arrays on disk: one folder an environment, written in chunks while it runs, never kept in memory as a whole.

A chunk `FIRST-END.npz` has the rows from FIRST to before END, compressed, and appears whole or not at all: a kill -9 costs
what has not been written yet, at most `flush_seconds` of an environment that is stepped. A checkpoint has everything
written, and says how many rows there are; a resumed run cuts back to that, so that nothing is there twice or missing.
"""

from __future__ import annotations

import io
import os
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Array = NDArray[Any]

CHUNK_BYTES = 16 << 20
"""The most memory that the rows of one environment take, unless few of them do already."""
_MIN_ROWS = 16
_SAMPLE_BYTES = 8192
_LOOK_EVERY = 64
"""Rows from one look at the clock to the next."""
_STARTS, _SEEDS, _EPISODES = "starts", "seeds", "episodes"
NO_SEED = -1


class RowLog:
    """Writes the rows of one environment. Who fills them sets `columns` once, then asks `start` or `row` for each one.

    `rows` are those that wait to be written; up to `limit`, the next one may be taken by counting `rows` up.
    """

    def __init__(self, folder: Path, chunk_rows: int, flush_seconds: float) -> None:
        self.columns: dict[str, Array] = {}
        self._folder = folder
        self._chunk_rows = chunk_rows
        self._flush_seconds = flush_seconds
        folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        chunks = chunks_of(folder)
        self._base = chunks[-1].end if chunks else 0  # a resumed run says where it goes on; if not, nothing is lost
        self._episode = -1
        self._capacity = self.limit = self.rows = 0
        self._starts: list[tuple[int, int, int]] = []
        self._written_at = time.monotonic()

    def allocate(self, columns: Mapping[str, tuple[Any, tuple[int, ...]]]) -> None:
        """Make room for rows of these columns: name → (dtype, shape of one)."""
        size = sum(np.dtype(kind).itemsize * int(np.prod(shape, dtype=np.int64)) for kind, shape in columns.values())
        self._capacity = max(_MIN_ROWS, min(self._chunk_rows, CHUNK_BYTES // max(1, size)))
        self.columns = {name: np.zeros((self._capacity, *shape), kind) for name, (kind, shape) in columns.items()}
        self.limit = min(self._capacity, _LOOK_EVERY)

    def add_column(self, name: str, kind: Any, shape: tuple[int, ...]) -> None:
        """Make room for one more column; in the rows so far there was nothing of it."""
        self.columns[name] = np.zeros((self._capacity, *shape), kind)

    def row(self) -> int:
        """Return the place of the next row in the columns."""
        if self.rows >= self.limit:
            self._look()
        row = self.rows
        self.rows = row + 1
        return row

    def start(self, seed: int | None, *, goes_on: bool = False) -> int:
        """Return the place of a row with which an episode begins, or goes on after a lost life."""
        if self._starts and self._starts[-1][0] == self.rows - 1:  # reset twice: nothing was done in between
            self._episode = self._starts[-1][2] - 1
            self.drop_row()
        row = self.row()
        self._episode += not goes_on or self._episode < 0
        self._starts.append((row, NO_SEED if seed is None else int(seed), self._episode))
        return row

    def drop_row(self) -> None:
        """Take back the last row: what belongs into it could not be had."""
        self.rows -= 1
        self._starts = [start for start in self._starts if start[0] < self.rows]

    def take_back_start(self) -> None:
        """Forget the episode that was begun last: nothing was done in it."""
        if self._starts and self._starts[-1][0] == self.rows - 1:
            self.drop_row()
        self._episode -= 1

    def skip_episode(self, *, goes_on: bool = False) -> None:
        """Count an episode of which there will be no rows."""
        self._episode += not goes_on or self._episode < 0

    @property
    def episode(self) -> int:
        """The number of the episode that was begun last, counted from 0; -1 before the first."""
        return self._episode

    def state(self) -> dict[str, int]:
        """Write what there is, and return how many rows and episodes that are in all."""
        self.flush()
        return {"rows": self._base, "episode": self._episode}

    def set_state(self, state: Mapping[str, int]) -> None:
        """Go on after so many rows; what was written after them is removed. Raises ValueError where some are missing."""
        rows = int(state["rows"])
        for chunk in chunks_of(self._folder):
            if chunk.first >= rows:
                chunk.path.unlink()
        chunks = chunks_of(self._folder)
        end = chunks[-1].end if chunks else 0
        if end != rows:
            raise ValueError(f"{self._folder} has {end} rows, and {rows} when the checkpoint was saved")
        self._base, self._episode = rows, int(state["episode"])
        self._forget()

    def flush(self) -> None:
        """Write the rows that there are."""
        if self.rows:
            path = self._folder / f"{self._base:012d}-{self._base + self.rows:012d}.npz"
            starts = np.array(self._starts, np.int64).reshape(-1, 3)
            marks = {_STARTS: starts[:, 0], _SEEDS: starts[:, 1], _EPISODES: starts[:, 2]}
            _write_arrays(path, {**{name: column[: self.rows] for name, column in self.columns.items()}, **marks})
            self._base += self.rows
        self._forget()

    def _forget(self) -> None:
        self.rows = 0
        self.limit = min(len(next(iter(self.columns.values()))), _LOOK_EVERY) if self.columns else 0
        self._starts = []
        self._written_at = time.monotonic()

    def _look(self) -> None:
        """Write when there is no more room, or it is time to."""
        if self.rows >= self._capacity or time.monotonic() - self._written_at >= self._flush_seconds:
            self.flush()
        self.limit = min(self._capacity, self.rows + _LOOK_EVERY)

    def _sweep(self) -> None:
        for path in self._folder.glob(".*.partial"):  # of a process that was killed
            path.unlink(missing_ok=True)


def _write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write what `numpy.load` reads; compressed less than numpy's own way does, and only what gets smaller by it."""
    partial = path.with_name(f".{path.name}.partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(f"{name}.npy", data.getbuffer(), _compression(data.getbuffer()))
    os.replace(partial, path)


def _compression(data: memoryview) -> int:
    """Return how to keep data: measured floats, whose digits are as good as random, are not worth the time."""
    sample = data[:_SAMPLE_BYTES]
    return zipfile.ZIP_STORED if len(zlib.compress(sample, 1)) > 0.9 * len(sample) else zipfile.ZIP_DEFLATED


# ---- reading -------------------------------------------------------------------------------------------------------


@frozen(order=True)
class Chunk:
    """A file of rows, from `first` to before `end`."""

    first: int
    end: int
    path: Path


@frozen
class Segment:
    """Rows that follow each other: an episode, or what there is of it. `episode` counts those of one environment from 0.

    After a lost life the same episode goes on in another segment. `seed` is what the reset was given, None if nothing.
    """

    episode: int
    seed: int | None
    columns: Mapping[str, Array]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def chunks_of(folder: Path) -> list[Chunk]:
    """Return the chunks in a folder, in order."""
    found = []
    for path in folder.glob("[0-9]*-[0-9]*.npz"):
        first, _, end = path.stem.partition("-")
        found.append(Chunk(int(first), int(end), path))
    return sorted(found)


def segments_of(folder: Path) -> Iterator[Segment]:
    """Yield the segments of an environment's folder, in order; one chunk is in memory at a time, and what goes on in it."""
    open_parts: list[Segment] = []
    for chunk in chunks_of(folder):
        with np.load(chunk.path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        starts, seeds, episodes = (arrays.pop(name) for name in (_STARTS, _SEEDS, _EPISODES))
        bounds = [*starts.tolist(), chunk.end - chunk.first]
        if open_parts and bounds[0] > 0:
            open_parts.append(_part(arrays, 0, bounds[0], open_parts[0].episode, open_parts[0].seed))
        for place, (seed, episode) in enumerate(zip(seeds.tolist(), episodes.tolist(), strict=True)):
            if open_parts:
                yield _joined(open_parts)
            known = None if seed == NO_SEED else seed
            open_parts = [_part(arrays, bounds[place], bounds[place + 1], episode, known)]
    if open_parts:
        yield _joined(open_parts)


def _part(arrays: Mapping[str, Array], start: int, end: int, episode: int, seed: int | None) -> Segment:
    return Segment(episode, seed, {name: array[start:end] for name, array in arrays.items()})


def _joined(parts: list[Segment]) -> Segment:
    first = parts[0]
    if len(parts) == 1:
        return first
    names = dict.fromkeys(name for part in parts for name in part.columns)
    return Segment(first.episode, first.seed, {name: np.concatenate(_column(parts, name)) for name in names})


def _column(parts: list[Segment], name: str) -> list[Array]:
    """Return a column part by part; zeros where a part was written before there was anything of it."""
    known = next(part.columns[name] for part in parts if name in part.columns)
    empty = [np.zeros((len(part), *known.shape[1:]), known.dtype) for part in parts]
    return [part.columns.get(name, zeros) for part, zeros in zip(parts, empty, strict=True)]
