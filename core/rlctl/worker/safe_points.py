"""What is done where the attached state is whole: the policy is evaluated and shown, the state saved."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rlctl.errors import RlctlError
from rlctl.evaluations import Evaluation
from rlctl.runs.checkpoints import Checkpoint
from rlctl.worker.dispatch import Dispatcher
from rlctl.worker.evaluating import Evaluator
from rlctl.worker.protocol import Resumable
from rlctl.worker.saving import Saver
from rlctl.worker.stopping import early_stop

if TYPE_CHECKING:
    from rlctl.worker.run import Run

SAFE_POINT = "rlctl_safe_point"


class SafePoints:
    """The safe points of one run; `state` is what the backend has attached."""

    def __init__(self, run: Run, dispatcher: Dispatcher, saver: Saver | None, evaluator: Evaluator | None) -> None:
        self._run = run
        self._dispatcher = dispatcher
        self.saver = saver
        self.evaluator = evaluator
        self.state: Resumable | None = None

    def attach(self, state: Resumable) -> None:
        """Take note of what is to be saved, evaluated and shown."""
        self.state = state
        if self.saver is not None:
            self.saver.state = state

    def reached(self, seconds: float) -> None:
        """Do what is due after so many seconds of training."""
        run, evaluator = self._run, self.evaluator
        if run.stop is None and evaluator is not None and evaluator.is_due(run.step, run.episodes):
            self._evaluate(evaluator)
        self._show_policy()
        if self.saver is not None:
            if run.stop is not None and run.stop.kind != "timesteps":
                run.save("final")
            elif self.saver.is_due(run.step, seconds):
                run.save()

    def finish(self) -> None:
        """Save what the training has become, and evaluate it if it came to its own end."""
        run, evaluator = self._run, self.evaluator
        run.save("final")
        stopped = run.stop is not None and run.stop.kind == "request"
        if evaluator is not None and not stopped and evaluator.evaluated_step != run.step:
            self._evaluate(evaluator)
        self._show_policy()

    def save(self, reason: str) -> Checkpoint | None:
        """Save a checkpoint now, if this step has none."""
        if self.saver is None:
            return None
        progress = self._run.progress()
        if self.state is not None and self.saver.saved_at(progress.step) is None:
            self._dispatcher.call("rlctl_checkpoint_due", progress=progress)
        returns = [value if math.isfinite(value) else repr(value) for value in self._run.last_returns]
        counters: dict[str, Any] = {"step": progress.step, "episodes": progress.episodes, "returns": returns}
        counters |= self._run.curriculum.counters()
        return self.saver.save({**counters, "seconds": round(progress.seconds, 3)}, progress.seconds, reason)

    def lend_once(self) -> None:
        """Lend the policy for a moment, if it will be evaluated: what cannot be lent is better known now than after hours."""
        if self.evaluator is not None and self.state is not None:
            with self.state.policy(self._run.seed):
                pass

    def resumed_from(self, checkpoint: Checkpoint, seconds: float) -> None:
        """Go on from a checkpoint; what was told of an evaluation at its step came after it, and is told again."""
        if self.saver is not None:
            self.saver.resumed_from(checkpoint, seconds)
        if self.evaluator is not None and self.evaluator.evaluated_step == self._run.step:
            self._tell_of(self.evaluator, self.evaluator.history[-1])

    def _evaluate(self, evaluator: Evaluator) -> None:
        """Evaluate the policy as it is, saved first: what was measured can be had; and end the run if that says so."""
        run = self._run
        if self.state is None:
            raise RlctlError(f"{run.info.worker} attaches no state, so its policy cannot be evaluated")
        saved = run.save("evaluation")
        progress = run.progress()
        known = {
            "step": progress.step, "episodes": progress.episodes, "training_return_mean": progress.return_mean,
            "checkpoint": saved.sha256() if saved is not None else None, "seconds": progress.seconds,
        }  # fmt: skip
        evaluation = evaluator.evaluate(self.state, run.goes_on, **known)
        if evaluation is not None:
            self._tell_of(evaluator, evaluation)

    def _tell_of(self, evaluator: Evaluator, evaluation: Evaluation) -> None:
        if self.saver is not None:
            self.saver.keep = evaluator.steps_to_keep()
        self._run.record_metrics(evaluation.metrics())
        self._dispatcher.call("rlctl_evaluation_ended", evaluation=evaluation)
        self._run.stop = self._run.stop or early_stop(evaluator.reason_to_stop())

    def _show_policy(self) -> None:
        """Offer the policy to who wants to look at it, unless somebody waits for the end."""
        stop = self._run.stop
        if self.state is None or (stop is not None and stop.kind == "request"):
            return
        if self._dispatcher.wants(SAFE_POINT):
            progress = self._run.progress()
            self._dispatcher.call(SAFE_POINT, progress=progress, lend=self.state.policy, go_on=self._run.goes_on)
