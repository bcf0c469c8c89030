"""Settings of somebody else's file that SB3's algorithm takes, and why it does not take the others."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from rlctl.config.check import check_values
from rlctl.config.layers import Merged
from rlctl.errors import Problem
from rlctl_sb3.checks import problems_in
from rlctl_sb3.signatures import hyperparameters

PROGRESS = "there is one kind of progress, and it is shown. `--callback no-progress` shows none"
_DEVICE = re.compile(r"auto|cpu|mps|cuda:\d+")


def device_here(said: object) -> tuple[str, str | None]:
    """Return (device, what has changed): what a file for one machine asks for, such that it runs on others, too."""
    if said == "cuda":
        return "auto", "cuda → auto: the GPU where there is one, else the CPU. `--device cuda` insists"
    if isinstance(said, str) and _DEVICE.fullmatch(said):
        return said, None
    return "auto", f"there is no device {said!r}, so auto. There is: auto, cpu, cuda, cuda:N, mps"


def sound_settings(settings: Mapping[str, Any], algorithm: str) -> tuple[dict[str, Any], list[Problem]]:
    """Return (settings, problems): what passes the rules that a run is checked by, and what was left out for each of the others.

    The paths of the problems begin with the name of the setting. Of `network` only the part that is wrong is left out.
    """
    sound = copy.deepcopy(dict(settings))
    parameters = hyperparameters(algorithm)
    found = check_values(sound, parameters, "hyperparameters", Merged({}, {}), f"sb3/{algorithm}")
    found += problems_in(sound, algorithm)
    left_out = []
    for problem in found:
        path = problem.path.removeprefix("hyperparameters.")
        name, _, inner = path.partition(".")
        part = sound.get(name)
        if name == "network" and isinstance(part, dict) and inner.partition(".")[0] in part:
            del part[inner.partition(".")[0]]
        elif sound.pop(name, None) is None:
            continue
        left_out.append(Problem(path, problem.message, problem.hint))
    known = {parameter.name: parameter for parameter in parameters}
    return {name: known[name].normalized(value) for name, value in sound.items()}, left_out
