"""Groups of scores, one score a seed, as a table: interquartile mean and mean, each with a bootstrap interval."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

RESAMPLES = 2000
SEED = 0
"""The bootstrap draws the same each time: a comparison that is repeated says the same."""


def interquartile_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half: a quarter of the weight is cut off at each end, in parts where n / 4 is none."""
    ordered = sorted(values)
    cut = len(ordered) / 4
    weights = [max(0.0, min(index + 1, len(ordered) - cut) - max(index, cut)) for index in range(len(ordered))]
    return sum(weight * value for weight, value in zip(weights, ordered, strict=True)) / sum(weights)


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return sum(values) / len(values)


def interval(
    values: Sequence[float], statistic: Callable[[Sequence[float]], float], confidence: float
) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval over the seeds; None for a single one, which has no spread."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    generator = random.Random(SEED)  # noqa: S311 - statistics
    drawn = sorted(statistic(generator.choices(values, k=len(values))) for _ in range(RESAMPLES))
    tail = (1 - confidence) / 2
    return drawn[int(tail * RESAMPLES)], drawn[min(RESAMPLES - 1, math.ceil((1 - tail) * RESAMPLES) - 1)]


def compare(scores: Mapping[str, Sequence[float]], confidence: float) -> dict[str, Any]:
    """Return the table as data, the best group first: seeds, IQM, mean, their intervals, and the scores themselves."""
    middle = {name: interquartile_mean(values) for name, values in scores.items()}
    rows = [
        {
            "group": name,
            "seeds": len(scores[name]),
            "iqm": middle[name],
            "iqm_interval": interval(scores[name], interquartile_mean, confidence),
            "mean": mean(scores[name]),
            "mean_interval": interval(scores[name], mean, confidence),
            "scores": list(scores[name]),
        }
        for name in sorted(middle, key=lambda name: -middle[name] if math.isfinite(middle[name]) else math.inf)
    ]
    return {"confidence": confidence, "resamples": RESAMPLES, "groups": rows}
