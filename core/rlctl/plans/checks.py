"""What can be known before anything starts: configurations that cannot run, and resources that can never be had."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from attrs import define, field

from rlctl.descriptors import Mode
from rlctl.errors import Problem, UsageError
from rlctl.launch.detached import DetachedExecutor
from rlctl.launch.executor import Demand, executor_problems
from rlctl.launch.machine import gpu_names, machine_facts
from rlctl.launch.prepare import Prepared
from rlctl.launch.start import make_executor
from rlctl.plans.model import Member, Plan
from rlctl.plans.reading import words_of
from rlctl.plans.schedule import Slots
from rlctl.plans.starting import Starter


def local_slots(jobs: int | None, *, pinned: bool = False) -> Slots:
    """Return what this machine has to give: `jobs` CPU slots, by default one for each core, its GPUs and memory.

    Slots that are `pinned` are cores. Raises UsageError where there are fewer of these, or none can be chosen.
    """
    facts = machine_facts()
    slots = Slots(cpus=jobs or facts.cpu_cores, gpus=gpu_names(), memory_mb=facts.memory_mb)
    if pinned:
        if not hasattr(os, "sched_getaffinity"):
            raise UsageError("--affinity: this system does not let a process choose its cores.")
        cores = sorted(os.sched_getaffinity(0))
        if slots.cpus > len(cores):
            raise UsageError(
                f"--affinity: {slots.cpus} slots are more than the {len(cores)} cores that this process may use.",
                hint=f"Say -j {len(cores)}.",
            )
        slots.cores = cores
    return slots


def pinning_problems(starter: Starter, wanted: Iterable[Member]) -> list[Problem]:
    """Return the members that cannot be pinned: only what is placed on this machine can be."""
    problems = _Gathered()
    for member in wanted:
        executor, _ = starter.placing_of(member)
        if executor != "local":
            problems.add(
                member,
                "run.executor",
                f'--affinity pins processes of this machine, "{executor}" may place it elsewhere',
            )
    return problems.listed()


def demands_of(plan: Plan, slots: Slots, starter: Starter) -> tuple[dict[str, Demand], list[Problem]]:
    """Return what each member takes, and what can never be had: on this machine, or where it is to be placed.

    Raises NotAvailableError for an engine that cannot be reached.
    """
    problems = _Gathered()
    demands = {}
    executor_of = functools.cache(functools.partial(_elsewhere, starter))
    refusal_of = functools.cache(lambda executor, demand: executor.lacking(demand))
    for member in plan.members.values():
        elsewhere = executor_of(*starter.placing_of(member))
        said = member.template.resources
        threads = member.merged().values.get("threads", 1) if member.kind == "run" else 1
        # null leaves it to the libraries, which take all that there is.
        all_of_it = slots.cpus if elsewhere is None else 1  # of a machine that is not known yet
        own = all_of_it if threads is None else threads if isinstance(threads, int) and threads > 0 else 1
        demand = Demand(
            said.cpus or own, said.gpus, said.memory_mb, elsewhere=elsewhere is not None, seconds=_seconds_of(member)
        )
        demands[member.id] = demand
        if said.cpus is not None and own > said.cpus:
            problems.add(member, "resources.cpus", f"is {said.cpus}, but its run has {own} threads", "Set run.threads.")
        refusal = refusal_of(elsewhere, demand) if elsewhere is not None else None
        if refusal is not None:
            problems.add(member, "resources", refusal)
        there: Mapping[str, Any] = {"cpus": slots.cpus, "gpus": len(slots.gpus), "memory_mb": slots.memory_mb}
        for name in sorted(slots.lacking(demand)):
            hint = f"Give it more slots: -j {demand.cpus}." if name == "cpus" else None
            message = f"it needs {getattr(demand, name)}, there are {there[name]}"
            problems.add(member, f"resources.{name}", message, hint)
    return demands, problems.listed()


def _seconds_of(member: Member) -> float | None:
    """Return after how long a member is stopped, None without a limit."""
    own = member.merged().values.get("time_limit") if member.kind == "run" else None
    limits = [member.template.time_limit, own if isinstance(own, (int, float)) else None]
    return min((limit for limit in limits if limit is not None), default=None)


def _elsewhere(starter: Starter, name: str, address: str | None) -> DetachedExecutor | None:
    """Return the executor that places members on other machines than this one."""
    if name == "local" or executor_problems(name, address, starter.registry):
        return None  # on this machine, or said to be wrong by the check of its configuration
    if address is None and not starter.registry.executor(name).descriptor.always_elsewhere:
        return None
    executor = make_executor(name, starter.registry, address)
    return executor if isinstance(executor, DetachedExecutor) else None


def config_problems(plan: Plan, starter: Starter, wanted: Iterable[Member]) -> list[Problem]:
    """Return what is wrong with the configurations of the `wanted` members, each problem once for all that share it."""
    problems = _Gathered()
    known: dict[str, Prepared] = {}

    def prepared(member: Member) -> Prepared:
        said = member.merged().values
        # Any whole number is as good a seed as another, and there may be hundreds of them.
        key = repr({name: value for name, value in said.items() if name != "seed" or not isinstance(value, int)})
        if key not in known:
            known[key] = starter.prepared(member)
        return known[key]

    for member in wanted:
        source = prepared(plan.members[member.sources[0]]) if member.sources and member.kind != "compare" else None
        if member.kind == "run":
            _check_run(problems, member, prepared(member), source)
        elif member.kind == "script":
            program = words_of(member.template.values)[0]
            if shutil.which(program) is None:
                problems.add(member, "script", f'there is no program "{program}"')
        elif source is not None and source.worker is not None and Mode.EVALUATE not in source.worker.descriptor.modes:
            problems.add(member, "evaluate.of", f'worker "{source.worker.descriptor.name}" cannot lend its policy')
    return problems.listed()


def _check_run(problems: _Gathered, member: Member, mine: Prepared, source: Prepared | None) -> None:
    for problem in mine.problems:
        problems.add(member, f"run.{problem.path}", problem.message, problem.hint, problem.origin)
    if source is not None and not mine.problems and _algorithm(mine) != _algorithm(source):
        message = f"that run is of {'/'.join(_algorithm(source))}, this one of {'/'.join(_algorithm(mine))}"
        problems.add(member, "from", message, "Weights fit the same algorithm only.")


def _algorithm(prepared: Prepared) -> tuple[str, str]:
    worker, algorithm = prepared.worker, prepared.algorithm
    return worker.descriptor.name if worker else "?", algorithm.name if algorithm else "?"


@define
class _Gathered:
    """Problems, each once, with how many members have it."""

    found: dict[tuple[Any, ...], Problem] = field(factory=dict)
    counts: dict[tuple[Any, ...], int] = field(factory=dict)

    def add(self, member: Member, path: str, message: str, hint: str | None = None, origin: str | None = None) -> None:
        key = (member.template.id, path, message)
        where = f"members.{member.template.id}.{path}"
        self.found.setdefault(key, Problem(where, message, hint, origin))
        self.counts[key] = self.counts.get(key, 0) + 1

    def listed(self) -> list[Problem]:
        """Return them; of what more than one member has it is said how many."""
        return [
            problem
            if self.counts[key] == 1
            else attrs.evolve(problem, message=f"{problem.message.rstrip('.')} ({self.counts[key]} members)")
            for key, problem in self.found.items()
        ]
