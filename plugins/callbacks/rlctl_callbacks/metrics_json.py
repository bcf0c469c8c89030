"""`rlctl export --format metrics-json`: a run's metrics as parallel lists, one value an episode, as DQN trainers write them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rlctl import Exportable, Metrics, NotAvailableError
from rlctl.evaluations import evaluations_of
from rlctl.events import episodes_of
from rlctl.runs.files import read_lines

_MEANS = {"losses": "train/loss", "q_values": "train/q_value"}
"""Lists with the mean of what was reported in an episode; episodes in which nothing was have no value."""


def write(exportable: Exportable) -> dict[str, Any]:
    """Write the file; raises NotAvailableError for a run without episodes.jsonl."""
    assert exportable.directory is not None
    data = metrics_of(exportable.directory)
    exportable.path.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return {name: len(values) for name, values in data.items()}


def metrics_of(directory: Path) -> dict[str, list[Any]]:
    """Return the lists of the run in `directory`; a number that is none in JSON is None.

    `train_rewards` and `train_lengths` have a value for each training episode, `epsilons` as well where exploration rates are
    reported: the last one known by then, None before the first. `losses` and `q_values` have the means of the episodes in which
    something was learned. `eval_rewards` are mean returns, `eval_episodes` how many training episodes there had been.
    """
    if not (directory / "episodes.jsonl").exists():
        raise NotAvailableError(f"{directory} has no episodes.jsonl: the callback jsonl was off.")
    episodes = list(episodes_of(read_lines(directory / "episodes.jsonl")))
    evaluations = evaluations_of(read_lines(directory / "evaluations.jsonl"))
    found: dict[str, list[Any]] = {
        "train_rewards": [_legal(episode.episode_return) for episode in episodes],
        "train_lengths": [episode.length for episode in episodes],
        "eval_rewards": [_legal(evaluation.return_mean) for evaluation in evaluations],
        "eval_episodes": [evaluation.episodes for evaluation in evaluations],
    }
    metrics = [Metrics.from_json(line) for line in read_lines(directory / "metrics.jsonl")]
    return found | _by_episode([episode.step for episode in episodes], metrics)


def _by_episode(ends: Iterable[int], metrics: list[Metrics]) -> dict[str, list[Any]]:
    lists: dict[str, list[Any]] = {name: [] for name in ("losses", "epsilons", "q_values")}
    epsilon: float | None = None
    waiting = iter(sorted(metrics, key=lambda item: item.step))
    line = next(waiting, None)
    for end in ends:
        reported: dict[str, list[float]] = {name: [] for name in _MEANS}
        while line is not None and line.step <= end:
            _take(line.values, reported)
            epsilon = line.values.get("train/exploration_rate", epsilon)
            line = next(waiting, None)
        lists["epsilons"].append(_legal(epsilon))
        for name, values in reported.items():
            if values:
                lists[name].append(_legal(sum(values) / len(values)))
    if epsilon is None:  # of an algorithm that has none
        lists["epsilons"] = []
    return lists


def _take(values: Mapping[str, float], reported: Mapping[str, list[float]]) -> None:
    for name, metric in _MEANS.items():
        if metric in values:
            reported[name].append(values[metric])


def _legal(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
