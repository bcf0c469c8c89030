"""Settings that are each allowed but make no sense together: pure, from a configuration to problems."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from rlctl.config.schema import RunConfig
from rlctl.errors import Problem
from rlctl.evaluations import training_seeds


def impossible_combinations(config: RunConfig) -> list[Problem]:
    """Return what contradicts itself in a configuration whose values are all of the right kind."""
    return [*_evaluation(config), *_early_stopping(config), *_checkpoint(config), *_init_from(config)]


def evaluates(config: RunConfig) -> bool:
    """Return whether the run evaluates during training."""
    return config.evaluation.every_steps is not None or config.evaluation.every_episodes is not None


def _evaluation(config: RunConfig) -> Iterator[Problem]:
    first = config.evaluation.seed
    if not evaluates(config):
        for item in attrs.fields(type(config.evaluation)):
            if getattr(config.evaluation, item.name) != item.default:
                hint = "Set evaluation.every_steps or evaluation.every_episodes."
                yield Problem(f"evaluation.{item.name}", "has no effect, as this run is not evaluated.", hint)
        return
    if first is None:
        return
    taken = training_seeds(config.seed, config.env.num_envs)
    wanted = range(first, first + config.evaluation.episodes)
    if max(taken.start, wanted.start) < min(taken.stop, wanted.stop):
        message = (
            f"the seeds {wanted.start} to {wanted.stop - 1} of the evaluation meet those of the training, "
            f"{taken.start} to {taken.stop - 1}"
        )
        yield Problem("evaluation.seed", message, "Leave it out, and seeds are chosen that training never sees.")


def _early_stopping(config: RunConfig) -> Iterator[Problem]:
    stopping, default = config.early_stopping, type(config.early_stopping)()
    if stopping.threshold is None and stopping.patience is None:
        for name in ("metric", "min_delta", "min_timesteps"):
            if getattr(stopping, name) != getattr(default, name):
                message = "has no effect: there is neither a threshold nor patience."
                yield Problem(f"early_stopping.{name}", message, "Set one.")
        return
    if stopping.patience is None and stopping.min_delta != default.min_delta:
        yield Problem("early_stopping.min_delta", "has no effect without patience.", "Set early_stopping.patience.")
    needs_evaluation = stopping.patience is not None or stopping.metric == "evaluation"
    if needs_evaluation and not evaluates(config):
        which = "patience" if stopping.patience is not None else "threshold"
        hint = "Set evaluation.every_steps or evaluation.every_episodes"
        hint += "." if which == "patience" else ", or early_stopping.metric to training."
        yield Problem(f"early_stopping.{which}", "counts evaluations, and this run has none.", hint)
    if config.total_timesteps is not None and stopping.min_timesteps >= config.total_timesteps:
        message = f"{stopping.min_timesteps} is not below the budget of {config.total_timesteps} steps: it could never stop early"
        yield Problem("early_stopping.min_timesteps", message)


def _checkpoint(config: RunConfig) -> Iterator[Problem]:
    for value in config.checkpoint.milestones:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            yield Problem("checkpoint.milestones", f"expected steps, whole numbers from 1 on, got {value!r}")


def _init_from(config: RunConfig) -> Iterator[Problem]:
    if config.trust and config.init_from is None:
        yield Problem("trust", "has no effect without init_from.")
