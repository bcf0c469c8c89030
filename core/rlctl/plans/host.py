"""Runs a plan: starts what may begin, follows it, tries again, stops all at a signal, and says how each member ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection, Mapping

from attrs import define, field, frozen

from rlctl.errors import RlctlError
from rlctl.events import Result
from rlctl.launch.executor import Demand, NotStartedError
from rlctl.launch.supervise import Interruptions
from rlctl.plans.model import Member
from rlctl.plans.outcome import Ended, Follower, Outcome
from rlctl.plans.schedule import Schedule, Share, Slots
from rlctl.plans.store import PlanStore
from rlctl.runs.files import read_json

_POLL_SECONDS = 0.05
_PROGRESS_SECONDS = 10.0
_DISPLAY_SECONDS = 1.0

Report = Callable[[str], None]


@frozen(kw_only=True)
class Row:
    """How a member fares now, or fared; `step` and the rest are those of runs."""

    member: str
    kind: str
    state: str
    step: int | None = None
    return_mean: float | None = None
    steps_per_second: float | None = None
    reason: str = ""


Display = Callable[[list[Row]], None]
"""Is shown all members each second, those that go on first."""
Begin = Callable[[Member, Share], Follower | None]
"""Begins a member, or follows it again; None when another process trains it, which cannot be followed from here."""


@define
class _Active:
    """A member that has been begun, or that somebody else's process still trains (`follower` None)."""

    member: Member
    share: Share
    follower: Follower | None
    deadline: float | None


@define
class PlanHost:
    """Runs the members of a plan that are not finished. `again` are failed ones that are to be tried once more."""

    store: PlanStore
    begin: Begin
    demands: Mapping[str, Demand]
    slots: Slots
    report: Report
    keep_going: bool = True
    again: Collection[str] = ()
    display: Display | None = None
    wait: Callable[[float], None] = time.sleep
    """Waits so many seconds at most, until it may be worth to look again."""
    hand_over: Callable[[], None] = lambda: None
    """Is called when all that may begin at the moment was begun."""
    _ended: dict[str, Ended] = field(factory=dict)
    _settling: list[Follower] = field(factory=list)
    """Those that have ended, and are still being mirrored: the plan goes on meanwhile, and waits for them at its end."""
    _is_mirrored: bool = True
    _active: list[_Active] = field(factory=list)
    _tries: dict[str, int] = field(factory=dict)
    _handled: int = 0
    _stopping: bool = False
    _next_line: float = 0.0

    def run(self) -> Outcome:
        """Do all that can be done, and return how each member stands then."""
        for member in self.store.plan.members.values():
            standing = self.store.standing(member)
            failed = standing.state == "failed" and member.id not in self.again
            if standing.state == "finished":
                self._ended[member.id] = Ended("finished")
            elif failed:
                self._ended[member.id] = Ended("failed", standing.error_line())
        lost = [name for name, ended in self._ended.items() if ended.state == "failed"]
        done = [name for name, ended in self._ended.items() if ended.state == "finished"]
        schedule = Schedule(self.store.plan, self.demands, self.slots, done, lost)
        self._next_line = time.monotonic() + (0.0 if self.display else _PROGRESS_SECONDS)
        interruptions = Interruptions()
        with interruptions.caught():
            while True:
                self._handle(interruptions.received)
                moved = self._look(schedule)
                while not self._stopping and (found := schedule.next()) is not None:
                    moved = True
                    self._start(schedule, *found)
                self.hand_over()
                self._settle()
                if not self._active and not self._settling and not moved:
                    break
                if not moved:
                    self._say_progress()
                    self.wait(_POLL_SECONDS)
        for name, cause in schedule.blocked.items():
            self._ended[name] = Ended("blocked", f"needs {cause}")
        if self.display is not None:
            self.display(self._rows())
        members = {name: self._ended.get(name, Ended("pending")) for name in self.store.plan.members}
        return Outcome(members, is_mirrored=self._is_mirrored)

    # ---- one member ------------------------------------------------------------------------------------------------

    def _start(self, schedule: Schedule, member: Member, share: Share) -> None:
        self._tries[member.id] = self._tries.get(member.id, 0) + 1
        try:
            follower = self.begin(member, share)
        except (RlctlError, OSError) as error:
            self._not_started(schedule, member, share, error)
            return
        if follower is None:
            self.report(f"{member.id}: another process still trains it; waiting for its end")
            self._active.append(_Active(member, share, None, None))
            return
        limit = member.template.time_limit
        deadline = None if limit is None else time.monotonic() + limit
        self._active.append(_Active(member, share, follower, deadline))

    def _not_started(self, schedule: Schedule, member: Member, share: Share, error: Exception) -> None:
        schedule.give_back(share)
        self._take(schedule, member, Ended("failed", f"could not be started: {error}"))

    def _look(self, schedule: Schedule) -> bool:
        """Look at all that goes on; return whether something has ended."""
        still = []
        for active in self._active:
            follower = active.follower
            if follower is None:
                if not self._stopping and self.store.standing(active.member).state == "running":
                    still.append(active)
                    continue
                schedule.give_back(active.share)
                self._tries[active.member.id] -= 1
                if self.store.standing(active.member).state == "finished":
                    self._take(schedule, active.member, Ended("finished"))
                elif not self._stopping:
                    schedule.again(active.member.id)
                continue
            try:
                code = follower.look()
            except NotStartedError as error:
                self._not_started(schedule, active.member, active.share, error)
                continue
            if code is None:
                self._mind_the_time(active)
                still.append(active)
                continue
            schedule.give_back(active.share)
            result = follower.end(code)
            self._settling.append(follower)
            self._take(
                schedule, active.member, Ended(result.status, "" if result.status == "finished" else _why(result))
            )
        moved = len(still) < len(self._active)
        self._active = still
        return moved

    def _settle(self) -> None:
        """Forget those whose mirror is done, or cannot be."""
        still = []
        for follower in self._settling:
            settled = follower.settled()
            self._is_mirrored = self._is_mirrored and settled is not False
            if settled is None:
                still.append(follower)
        self._settling = still

    def _take(self, schedule: Schedule, member: Member, ended: Ended) -> None:
        """Note how a member ended, and what follows of it."""
        tries = self._tries.get(member.id, 0)
        if ended.state == "failed" and tries <= member.template.retries and not self._stopping:
            self.report(
                f"{member.id}: failed: {ended.reason}; try {tries + 1} of {member.template.retries + 1} follows"
            )
            schedule.again(member.id)
            return
        self._ended[member.id] = ended
        if ended.state == "finished":
            schedule.finished(member.id)
        else:
            schedule.failed(member.id)
        done = sum(item.state == "finished" for item in self._ended.values()) if len(self.demands) <= 100 else None
        count = "" if done is None else f" ({done} of {len(self.demands)} members are finished)"
        self.report(f"{member.id}: {ended.state}{': ' + ended.reason if ended.reason else ''}{count}")
        if ended.state == "failed" and not self.keep_going and not self._stopping:
            self.report("the first failure stops the plan")
            self._stop(signal.SIGTERM)

    def _mind_the_time(self, active: _Active) -> None:
        if active.deadline is None or time.monotonic() < active.deadline or active.follower is None:
            return
        active.deadline = None
        reason = f"the time limit of {active.member.template.time_limit:g} s is over"
        self.report(f"{active.member.id}: {reason}; it is stopped")
        if active.member.kind == "run":
            active.follower.directory.request_stop(reason)
        else:
            active.follower.interrupt(signal.SIGTERM)

    # ---- all of them -----------------------------------------------------------------------------------------------

    def _handle(self, received: list[int]) -> None:
        for number in received[self._handled :]:
            self._handled += 1
            self._stop(number)

    def _stop(self, number: int) -> None:
        if not self._stopping:
            self.report(f"stopping {len(self._active)} members at their next safe points; once more to kill")
        for follower in self._settling if self._stopping else ():
            follower.abandon()
        self._stopping = True
        for active in self._active:
            if active.follower is not None:
                active.follower.interrupt(number)

    def _say_progress(self) -> None:
        now = time.monotonic()
        if now < self._next_line:
            return
        if self.display is not None:
            self._next_line = now + _DISPLAY_SECONDS
            self.display(self._rows())
            return
        self._next_line = now + _PROGRESS_SECONDS
        for row in map(_row_of, self._active):
            if row.step is not None:
                shown = "-" if row.return_mean is None else f"{row.return_mean:.1f}"
                self.report(f"{row.member}: step {row.step}, return {shown}, {row.steps_per_second or 0:.0f} steps/s")

    def _rows(self) -> list[Row]:
        """Return how all members fare: those that go on, then those that have ended, the last one first, then the others."""
        going_on = {active.member.id for active in self._active}
        ended = [name for name in reversed(self._ended) if name not in going_on]
        pending = [name for name in self.store.plan.members if name not in going_on and name not in self._ended]
        members = self.store.plan.members
        return [
            *map(_row_of, self._active),
            *(_row_at_end(members[name], self._ended[name]) for name in ended),
            *(Row(member=name, kind=members[name].kind, state="pending") for name in pending),
        ]


def _row_at_end(member: Member, ended: Ended) -> Row:
    return Row(member=member.id, kind=member.kind, state=ended.state, reason=ended.reason)


def _row_of(active: _Active) -> Row:
    """Return how a member fares that has been begun, by its last heartbeat."""
    follower, run = active.follower, active.member.kind == "run"
    status = (read_json(follower.directory.status) if follower is not None and run else None) or {}
    return Row(
        member=active.member.id,
        kind=active.member.kind,
        state="running",
        step=status.get("step"),
        return_mean=status.get("return_mean"),
        steps_per_second=status.get("steps_per_second"),
    )


def _why(result: Result) -> str:
    """Return the last line that says why."""
    text = result.failure.message if result.failure is not None else result.reason
    return (text.strip().splitlines() or [result.reason])[-1]
