"""Sweeps whose trials are scored by a formula, for the tests of spaces and studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlctl_tune.reading import sweep_of
from rlctl_tune.samplers import values_of
from rlctl_tune.study import SweepFolder, ask

SPACE = {"hyperparameters.a": {"low": 0.0, "high": 1.0}, "hyperparameters.b": {"low": 1, "high": 64, "log": True}}


def sweep(**more: Any) -> Any:
    """Return a sweep of two parameters, 40 trials by default."""
    return sweep_of({"name": "s", "run": {"worker": "toy"}, "space": SPACE, "trials": 40, **more}, {})


def searched(one: Any, root: Path, count: int) -> list[dict[str, Any]]:
    """Return the values of so many trials, each scored by how near it is to a = 0.8, b = 16."""
    folder = SweepFolder(one, root / "runs")
    found = []
    with folder.locked():
        study = folder.study(create=True)
        for _ in range(count):
            trial = ask(study, one)
            found.append(values_of(one.space, trial.params))
            study.tell(
                trial,
                -((trial.params["hyperparameters.a"] - 0.8) ** 2) - (trial.params["hyperparameters.b"] / 16 - 1) ** 2,
            )
    return found


def begun(root: Path, **more: Any) -> SweepFolder:
    """Return the folder of a sweep that has begun."""
    folder = SweepFolder(sweep(**more), root / "runs")
    with folder.locked():
        folder.save(["rlctl"])
        folder.study(create=True)
    return folder
