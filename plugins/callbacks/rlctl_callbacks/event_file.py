"""An event file for TensorBoard, written in blocks.

The writer of the `tensorboard` package wakes a thread for each event and computes its checksum byte by byte in Python: a
tenth of the time of a fast DQN.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from google_crc32c import value as crc32c
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from rlctl_callbacks.writing import WriterThread

_FILES = itertools.count()

Handed = tuple[float, int, Mapping[str, float]]
"""Time in seconds since 1970, step, and scalars."""


class EventFile:
    """A new event file in `folder`; what is added is on disk after `flush_seconds` at the latest."""

    def __init__(self, folder: Path, flush_seconds: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_FILES)}"
        self._file = (folder / f"events.out.tfevents.{name}").open("ab", buffering=0)
        self._waiting: deque[Handed | Any] = deque([Event(wall_time=time.time(), file_version="brain.Event:2")])
        self._thread = WriterThread("tensorboard", self._write, flush_seconds)
        self.flush()

    def add_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Take scalars of a step; raises OSError where earlier ones could not be written."""
        self._thread.check()
        self._waiting.append((time.time(), step, values))

    def add(self, event: Any) -> None:
        """Take an `Event`; raises OSError where earlier ones could not be written."""
        self._thread.check()
        self._waiting.append(event)

    def flush(self) -> None:
        """Write what is waiting."""
        self._thread.write_now()

    def close(self) -> None:
        """Write what is waiting, and close the file."""
        self._thread.end()
        self._file.close()

    def _write(self) -> None:
        handed = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if handed:
            self._file.write(as_records([_serialized(item) for item in handed]))


def as_records(data: Sequence[bytes]) -> bytes:
    """Return data as records of a TFRecord file: length, its checksum, data, their checksum."""
    return b"".join(_head(len(item)) + item + _checksum(item) for item in data)


def _serialized(handed: Handed | Any) -> bytes:
    if isinstance(handed, tuple):
        wall_time, step, values = handed
        handed = _scalars_of(tuple(values))
        handed.wall_time, handed.step = wall_time, step
        for slot, value in zip(handed.summary.value, values.values(), strict=True):
            slot.simple_value = value
    serialized: bytes = handed.SerializeToString()
    return serialized


@cache
def _scalars_of(tags: tuple[str, ...]) -> Any:
    """Return an event with scalars of these names, to be filled in: to make one takes longer than all the rest."""
    return Event(summary=Summary(value=[Summary.Value(tag=tag) for tag in tags]))


@cache
def _head(length: int) -> bytes:
    """Return what a record of that many bytes begins with."""
    packed = struct.pack("<Q", length)
    return packed + _checksum(packed)


def _checksum(data: bytes) -> bytes:
    """Return the CRC-32C of data, masked as TFRecord has it."""
    value = crc32c(data)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)
