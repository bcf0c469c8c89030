"""Which values the next trial has: those of Optuna's samplers, of a grid in its order, or of CMA-ES.

Each trial has a generator of its own, seeded with the sweep's seed and the trial's number: a sweep that was killed goes on
with the numbers that it would have drawn. CMA-ES is computed anew from the trials that are complete, as Optuna would keep it
as a pickle in its storage, and a storage may come from somebody else.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlctl_tune.reading import Pruner, Sweep
from rlctl_tune.space import Choice, Range, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

GENERATION = "generation"
_SPREAD = 0.3
"""First standard deviation of CMA-ES, where each parameter goes from 0 to 1."""


def trial_seed(seed: int, number: int) -> int:
    """Return the seed of the generator that proposes a trial's values."""
    digest = hashlib.sha256(f"rlctl sweep {seed} {number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def distribution_of(item: Range | Choice) -> BaseDistribution:
    """Return a parameter as Optuna knows it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(item, Choice):
        return CategoricalDistribution(item.labels)
    if item.whole:
        return IntDistribution(int(item.low), int(item.high), log=item.log, step=int(item.step or 1))
    return FloatDistribution(float(item.low), float(item.high), log=item.log, step=item.step)


def sampler_of(sweep: Sweep, number: int) -> BaseSampler:
    """Return the sampler of a trial. Those whose values are `proposed` need none; it is never asked then."""
    from optuna.samplers import RandomSampler, TPESampler

    seed = trial_seed(sweep.seed, number)
    if sweep.sampler == "tpe":
        return TPESampler(seed=seed, constant_liar=True)  # trials that go on side by side are kept apart
    return RandomSampler(seed=seed)


def pruner_of(pruner: Pruner) -> BasePruner:
    """Return Optuna's pruner. Its resource is the number of a trial's evaluations."""
    from optuna.pruners import MedianPruner, NopPruner, SuccessiveHalvingPruner

    if pruner.kind == "asha":
        return SuccessiveHalvingPruner(min_resource=pruner.first, reduction_factor=pruner.factor)
    if pruner.kind == "median":
        return MedianPruner(n_startup_trials=pruner.after, n_warmup_steps=pruner.first)
    return NopPruner()


def proposed(sweep: Sweep, number: int, trials: Sequence[FrozenTrial]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return (values in Optuna's terms, what to note beside them) of a grid or CMA-ES; None where Optuna's sampler proposes."""
    if sweep.sampler == "grid":
        values = next(itertools.islice(sweep.space.combinations(), number, None))
        labels = {item.key: _label(item, values[item.key]) for item in sweep.space.free}
        return labels, {}
    return _cmaes(sweep, number, trials) if sweep.sampler == "cmaes" else None


def _label(item: Range | Choice, value: Any) -> Any:
    """Return what stands for a value in Optuna's storage; a range's last one may be above its end by rounding."""
    if isinstance(item, Choice):
        return item.labels[next(index for index, known in enumerate(item.values) if known is value)]
    return min(value, item.high)


def _cmaes(sweep: Sweep, number: int, trials: Sequence[FrozenTrial]) -> tuple[dict[str, Any], dict[str, Any]]:
    import numpy as np
    from cmaes import CMA
    from optuna.trial import TrialState

    ranges = [item for item in sweep.space.free if isinstance(item, Range)]
    bounds = np.array([[0.0, 1.0]] * len(ranges))
    optimizer = CMA(np.full(len(ranges), 0.5), _SPREAD, bounds=bounds, seed=trial_seed(sweep.seed, number))
    complete = sorted(
        (trial for trial in trials if trial.state == TrialState.COMPLETE),
        key=lambda trial: str(trial.datetime_complete),
    )
    while True:
        # The first that were complete: one of this generation that comes late changes nothing of what was learnt.
        mine = [trial for trial in complete if trial.user_attrs.get(GENERATION) == optimizer.generation]
        if len(mine) < optimizer.population_size:
            break
        optimizer.tell([
            (np.array([_position(item, trial.params[item.key]) for item in ranges]), -float(trial.value or 0.0))
            for trial in mine[: optimizer.population_size]
        ])  # fmt: skip
    point = optimizer.ask()
    return {item.key: _at(item, float(x)) for item, x in zip(ranges, point, strict=True)}, {
        GENERATION: optimizer.generation
    }


def _scaled(item: Range, value: float) -> float:
    return math.log(value) if item.log else float(value)


def _position(item: Range, value: float) -> float:
    """Return where a value lies in its range, from 0 to 1."""
    low, high = _scaled(item, item.low), _scaled(item, item.high)
    return (_scaled(item, value) - low) / (high - low)


def _at(item: Range, position: float) -> float:
    """Return the value at a position from 0 to 1."""
    low, high = _scaled(item, item.low), _scaled(item, item.high)
    value = low + position * (high - low)
    value = math.exp(value) if item.log else value
    if item.step is not None or item.whole:
        step = item.step or 1
        value = item.low + round((value - item.low) / step) * step
        value = value if value <= item.high else value - step
    value = min(max(value, item.low), item.high)
    return int(value) if item.whole else value


def values_of(space: Space, params: dict[str, Any]) -> dict[str, Any]:
    """Return key → value of all parameters, given what Optuna has of the free ones."""
    free = {
        item.key: item.value_of(params[item.key]) if isinstance(item, Choice) else params[item.key]
        for item in space.free
    }
    return space.complete(free)
