"""Records of a training that was not rlctl's: monitor.csv as episodes, evaluations.npz as evaluations."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from rlctl.errors import ConfigError, Problem, RlctlError
from rlctl.evaluations import EvaluatedEpisode, Evaluation
from rlctl.events import Episode

_LAST = 100
"""So many episodes make a training's mean return."""


@frozen
class Monitors:
    """What all monitor files of a training say together."""

    episodes: tuple[Episode, ...]
    env_id: str | None
    num_envs: int


def read_monitors(paths: Iterable[Path]) -> Monitors:
    """Return the episodes of all workers in the order of time.

    SB3 steps its environments together: when an episode of a worker ends, all of them have taken as many steps as that one.
    Raises ConfigError with every line that is none; a last line without its end was torn by a kill and is passed over.
    """
    files = sorted(paths, key=_worker)
    rows: list[tuple[float, int, int, float, int]] = []
    names: set[str] = set()
    began: list[float] = []
    problems: list[Problem] = []
    for index, path in enumerate(files):
        lines = _lines(path)
        header = _header(lines[0] if lines else "")
        if header.get("env_id") not in (None, "None"):
            names.add(str(header["env_id"]))
        began.append(float(header.get("t_start") or 0.0))
        rows += _rows(path, lines, index, began[-1], problems)
    if problems:
        raise ConfigError(problems)
    if len(names) > 1:
        listed = ", ".join(sorted(names))
        raise ConfigError([Problem(str(files[0].parent), f"its monitor files are of several environments: {listed}")])
    episodes, last = [], 0
    for number, (time, index, steps, episode_return, length) in enumerate(sorted(rows)):
        last = max(last, steps * len(files))
        seconds = time - min(began)
        episodes.append(
            Episode(
                index=number, step=last, episode_return=episode_return, length=length, env_index=index, seconds=seconds
            )
        )
    return Monitors(tuple(episodes), next(iter(names), None), len(files))


def _worker(path: Path) -> tuple[int, str]:
    """Sort by the worker's number: `10.monitor.csv` after `2.monitor.csv`."""
    found = re.match(r"(\d+)\.", path.name)
    return (int(found.group(1)) if found else 0, path.name)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RlctlError(f"cannot read {path}: {error}") from error
    lines = text.splitlines()
    return lines if text.endswith("\n") else lines[:-1]


def _header(line: str) -> dict[str, Any]:
    """Return what the first line says: `#{"t_start": 1614776293.49, "env_id": "CartPole-v1"}`."""
    try:
        data = json.loads(line.removeprefix("#")) if line.startswith("#") else {}
        float(data.get("t_start") or 0.0)
    except (ValueError, AttributeError, TypeError):
        return {}
    return dict(data)


def _rows(
    path: Path, lines: list[str], index: int, t_start: float, problems: list[Problem]
) -> list[tuple[float, int, int, float, int]]:
    """Return (time, worker, the worker's steps until then, return, length) for each line of one file."""
    first = next((number for number, line in enumerate(lines) if not line.startswith("#")), None)
    if first is None:
        return []
    columns = next(csv.reader([lines[first]]), [])
    if missing := sorted({"r", "l", "t"} - set(columns)):
        problems.append(Problem(f"{path}:{first + 1}", f"is no monitor file of SB3: no column {', '.join(missing)}"))
        return []
    rows, steps, time = [], 0, t_start
    for number, line in enumerate(lines[first + 1 :], first + 2):
        values = dict(zip(columns, next(csv.reader([line]), []), strict=False))
        try:
            episode_return, length = float(values["r"]), int(float(values["l"]))
            time = max(time, t_start + float(values["t"]))
        except (KeyError, ValueError, OverflowError):
            problems.append(Problem(f"{path}:{number}", f"is no episode: {line[:80]!r}"))
            continue
        steps += length
        rows.append((time, index, steps, episode_return, length))
    return rows


def read_evaluations(path: Path, episodes: tuple[Episode, ...]) -> list[Evaluation]:
    """Return the evaluations of SB3's EvalCallback; raises RlctlError for a file that is none of its."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            steps, returns, lengths = (arrays[name].tolist() for name in ("timesteps", "results", "ep_lengths"))
        rows = list(zip(map(int, steps), returns, lengths, strict=True))
        found = [_evaluation(step, one, many, episodes) for step, one, many in rows]
    except Exception as error:  # whatever numpy raises for a file that is no archive of plain arrays
        raise RlctlError(
            f"{path} has no evaluations of SB3 that can be read: {type(error).__name__}: {error}"
        ) from error
    best = -math.inf
    marked = []
    for evaluation in found:
        is_best = evaluation.return_mean > best
        best = max(best, evaluation.return_mean) if is_best else best
        marked.append(attrs.evolve(evaluation, best=is_best))
    return marked


def _evaluation(step: int, returns: list[float], lengths: list[int], episodes: tuple[Episode, ...]) -> Evaluation:
    before = [episode for episode in episodes if episode.step <= step]
    pairs = zip(map(float, returns), map(int, lengths), strict=True)
    return Evaluation(
        step=step,
        episodes=len(before),
        checkpoint=None,
        measured=tuple(
            EvaluatedEpisode(seed=None, episode_return=episode_return, length=length, terminated=None)
            for episode_return, length in pairs
        ),
        training_return_mean=last_mean(before),
        seconds=before[-1].seconds if before else 0.0,
    )


def last_mean(episodes: Iterable[Episode]) -> float | None:
    """Return the mean return of the last hundred episodes; None without one."""
    returns = [episode.episode_return for episode in episodes][-_LAST:]
    return sum(returns) / len(returns) if returns else None
