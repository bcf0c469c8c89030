"""Which member may begin next: what it needs is finished, and there is room. Pure: it starts nothing and knows no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from attrs import define, field, frozen

from rlctl.launch.executor import Demand
from rlctl.plans.model import Member, Plan


@frozen
class Share:
    """What a member was given: its demand, which GPUs that is, and which cores when members are pinned to some."""

    demand: Demand
    gpus: tuple[str, ...] = ()
    cores: tuple[int, ...] = ()


@define
class Slots:
    """What this machine has left. `gpus` are names as CUDA_VISIBLE_DEVICES takes them; `memory_mb` None: not known.

    `cores` are the numbers of those that members are pinned to, None when they are not.
    """

    cpus: int
    gpus: list[str] = field(factory=list)
    memory_mb: int | None = None
    cores: list[int] | None = None

    def lacking(self, demand: Demand) -> set[str]:
        """Return what there is too little of."""
        room = {"cpus": self.cpus, "gpus": len(self.gpus), "memory_mb": self.memory_mb}
        here = demand.here
        wanted = {"cpus": here.cpus, "gpus": here.gpus, "memory_mb": here.memory_mb}
        return {name for name, there in room.items() if there is not None and wanted[name] > there}

    def take(self, demand: Demand) -> Share:
        """Take what is demanded, and return what it is."""
        here = demand.here
        self.cpus -= here.cpus
        gpus, self.gpus = self.gpus[: here.gpus], self.gpus[here.gpus :]
        cores: list[int] = []
        if self.cores is not None:
            cores, self.cores = self.cores[: here.cpus], self.cores[here.cpus :]
        if self.memory_mb is not None:
            self.memory_mb -= here.memory_mb
        return Share(demand, tuple(gpus), tuple(cores))

    def give_back(self, share: Share) -> None:
        """Give back what was taken."""
        here = share.demand.here
        self.cpus += here.cpus
        self.gpus = sorted([*self.gpus, *share.gpus])
        if self.cores is not None:
            self.cores = sorted([*self.cores, *share.cores])
        if self.memory_mb is not None:
            self.memory_mb += here.memory_mb


class Schedule:
    """The members of a plan that are still to be done. `done` are finished already, `lost` have failed before."""

    def __init__(
        self,
        plan: Plan,
        demands: Mapping[str, Demand],
        slots: Slots,
        done: Iterable[str] = (),
        lost: Iterable[str] = (),
    ) -> None:
        self._demands, self._slots = demands, slots
        self._plan = plan
        done, lost = set(done), list(lost)
        open_members = [member for member in plan.members.values() if member.id not in done]
        self._unfinished_of = {
            name: sum(member not in done for member in members) for name, members in plan.of_template.items()
        }
        self._waits_for: dict[str, int] = {}
        self._dependants: dict[str, list[str]] = {}
        self._ready: deque[str] = deque()
        self.blocked: dict[str, str] = {}
        """Member → the one that failed, for which it will never begin."""
        for member in open_members:
            open_needs = [name for name in member.needs if self._is_open(name, done)]
            self._waits_for[member.id] = len(open_needs)
            for name in open_needs:
                self._dependants.setdefault(name, []).append(member.id)
            if not open_needs and member.id not in lost:
                self._ready.append(member.id)
        for name in lost:
            self.failed(name)

    def _is_open(self, name: str, done: set[str]) -> bool:
        return name not in done if name in self._plan.members else self._unfinished_of[name] > 0

    def next(self) -> tuple[Member, Share] | None:
        """Return a member that may begin, with what was taken for it; None while there is none.

        The first one goes first. One that finds no room is overtaken only by those that take nothing of what it lacks: so a
        large member is not starved by small ones, and one that waits for a GPU holds up nobody who needs none.
        """
        lacking: set[str] = set()
        for index, name in enumerate(self._ready):
            demand = self._demands[name]
            missing = self._slots.lacking(demand)
            in_the_way = {item for item in lacking if getattr(demand.here, item) > 0}
            if not missing and not in_the_way:
                del self._ready[index]
                return self._plan.members[name], self._slots.take(demand)
            lacking |= missing
            if "cpus" in lacking:
                return None  # everybody takes some
        return None

    def again(self, name: str) -> None:
        """Let a member begin once more."""
        self._ready.append(name)

    def give_back(self, share: Share) -> None:
        """Give back what `next` has taken."""
        self._slots.give_back(share)

    def finished(self, name: str) -> None:
        """Let those begin that waited for this member only."""
        template = self._plan.members[name].template.id
        self._unfinished_of[template] -= 1
        woken = list(self._dependants.get(name, ()))
        if template != name and self._unfinished_of[template] == 0:
            woken += self._dependants.get(template, ())
        for dependant in woken:
            self._waits_for[dependant] -= 1
            if self._waits_for[dependant] == 0 and dependant not in self.blocked:
                self._ready.append(dependant)

    def failed(self, name: str) -> None:
        """Block all that needs this member, directly or not."""
        stack = [name]
        while stack:
            failed = stack.pop()
            template = self._plan.members[failed].template.id
            for dependant in {*self._dependants.get(failed, ()), *self._dependants.get(template, ())}:
                if dependant not in self.blocked:
                    self.blocked[dependant] = name
                    stack.append(dependant)
