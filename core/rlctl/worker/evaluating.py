"""Evaluates the policy while it trains: when that is due, what it found, which checkpoint is the best, and whether to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import define, field

from rlctl.config.curriculum import final_env
from rlctl.evaluations import (
    MAX_NUM_ENVS,
    EvaluatedEpisode,
    Evaluation,
    EvaluationRequest,
    evaluation_seeds,
    evaluations_of,
)
from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.files import append_line, read_lines
from rlctl.runs.lease import leave_if_fenced
from rlctl.worker.early_stopping import stops_after_evaluation
from rlctl.worker.protocol import Policy, Resumable

Measure = Callable[[Policy, EvaluationRequest, Callable[[], bool]], list[EvaluatedEpisode]]
"""`measure(policy, request, go_on)`: asks `go_on()` after each step, and if that is False returns what has ended so far."""


@define
class Evaluator:
    """Measures a run's policy. All that it knows is in evaluations.jsonl, so a resumed run has it where that is cut back.

    `every_*` None: not for that reason. `request` is the same each time: the same seeds make two evaluations comparable.
    """

    file: Path
    checkpoints: CheckpointFolder
    request: EvaluationRequest
    measure: Measure
    every_steps: int | None
    every_episodes: int | None
    early_stopping: Mapping[str, Any]
    keep_best: int = 1
    history: list[Evaluation] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.history = evaluations_of(read_lines(self.file))
        self._link_best()

    def is_due(self, step: int, episodes: int) -> bool:
        """Return whether so many steps or episodes have passed since the last one; never twice at one step."""
        last = self.history[-1] if self.history else None
        if last is not None and last.step == step:
            return False
        by_steps = _passed(self.every_steps, last.step if last else 0, step)
        return by_steps or _passed(self.every_episodes, last.episodes if last else 0, episodes)

    def evaluate(self, state: Resumable, go_on: Callable[[], bool], **known: Any) -> Evaluation | None:
        """Measure the policy of `state`, write it down, and let `best` be the best; `known` are fields of the Evaluation.

        None when `go_on` ended it: a part of an evaluation is none, and it is made anew when the run is resumed.
        """
        began = time.perf_counter()
        with state.policy(self.request.seeds[0]) as policy:
            measured = self.measure(policy, self.request, go_on)
        if len(measured) < len(self.request.seeds):
            return None
        known["duration"] = time.perf_counter() - began
        made = Evaluation(measured=tuple(measured), greedy=self.request.greedy, gamma=self.request.gamma, **known)
        best = self.best()
        # Of equal ones the later: it has seen more. What is no number is never the best.
        is_best = made.checkpoint is not None and made.return_mean >= (best.return_mean if best else -math.inf)
        made = attrs.evolve(made, best=is_best)
        leave_if_fenced(self.checkpoints.stage)
        append_line(self.file, made.to_json(), durable=True)
        self.history.append(made)
        self._link_best()
        return made

    def ranking(self) -> list[Evaluation]:
        """Return the evaluations that can be the best, the best first, of equal ones the later first.

        Those are of a policy that is saved, with a mean that is a number.
        """
        numbers = [item for item in self.history if item.checkpoint and not math.isnan(item.return_mean)]
        return sorted(numbers, key=lambda item: (item.return_mean, item.step), reverse=True)

    @property
    def evaluated_step(self) -> int | None:
        """The step of the last evaluation."""
        return self.history[-1].step if self.history else None

    def best(self) -> Evaluation | None:
        """Return the best evaluation so far."""
        return next(iter(self.ranking()), None)

    def steps_to_keep(self) -> set[int]:
        """Return the steps whose checkpoints are not to be removed."""
        return {item.step for item in self.ranking()[: self.keep_best]}

    def reason_to_stop(self) -> str | None:
        """Return why the run should end now, or None."""
        return stops_after_evaluation(self.early_stopping, self.history)

    def _link_best(self) -> None:
        saved = {bundle.step: bundle for bundle in self.checkpoints.all()}
        best = next((saved[item.step] for item in self.ranking() if item.step in saved), None)
        self.checkpoints.link("best", best.path if best else None)


def _passed(every: int | None, before: int, now: int) -> bool:
    return every is not None and now // every > before // every


def training_request(config: Mapping[str, Any]) -> EvaluationRequest:
    """Return what an evaluation during training measures, from the run's effective configuration."""
    said, env = config["evaluation"], final_env(config["env"])
    count, first = said["episodes"], said["seed"]
    own = evaluation_seeds(config["seed"], count, num_envs=env["num_envs"])
    if said["max_episode_steps"] is not None:
        env["max_episode_steps"] = said["max_episode_steps"]
    trained_gamma = config["hyperparameters"].get("gamma")
    return EvaluationRequest(
        env=env,
        seeds=own if first is None else tuple(range(first, first + count)),
        num_envs=min(count, said["num_envs"] or MAX_NUM_ENVS),
        greedy=not said["stochastic"],
        gamma=said["gamma"] if said["gamma"] is not None else trained_gamma,
        trained_gamma=trained_gamma,
    )
