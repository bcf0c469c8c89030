"""Runs the trials of a sweep: in slots, seeds of a trial one after the other where it may be pruned, until all have ended.

How far a trial is, Optuna's storage and the directories of its runs say together. A trial is told to the storage when it
has ended, and a pruned one before its run is stopped; so a host may be killed at any moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from rlctl.errors import ConfigError, RlctlError
from rlctl.launch.executor import Demand, NotStartedError
from rlctl.launch.supervise import Interruptions, Supervisor
from rlctl.plans.checks import demands_of
from rlctl.plans.expansion import expand
from rlctl.plans.model import Member
from rlctl.plans.schedule import Share, Slots
from rlctl.plans.starting import Starter
from rlctl.plans.store import PlanStore, Standing
from rlctl_tune.checks import Ready
from rlctl_tune.samplers import values_of
from rlctl_tune.study import ask, reopened
from rlctl_tune.trials import Curve, Progress, curve_of, member_name, score_of, trial_source

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

_POLL_SECONDS = 0.1


@define
class _Run:
    """One seed of a trial that was begun, or that somebody else's process still trains (`follower` None)."""

    member: Member
    share: Share
    follower: Supervisor | None


@define
class _Going:
    """A trial that has not ended: `waiting` are seeds that were not begun yet, `runs` those that go on."""

    trial: Trial
    values: Mapping[str, Any]
    store: PlanStore
    starter: Starter
    demands: Mapping[str, Demand]
    progress: Progress
    waiting: list[Member]
    runs: list[_Run] = field(factory=list)
    cut_off: bool = False
    """One of its runs was stopped, by whom ever; the next host goes on with it."""
    over: str = ""
    """How it ended, while its runs are still about to."""

    @property
    def name(self) -> str:
        return member_name(self.trial.number)

    def standings(self) -> list[tuple[Member, Standing]]:
        """Return how each of its runs stands."""
        return [(member, self.store.standing(member)) for member in self.store.plan.members.values()]


@define
class SweepHost:
    """Runs the trials of a study that have not ended, and new ones, up to as many as the sweep says."""

    ready: Ready
    study: Study
    slots: Slots
    _going: list[_Going] = field(factory=list)
    _settling: list[Supervisor] = field(factory=list)
    """Those that have ended, and are still being mirrored."""
    _received: int = 0
    _stopping: bool = False

    def run(self) -> bool:
        """Do all that can be done. Return whether all trials have ended, unstopped; else the sweep can be gone on with."""
        from optuna.trial import TrialState

        for frozen in self.study.get_trials(states=(TrialState.RUNNING,)):
            self._open(reopened(self.study, self.ready.sweep, frozen), frozen.intermediate_values)
        interruptions = Interruptions()
        with interruptions.caught():
            while True:
                for number in interruptions.received[self._received :]:
                    self._stop(number)
                moved = [self._look(going) for going in list(self._going)]
                begun = not self._stopping and self._begin_next()
                if not begun:
                    self.ready.executors.hand_over()
                self._settling = [follower for follower in self._settling if follower.settled() is None]
                if not begun and not self._settling and not any(going.runs for going in self._going):
                    break
                if not begun and not any(moved):
                    self.ready.warm.wait(_POLL_SECONDS)
        self.ready.warm.close()
        if self._stopping:
            return False  # also when all has ended meanwhile: the fresh seeds were not to begin
        trials = self.study.get_trials(deepcopy=False)
        return len(trials) >= self.ready.sweep.trials and all(trial.state.is_finished() for trial in trials)

    # ---- beginning -------------------------------------------------------------------------------------------------

    def _begin_next(self) -> bool:
        """Begin a run that may begin, one of an open trial rather than of a new one; return whether there was any."""
        for going in self._going:
            one_by_one = self.ready.sweep.pruner.kind != "none"
            if going.cut_off or going.over or not going.waiting or (one_by_one and going.runs):
                continue
            member = going.waiting[0]
            if self.slots.lacking(going.demands[member.id]):
                return False  # a later one must not overtake it for ever
            del going.waiting[0]
            self._begin(going, member)
            return True
        trials = self.study.get_trials(deepcopy=False)
        proposed = any(trial.state.name == "WAITING" for trial in trials)  # a host was killed before it was opened
        if self.slots.lacking(self.ready.demand) or (len(trials) >= self.ready.sweep.trials and not proposed):
            return False
        self._open(ask(self.study, self.ready.sweep), {})
        return True

    def _open(self, trial: Trial, heard: Mapping[int, float]) -> None:
        """Take up a trial, new or cut off."""
        sweep = self.ready.sweep
        values = values_of(sweep.space, trial.params)
        try:
            store = PlanStore(expand(trial_source(sweep, trial.number, values)), self.ready.runs_root)
            starter = self.ready.starter(store)
            demands, problems = demands_of(store.plan, self.slots_in_all(), starter)
            if problems:
                raise ConfigError(problems)
        except RlctlError as error:
            self._tell(trial, "FAIL", None, f"could not be started: {error}")
            return
        progress = Progress(self.ready.per_seed)
        progress.heard(list(heard))
        going = _Going(trial, values, store, starter, demands, progress, list(store.plan.members.values()))
        self._going.append(going)
        said = ", ".join(f"{key.rpartition('.')[2]}={_short(value)}" for key, value in values.items())
        self.ready.report(f"{going.name}: {'goes on' if heard or self._begun(going) else 'begins'}: {said}")

    def slots_in_all(self) -> Slots:
        """Return what the machine has when nothing runs."""
        return self.ready.slots()

    def _begun(self, going: _Going) -> bool:
        return any(standing.directory is not None for _, standing in going.standings())

    def _begin(self, going: _Going, member: Member) -> None:
        standing = going.store.standing(member)
        if standing.state in ("finished", "failed"):
            return  # an earlier host saw it through
        share = self.slots.take(going.demands[member.id])
        try:
            follower = going.starter.begin(member, share)
        except (RlctlError, OSError) as error:
            self.slots.give_back(share)
            self._not_started(going, error)
            return
        if follower is None:
            self.ready.report(f"{member.id}: another process still trains it; waiting for its end")
        going.runs.append(_Run(member, share, follower))

    # ---- following -------------------------------------------------------------------------------------------------

    def _look(self, going: _Going) -> bool:
        """Look at a trial's runs; return whether anything has ended."""
        still = [run for run in going.runs if not self._ended(going, run)]
        moved = len(still) < len(going.runs)
        going.runs = still
        if not going.over:
            self._prune(going)
        if not going.over and (moved or not going.runs):
            moved |= self._judge(going)
        if going.over and not going.runs:
            self._going.remove(going)
            return True
        return moved

    def _ended(self, going: _Going, run: _Run) -> bool:
        """Return whether a run has ended, its slots given back."""
        if run.follower is None:
            if not self._stopping and going.store.standing(run.member).state == "running":
                return False
            if going.store.standing(run.member).state in ("stopped", "pending"):
                going.waiting.insert(0, run.member)  # its host was killed, and it has saved and ended
        else:
            try:
                code = run.follower.look()
            except NotStartedError as error:
                self.slots.give_back(run.share)
                self._not_started(going, error)
                return True
            if code is None:
                return False
            result = run.follower.end(code)
            self._settling.append(run.follower)
            going.cut_off |= result.status == "stopped"
        self.slots.give_back(run.share)
        return True

    def _not_started(self, going: _Going, error: Exception) -> None:
        if not going.over:  # by another one of its runs
            self._end(going, "FAIL", None, f"could not be started: {error}")

    def _curves(self, going: _Going) -> list[Curve]:
        """Return the evaluations of those seeds that were begun, up to the first that was not."""
        curves = []
        for _, standing in going.standings():
            if standing.directory is None:
                break
            curves.append(curve_of(standing.directory.path, self.ready.every_steps))
        return curves

    def _prune(self, going: _Going) -> None:
        """Tell the pruner what was measured since, and stop the trial if it says so."""
        if self.ready.sweep.pruner.kind == "none":
            return
        going.progress.curves = self._curves(going)
        for resource, mean in going.progress.reports():
            going.trial.report(mean, resource)
            if going.trial.should_prune():
                self._end(going, "PRUNED", None, f"pruned after {resource} evaluations, at a return of {mean:.1f}")
                return

    def _judge(self, going: _Going) -> bool:
        """End a trial one of whose runs has failed, or all of which are finished; return whether it has ended."""
        standings = going.standings()
        for member, standing in standings:
            if standing.state == "failed":
                self._end(going, "FAIL", None, f"{member.id} failed: {standing.error_line()}")
                return True
        if any(standing.state != "finished" for _, standing in standings):
            return False
        score, seeds = score_of(self._curves(going), self.ready.sweep.score)
        going.trial.set_user_attr("scores", seeds)
        if score is None:
            self._end(going, "FAIL", None, "its evaluations are no numbers, or there is none")
        else:
            self._end(going, "COMPLETE", score, f"score {score:.2f}")
        return True

    def _end(self, going: _Going, state: str, score: float | None, sentence: str) -> None:
        """Tell the storage how a trial ended, and stop what still trains for it."""
        self._tell(going.trial, state, score, sentence)
        going.over, going.waiting = state, []
        for run in going.runs:
            if run.follower is not None:
                run.follower.directory.request_stop(f"sweep {self.ready.sweep.name}: {sentence}")

    def _tell(self, trial: Trial, state: str, score: float | None, sentence: str) -> None:
        from optuna.trial import TrialState

        trial.set_user_attr("sentence", sentence)
        self.study.tell(trial, score, state=TrialState[state])
        trials = self.study.get_trials(deepcopy=False)
        done = sum(item.state.is_finished() for item in trials)
        self.ready.report(
            f"{member_name(trial.number)}: {sentence} ({done} of {self.ready.sweep.trials} trials have ended)"
        )

    def _stop(self, number: int) -> None:
        self._received += 1
        for follower in self._settling if self._stopping else ():
            follower.abandon()
        if not self._stopping:
            count = sum(len(going.runs) for going in self._going)
            self.ready.report(f"stopping {count} runs at their next safe points; once more to kill")
        self._stopping = True
        for run in (run for going in self._going for run in going.runs):
            if run.follower is not None:
                run.follower.interrupt(number)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
