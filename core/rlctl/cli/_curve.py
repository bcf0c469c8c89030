"""A learning curve: a run's episodes in stretches of equal numbers of steps, as data and as a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rlctl.cli._render import number, table

if TYPE_CHECKING:
    from rlctl.events import Episode


def learning_curve(episodes: list[Episode], parts: int) -> list[dict[str, Any]]:
    """Return the episodes in `parts` stretches of equal numbers of steps; empty stretches are left out."""
    if not episodes:
        return []
    last = episodes[-1].step or 1
    buckets: dict[int, list[Episode]] = {}
    for episode in episodes:
        buckets.setdefault(min(parts - 1, episode.step * parts // (last + 1)), []).append(episode)
    curve = []
    for index, bucket in sorted(buckets.items()):
        returns = [episode.episode_return for episode in bucket]
        curve.append({
            "step": last * (index + 1) // parts,
            "episodes": len(bucket),
            "return_mean": sum(returns) / len(returns),
            "return_min": min(returns),
            "return_max": max(returns),
            "length_mean": sum(episode.length for episode in bucket) / len(bucket),
        })  # fmt: skip
    return curve


def show_curve(curve: list[dict[str, Any]]) -> None:
    """Print a curve, with a bar for each mean."""
    best = max((abs(part["return_mean"]) for part in curve if math.isfinite(part["return_mean"])), default=0.0) or 1.0
    rows = [
        (
            number(part["step"], 0), number(part["episodes"], 0), number(part["return_mean"]),
            number(part["return_min"]), number(part["return_max"]), number(part["length_mean"]),
            "█" * round(20 * max(0.0, part["return_mean"]) / best) if math.isfinite(part["return_mean"]) else "",
        )
        for part in curve
    ]  # fmt: skip
    table(("UP TO STEP", "EPISODES", "MEAN RETURN", "MIN", "MAX", "LENGTH", ""), rows)
