"""What is wrong with a sweep, before anything starts: each edge of each parameter is a configuration that is checked whole."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
from attrs import Factory, field, frozen

from rlctl.errors import ConfigError, Problem
from rlctl.launch.executor import Demand
from rlctl.launch.gathering import Executors
from rlctl.launch.prepare import Prepared
from rlctl.launch.warm import WarmExecutor
from rlctl.parameters import Parameter
from rlctl.plans.checks import config_problems, demands_of, local_slots
from rlctl.plans.reading import Source
from rlctl.plans.running import Placing, Report, jobs_of
from rlctl.plans.schedule import Slots
from rlctl.plans.starting import Starter, probe_once
from rlctl.plans.store import PlanStore, open_plan
from rlctl.plugins import Registry, discover
from rlctl_tune.reading import Sweep
from rlctl_tune.space import Range
from rlctl_tune.trials import configured, origins_of

_MEMBER = re.compile(r"^members\.[^.]+\.")


@frozen(kw_only=True)
class Ready:
    """A sweep that can be run. `every_steps` is the distance of evaluations, `per_seed` how many of them a run has.

    `demand` is what a run takes of the machine.
    """

    sweep: Sweep
    runs_root: Path
    registry: Registry
    report: Report
    placing: Placing
    every_steps: int
    per_seed: int
    probe: Any
    demand: Demand
    warm: WarmExecutor = field(factory=WarmExecutor)
    executors: Executors = field(default=Factory(lambda self: Executors(self.registry), takes_self=True))

    def slots(self) -> Slots:
        """Return what this machine has to give."""
        return local_slots(self.placing.jobs)

    def starter(self, store: PlanStore) -> Starter:
        """Return who begins the runs of a trial; environments are looked at once for all of them."""
        return Starter(
            store,
            self.registry,
            self.report,
            self.placing.executor,
            self.placing.address,
            self.probe,
            self.warm,
            self.executors,
        )


def make_ready(sweep: Sweep, runs_root: Path, placing: Placing, report: Report) -> Ready:
    """Return the sweep, checked. Raises ConfigError with all that is wrong with it; then nothing was started or written."""
    registry, probe = discover(), probe_once()
    placing = attrs.evolve(placing, jobs=jobs_of(placing, registry))
    store = _corners(sweep, runs_root)
    starter = Starter(store, registry, report, placing.executor, placing.address, probe)
    members = list(store.plan.members.values())
    demands, problems = demands_of(store.plan, local_slots(placing.jobs), starter)
    problems += config_problems(store.plan, starter, members)
    base = starter.prepared(members[0])
    problems = [*_distinct(problems), *_kind_problems(sweep, base), *_measure_problems(sweep, base)]
    if problems:
        raise ConfigError(problems)
    assert base.config is not None
    every = base.config.evaluation.every_steps
    assert every is not None
    per_seed = max(1, (base.config.total_timesteps or every) // every)
    return Ready(
        sweep=sweep, runs_root=runs_root, registry=registry, report=report, placing=placing, every_steps=every,
        per_seed=per_seed, probe=probe, demand=demands[members[0].id],
    )  # fmt: skip


def _corners(sweep: Sweep, runs_root: Path) -> PlanStore:
    """Return a plan with `run` as it stands and a member for each corner of the space, which is only looked at."""
    members: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for index, values in enumerate([{}, *sweep.space.corners()]):
        name = f"c{index}"
        config = {**configured(sweep, values), "seed": sweep.seeds[0]}
        members[name] = {"run": config, "resources": sweep.resources}
        origins |= origins_of(sweep, name, values)
    return open_plan(Source(sweep.name, {"name": sweep.name, "members": members}, origins), runs_root)


def _distinct(problems: Iterable[Problem]) -> list[Problem]:
    """Return each problem once, without the name of the corner that has it."""
    found: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        path = _MEMBER.sub("", problem.path)
        found.setdefault((path, problem.message), attrs.evolve(problem, path=path))
    return list(found.values())


def _kind_problems(sweep: Sweep, base: Prepared) -> list[Problem]:
    """Return ranges that do not say what their parameter takes: 0 to 1 would be only 0 and 1."""
    known: dict[str, Parameter] = {}
    if base.algorithm is not None:
        try:
            known = {f"hyperparameters.{item.name}": item for item in base.algorithm.parameters()}
        except Exception:  # noqa: BLE001 - what a plugin's function raises is a problem of the configuration already
            return []
    problems = []
    for item in sweep.space.free:
        parameter = known.get(item.key)
        if not isinstance(item, Range) or parameter is None:
            continue
        where, origin = f"space.{item.key}", sweep.origins.get(f"space.{item.key}")
        if item.whole and item.step is None and "number" in parameter.kinds:
            hint = f"Write low: {item.low}.0 for fractions, or say a step."
            problems.append(Problem(where, "takes fractions, but both bounds are whole numbers", hint, origin))
        elif not item.whole and "integer" in parameter.kinds and "number" not in parameter.kinds:
            hint = "Write its bounds and step without a point."
            problems.append(Problem(where, "takes whole numbers, but a bound is none", hint, origin))
    return problems


def _measure_problems(sweep: Sweep, base: Prepared) -> list[Problem]:
    """Return what keeps scores from being had, or from being compared."""
    if base.config is None:
        return []  # its own problems come first
    evaluation, total = base.config.evaluation, base.config.total_timesteps
    origin = base.merged.origin
    if evaluation.every_steps is None:
        hint = "A sweep scores evaluations. Example: evaluation: {every_steps: 5000}"
        return [Problem("run.evaluation.every_steps", "is required", hint, origin("evaluation"))]
    problems = []
    if total is not None and evaluation.every_steps > total:
        message = f"the first evaluation, at {evaluation.every_steps}, is behind the end, at {total}"
        problems.append(Problem("run.evaluation.every_steps", message, None, origin("evaluation.every_steps")))
    if total is None and sweep.pruner.kind != "none":
        message = "a pruner compares trials at the same step, but the budget is in episodes"
        problems.append(Problem("run.total_episodes", message, "Set total_timesteps.", origin("total_episodes")))
    longest = math.inf if total is None else len(sweep.seeds) * (total // evaluation.every_steps)
    if sweep.pruner.kind != "none" and sweep.pruner.first >= longest:
        message = f"a trial has {longest:.0f} evaluations, so none could be stopped"
        problems.append(Problem("pruner.first", message, "Evaluate more often.", sweep.origins.get("pruner")))
    return problems
