"""Evaluates the policy of a run's checkpoint, or of a library's own file, in a process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from rlctl.evaluations import MAX_NUM_ENVS, Evaluation, EvaluationRequest, evaluation_seeds
from rlctl.launch.lend import Report, Target, find_target, lend, prepare_target
from rlctl.launch.prepare import Prepared
from rlctl.runs.files import append_line
from rlctl.runs.store import default_root

_PROCESS = "rlctl.gym.evaluation_process"


@frozen(kw_only=True)
class EvaluationOptions:
    """How to evaluate. `seed` None: seeds that follow from the run's, and that neither its training nor its choice of the
    best has seen; otherwise the first one, counting up. `env` holds what differs from the training's environment.
    """

    episodes: int = 20
    seed: int | None = None
    stochastic: bool = False
    video: bool = False
    env: Mapping[str, Any] = {}
    gamma: float | None = None
    num_envs: int | None = None
    time_limit: float | None = None
    repeat: int = 1
    device: str | None = None
    trust: bool = False


@frozen
class Evaluated:
    """What was evaluated, and what was found: one evaluation for each repetition."""

    what: str
    path: Path
    step: int
    evaluations: tuple[Evaluation, ...]

    @property
    def returns(self) -> list[float]:
        """The returns of all episodes of all repetitions."""
        return [value for evaluation in self.evaluations for value in evaluation.returns]


def evaluate(
    target: str | Path,
    *,
    checkpoint: str = "latest",
    config: Mapping[str, Any] | None = None,
    options: EvaluationOptions | None = None,
    runs_dir: str | Path | None = None,
    report: Report | None = None,
) -> Evaluated:
    """Evaluate a run's checkpoint (`latest`, `best` or a step), or a file such as SB3's zip with the `config` it needs.

    Nothing of the run is changed but its evaluations_after.jsonl, which gets a line for each evaluation. Raises ConfigError,
    UsageError, CheckpointError, NotAvailableError, and RlctlError with the process's words when it fails.
    """
    options = options or EvaluationOptions()
    report = report or (lambda line: print(f"rlctl: {line}", file=sys.stderr, flush=True))
    reference = str(target) if Path(target).is_file() else f"{target}:{checkpoint}"
    found = find_target(reference, config, Path(runs_dir or default_root()))
    prepared = prepare_target(found, options.env, options.device, report)
    prepared.require_sound()
    requests = [attrs.asdict(request) for request in _requests(options, prepared, found)]
    answer = lend(_PROCESS, prepared, {**found.identity(trust=options.trust), "requests": requests})
    evaluations = [Evaluation.from_json(line) for line in answer["evaluations"]]
    if found.directory is not None:
        for evaluation in evaluations:
            # Relative, so that a run can be moved with its films.
            videos = [os.path.relpath(path, found.directory.path) for path in evaluation.videos]
            line = {**evaluation.to_json(), "env": prepared.effective()["env"], "videos": videos}
            append_line(found.directory.path / "evaluations_after.jsonl", line, durable=True)
    assert found.path is not None  # what was found by a reference is somewhere
    return Evaluated(found.what, found.path, found.step, tuple(evaluations))


def _requests(options: EvaluationOptions, prepared: Prepared, found: Target) -> list[EvaluationRequest]:
    config = prepared.effective()
    count = options.episodes * options.repeat
    if options.seed is None:
        seeds = evaluation_seeds(config["seed"], count, purpose="evaluate", num_envs=num_envs_of(found.config))
    else:
        seeds = tuple(range(options.seed, options.seed + count))
    trained_gamma = config["hyperparameters"].get("gamma")
    gamma = options.gamma if options.gamma is not None else trained_gamma
    num_envs = options.num_envs or (1 if options.video else min(options.episodes, MAX_NUM_ENVS))
    folder = (found.directory.path if found.directory else Path.cwd()) / "videos" / f"evaluation-{found.step:012d}"
    return [
        EvaluationRequest(
            env=config["env"],
            seeds=seeds[index * options.episodes : (index + 1) * options.episodes],
            num_envs=num_envs,
            greedy=not options.stochastic,
            gamma=gamma,
            trained_gamma=trained_gamma,
            time_limit=options.time_limit,
            video=str(folder) if options.video else None,
        )
        for index in range(options.repeat)
    ]


def num_envs_of(config: Mapping[str, Any]) -> int | None:
    """Return how many environments a training steps, by its configuration; None where that is the algorithm's."""
    env = config.get("env")
    return env.get("num_envs") if isinstance(env, Mapping) else None
