"""A plan from its source to its outcome: checked as a whole, kept, run under its lock."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path

import attrs
from attrs import frozen

from rlctl.errors import ConfigError, UsageError, did_you_mean
from rlctl.launch.detached import DetachedExecutor
from rlctl.launch.executor import Demand
from rlctl.launch.start import make_executor
from rlctl.plans.checks import config_problems, demands_of, local_slots, pinning_problems
from rlctl.plans.host import Display, PlanHost
from rlctl.plans.outcome import Outcome
from rlctl.plans.reading import Source
from rlctl.plans.schedule import Slots
from rlctl.plans.starting import Starter
from rlctl.plans.store import PlanStore, open_plan
from rlctl.plugins import Registry, discover
from rlctl.runs.manifest import redacted

Report = Callable[[str], None]


@frozen(kw_only=True)
class Placing:
    """How members share the machine: `jobs` CPU slots (None: one for each core, or thread of an engine), pinned or not.

    `executor` is who places them, whose engine is at `address`.
    """

    jobs: int | None = None
    executor: str | None = None
    address: str | None = None
    affinity: bool = False


@frozen
class Ready:
    """A plan that can be run."""

    source: Source
    store: PlanStore
    placing: Placing
    slots: Slots
    demands: dict[str, Demand]
    starter: Starter


def make_ready(source: Source, runs_root: Path, placing: Placing, report: Report) -> Ready:
    """Return the plan, checked. Raises ConfigError with all that is wrong with it; then nothing was started or written."""
    store, registry = open_plan(source, runs_root), discover()
    jobs = jobs_of(placing, registry)
    starter = Starter(store, registry, report, placing.executor, placing.address)
    slots = local_slots(jobs, pinned=placing.affinity)
    demands, problems = demands_of(store.plan, slots, starter)
    open_members = [item for item in store.plan.members.values() if store.standing(item).state != "finished"]
    problems += config_problems(store.plan, starter, open_members)
    if placing.affinity:
        problems += pinning_problems(starter, open_members)
    if problems:
        raise ConfigError(problems)
    return Ready(source, store, placing, slots, demands, starter)


def jobs_of(placing: Placing, registry: Registry) -> int | None:
    """Return how many CPU slots there are to be: as said, else as the engine has; None when that is the machine's business.

    Raises RlctlError for an executor that is not there, before the first script needs it.
    """
    if placing.executor is None:
        return placing.jobs
    executor = make_executor(placing.executor, registry, placing.address)
    return placing.jobs or (executor.room() if isinstance(executor, DetachedExecutor) else None)


def run_plan(
    ready: Ready,
    report: Report,
    *,
    keep_going: bool = True,
    again: Collection[str] = (),
    display: Display | None = None,
) -> Outcome:
    """Run what is not finished of a plan. Raises UsageError while another process runs it."""
    store = ready.store
    with store.locked():
        store.save(ready.source, redacted(sys.argv), attrs.asdict(ready.placing))
        store.look_again()
        host = PlanHost(
            store, ready.starter.begin, ready.demands, ready.slots, report, keep_going=keep_going, again=again,
            display=display, wait=ready.starter.warm.wait, hand_over=ready.starter.executors.hand_over,
        )  # fmt: skip
        try:
            return host.run()
        finally:
            ready.starter.warm.close()


def failed_members(store: PlanStore, named: Collection[str]) -> list[str]:
    """Return the failed members, or those of them that are named. Raises UsageError for a name that is no failed one's."""
    failed = [item.id for item in store.plan.members.values() if store.standing(item).state == "failed"]
    for name in named:
        if name not in store.plan.members:
            hint = did_you_mean(name, store.plan.members)
            raise UsageError(f'plan {store.plan.id} has no member "{name}".', hint=hint)
        if name not in failed:
            state = store.standing(store.plan.members[name]).state
            raise UsageError(f'member "{name}" is {state}, not failed.')
    return list(named) or failed
