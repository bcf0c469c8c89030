"""A trial as runs of the store: one for each seed, what their evaluations say, and what that makes of the trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from rlctl.config.layers import Layer, merge, nested
from rlctl.evaluations import evaluations_of
from rlctl.plans.model import Member
from rlctl.plans.reading import Source
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_lines
from rlctl_tune.reading import Sweep


def configured(sweep: Sweep, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of `run` with the values of a trial."""
    layers = [Layer("", nested(key.split("."), value)) for key, value in values.items()]
    return merge([Layer("", sweep.run), *layers]).values


def member_name(number: int) -> str:
    """Return what a trial is called: t0007."""
    return f"t{number:04}"


def trial_source(sweep: Sweep, number: int, values: Mapping[str, Any]) -> Source:
    """Return the plan of one trial: a run for each seed, in their order, labelled with the sweep and the trial."""
    member = member_name(number)
    template = labelled(sweep, configured(sweep, values), sweep.seeds, trial=str(number), phase="search")
    return Source(sweep.name, {"name": sweep.name, "members": {member: template}}, origins_of(sweep, member, values))


def labelled(sweep: Sweep, config: Mapping[str, Any], seeds: Sequence[int], **labels: str) -> dict[str, Any]:
    """Return a plan's member: a run for each seed. What the sweep says of labels stays beside ours."""
    ours = {**config.get("labels", {}), "sweep": sweep.name, **labels}
    return {"run": {**config, "labels": ours}, "matrix": {"seed": list(seeds)}, "resources": sweep.resources}


def origins_of(sweep: Sweep, member: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Return where the values of a member's run stand: in the space, or in `run`."""
    found = {f"members.{member}.{path}": place for path, place in sweep.origins.items() if path.startswith("run.")}
    for key in values:
        place = sweep.origins.get(f"space.{key}")
        if place is not None:
            found[f"members.{member}.run.{key}"] = f"space, {place}"
    return found


@frozen
class Curve:
    """The evaluations of one run: number of the evaluation, counted from 1 → mean return."""

    returns: Mapping[int, float]

    def at(self, number: int) -> float | None:
        """Return the last mean return up to an evaluation; None before the first."""
        known = [item for item in self.returns if item <= number]
        return self.returns[max(known)] if known else None

    def score(self, how: str) -> float | None:
        """Return its last value, mean or best; None when nothing was evaluated, or what was is no number."""
        values = [self.returns[number] for number in sorted(self.returns)]
        if not values or not all(map(math.isfinite, values)):
            return None
        return {"last": values[-1], "mean": sum(values) / len(values), "best": max(values)}[how]


def curve_of(directory: Path, every_steps: int) -> Curve:
    """Return what a run's evaluations say by now; one at a step that was overshot is that which was due."""
    found = evaluations_of(read_lines(RunDirectory(directory).evaluations))
    return Curve({max(1, item.step // every_steps): item.return_mean for item in found})


@define
class Progress:
    """How far the seeds of a trial are, in their order; `per_seed` evaluations are the length of each."""

    per_seed: int
    curves: list[Curve] = field(factory=list)
    _reported: set[int] = field(factory=set)

    def reports(self) -> list[tuple[int, float]]:
        """Return what a pruner is to hear that it has not heard: (evaluations so far, mean over the seeds so far).

        The mean is of all seeds at the same evaluation of theirs. So trials are compared over the same seeds at the same
        place, and a seed more is a step up in fidelity.
        """
        found = []
        for index, curve in enumerate(self.curves):
            for number in sorted(curve.returns):
                resource = index * self.per_seed + min(number, self.per_seed)
                values = [earlier.at(number) for earlier in self.curves[: index + 1]]
                known = [value for value in values if value is not None]
                if resource not in self._reported and len(known) == index + 1:
                    self._reported.add(resource)
                    found.append((resource, sum(known) / len(known)))
        return found

    def heard(self, resources: Sequence[int]) -> None:
        """Note what the pruner has heard in an earlier process."""
        self._reported |= {*resources}


def score_of(curves: Sequence[Curve], how: str) -> tuple[float | None, list[float | None]]:
    """Return (mean over the seeds, that of each); None where a seed has none."""
    scores = [curve.score(how) for curve in curves]
    known = [score for score in scores if score is not None]
    whole = len(known) == len(scores) and bool(scores)
    return (sum(known) / len(known) if whole else None), scores


def seed_of(member: Member) -> int:
    """Return the seed of a member of a trial."""
    return int(member.axes["seed"])
