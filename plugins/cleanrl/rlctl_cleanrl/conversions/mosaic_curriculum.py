"""MOSAIC's `curriculum_schedule` as `env.curriculum`: the same stages, with the end that MOSAIC gives to one that says none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from rlctl import Problem
from rlctl.config.conditions import METRICS
from rlctl.errors import did_you_mean

_STEPS_THERE = 100_000
"""Steps of a stage that says nothing of its end."""
_KEYS = ("env_id", *METRICS)


@define
class Schedule:
    """The stages, and what became of the fields of the file."""

    stages: list[dict[str, Any]] = field(factory=list)
    unusable: list[Problem] = field(factory=list)
    left_out: list[Problem] = field(factory=list)
    changed: list[Problem] = field(factory=list)


def read_schedule(said: Any, path: str) -> Schedule:
    """Return what a schedule at `path` means; of one that means nothing, why."""
    made = Schedule()
    if not isinstance(said, list):
        made.unusable.append(Problem(path, f"expected a list of stages, got {said!r}"))
        return made
    for index, stage in enumerate(said):
        _read_stage(made, stage, f"{path}[{index}]", is_last=index == len(said) - 1)
    return made


def _read_stage(made: Schedule, stage: Any, path: str, *, is_last: bool) -> None:
    if not isinstance(stage, Mapping) or not isinstance(stage.get("env_id"), str):
        made.unusable.append(Problem(path, f"expected a mapping with env_id, got {stage!r}"))
        return
    for key in stage:
        if key not in _KEYS:
            made.left_out.append(Problem(f"{path}.{key}", "a stage has no such field.", did_you_mean(str(key), _KEYS)))
    ends = {name: stage[name] for name in METRICS if name in stage}
    if is_last and ends:
        reason = "there the last stage goes on to the end of the training, whatever it says"
        made.left_out += [Problem(f"{path}.{name}", reason) for name in ends]
        ends = {}
    elif not is_last and not ends:
        ends = {"steps": _STEPS_THERE}
        made.changed.append(Problem(path, f"says no end, so steps: {_STEPS_THERE}, as there"))
    if "episode_return" in ends:
        reason = "the mean of the last 100 episodes of the stage, known from the hundredth on; there it is one of fewer at first"
        made.changed.append(Problem(f"{path}.episode_return", reason))
    made.stages.append({"env_id": stage["env_id"], **ends})
