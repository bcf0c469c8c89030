"""Early stopping: when a run is solved, or has not become better for so many evaluations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rlctl.evaluations import Evaluation

WINDOW = 100
"""Training episodes whose mean return counts, where `metric` is training."""


def stops_after_evaluation(settings: Mapping[str, Any], history: Sequence[Evaluation]) -> str | None:
    """Return why the run should end after the last evaluation of `history`, or None.

    `settings` is the `early_stopping` mapping of the configuration. An evaluation is better if it is by more than
    `min_delta`. Those before `min_timesteps` may set the mark to beat, but patience is not lost on them. A threshold on the
    training is the business of `stops_after_episode`: here its mean may still be of fewer episodes.
    """
    if not history or history[-1].step < settings["min_timesteps"]:
        return None
    threshold, patience, now = settings["threshold"], settings["patience"], history[-1].return_mean
    if threshold is not None and settings["metric"] == "evaluation" and now >= threshold:
        return _solved("evaluation", now, threshold)
    if patience is not None and evaluations_without_improvement(settings, history) >= patience:
        best = max((value for value in _values(settings, history) if value is not None), default=math.nan)
        return f"early stopping: {patience} evaluations without improvement on {best:.6g} ({_name(settings['metric'])})"
    return None


def stops_after_episode(settings: Mapping[str, Any], step: int, returns: Sequence[float]) -> str | None:
    """Return why the run should end as its training episodes are good enough, or None; needs 100 of them."""
    threshold = settings["threshold"]
    if (
        threshold is None
        or settings["metric"] != "training"
        or step < settings["min_timesteps"]
        or len(returns) < WINDOW
    ):
        return None
    mean = sum(returns) / len(returns)
    return _solved("training", mean, threshold) if mean >= threshold else None


def evaluations_without_improvement(settings: Mapping[str, Any], history: Sequence[Evaluation]) -> int:
    """Return how many evaluations at the end of `history` were not better, by more than `min_delta`, than the best before."""
    best, waited = -math.inf, 0
    for evaluation, value in zip(history, _values(settings, history), strict=True):
        if value is None:
            continue
        if value > best + (settings["min_delta"] if math.isfinite(best) else 0.0):
            best, waited = value, 0
        elif evaluation.step >= settings["min_timesteps"]:
            waited += 1
    return waited


def _values(settings: Mapping[str, Any], history: Sequence[Evaluation]) -> list[float | None]:
    return [_value(settings["metric"], item) for item in history]


def _value(metric: str, evaluation: Evaluation) -> float | None:
    """Return what counts of an evaluation; None as long as there are too few training episodes for their mean."""
    if metric == "evaluation":
        return evaluation.return_mean
    return evaluation.training_return_mean if evaluation.episodes >= WINDOW else None


def _name(metric: str) -> str:
    return "mean return of the evaluation" if metric == "evaluation" else f"mean return of {WINDOW} training episodes"


def _solved(metric: str, value: float, threshold: float) -> str:
    return f"early stopping: solved, {_name(metric)} {value:.6g} reached the threshold {threshold:g}"
