"""SB3's `monitor.csv`: a row for each episode of an environment, as `load_results` and the zoo's plots read it."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path


class MonitorFiles:
    """One file for each environment: `monitor.csv`, of several `0.monitor.csv` and so on.

    SB3's own Monitor begins its file anew in each process, and cannot go back to where a checkpoint was. A file is opened
    for its first row, so that who only looks at a policy leaves none. A row is one write to the system.
    """

    def __init__(self, folder: Path, num_envs: int, env_id: str) -> None:
        names = ["monitor.csv"] if num_envs == 1 else [f"{index}.monitor.csv" for index in range(num_envs)]
        self._paths = [folder / name for name in names]
        self._files: dict[int, io.FileIO] = {}
        self._env_id = env_id

    def add(self, env_index: int, episode_return: float, length: int, seconds: float) -> None:
        """Write the row of an episode that ended so many seconds after the run began."""
        file = self._files.get(env_index)
        if file is None:
            file = self._files[env_index] = self._paths[env_index].open("ab", buffering=0)
            if file.tell() == 0:
                file.write(self._head(seconds).encode())
        file.write(f"{round(episode_return, 6)},{length},{round(seconds, 6)}\n".encode())

    def _head(self, seconds: float) -> str:
        return f"#{json.dumps({'t_start': time.time() - seconds, 'env_id': self._env_id})}\nr,l,t\n"

    def sizes(self) -> list[int]:
        """Return how many bytes each file has now; 0 for one that is not there."""
        return [path.stat().st_size if path.exists() else 0 for path in self._paths]

    def cut(self, sizes: list[int]) -> None:
        """Leave out what was written after the files had these sizes."""
        for path, size in zip(self._paths, sizes, strict=True):
            if path.exists() and path.stat().st_size > size:
                os.truncate(path, size)
