"""Which runs of a plan are forked from a warm process instead of being started afresh."""

from __future__ import annotations

from collections import Counter

from rlctl.launch.machine import machine_facts
from rlctl.launch.prepare import Prepared
from rlctl.launch.start import warm_up_of
from rlctl.plans.model import Member
from rlctl.plans.store import PlanStore


def open_runs(store: PlanStore) -> Counter[object]:
    """Return how many runs of each worker, as configurations name it, are still to be done."""
    runs = (member for member in store.plan.members.values() if member.kind == "run")
    return Counter(worker_of(member) for member in runs if store.standing(member).state != "finished")


def worker_of(member: Member) -> object:
    """Return the worker that a run's configuration names."""
    return member.merged().values.get("worker")


def warm_up(prepared: Prepared, count: int) -> tuple[str, ...]:
    """Return how a process is warmed up from which a run may be forked; empty where a fresh one is better or safer.

    `count` is how many runs of its worker there are to be. A pool of threads does not survive a fork, nor does a GPU in use,
    which only the library could tell.
    """
    assert prepared.config is not None
    if count < 2 or prepared.config.threads != 1 or machine_facts().has_gpu:
        return ()
    return warm_up_of(prepared)
