"""Settings that are valid one by one and make no sense together; light, for the host process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rlctl import Problem, RunConfig
from rlctl.errors import did_you_mean
from rlctl_dqn.algorithms import ALGORITHMS
from rlctl_dqn.config import EXTRACTORS, hyperparameters, not_fast

_DOTTED = re.compile(r"[\w.]+:[\w.]+")
_BELONGS: dict[str, tuple[str, Any]] = {
    **dict.fromkeys(
        ("priority_exponent", "priority_epsilon", "importance_initial", "importance_final"), ("prioritized", True)
    ),
    **dict.fromkeys(("atoms", "v_min", "v_max"), ("distribution", "categorical")),
    "quantiles": ("distribution", "quantile"),
    **dict.fromkeys(("munchausen_alpha", "munchausen_tau", "munchausen_clip"), ("munchausen", True)),
    "exploration_fraction": ("exploration_schedule", "linear"),
    "exploration_decay": ("exploration_schedule", "exponential"),
}
"""Setting → the one that it is a detail of, and the value of that with which it means something."""
_Found = Iterator[tuple[str, str, str | None]]
"""Name of the setting, what is wrong, what to do."""


def problems_in(config: RunConfig) -> Iterator[Problem]:
    """Yield everything that is valid for itself but makes no sense together, or for this budget."""
    parameters = hyperparameters(config.algo if config.algo in ALGORITHMS else "dqn")
    defaults = {parameter.name: parameter.default for parameter in parameters}
    settings = dict(defaults)
    for parameter in parameters:
        value = config.hyperparameters.get(parameter.name, parameter.default)
        if parameter.problem_with(value) is None:  # what is wrong by itself is refused already
            settings[parameter.name] = value
    budget = config.total_timesteps if config.total_episodes is None else None
    problems = (
        *_without_effect(settings, defaults),
        *_contradictions(settings),
        *_wrapped(settings, config),
        *_exploration(settings),
        *_sizes(settings, budget),
        *_network(settings, defaults),
    )
    for name, message, hint in problems:
        yield Problem(f"hyperparameters.{name}", message, hint)


def _without_effect(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> _Found:
    """What differs from its default was meant to do something."""
    for name, (owner, value) in _BELONGS.items():
        if settings[name] != defaults[name] and settings[owner] != value:
            said = "true" if value is True else value
            yield name, f"has no effect, as {owner} is not {said}.", f"Set {owner} to {said}, or leave {name} out."
    if settings["loss"] != defaults["loss"] and settings["distribution"] != "none":
        yield (
            "loss",
            f"has no effect with distribution {settings['distribution']}, which brings its own.",
            "Leave loss out.",
        )


def _contradictions(settings: Mapping[str, Any]) -> _Found:
    if settings["munchausen"]:
        if settings["distribution"] != "none":
            yield "munchausen", "needs action values, not a distribution.", "Set distribution to none."
        if settings["double"]:
            yield "munchausen", "has a softmax where double chooses an action.", "Set double to false."
        if settings["n_step"] > 1:
            yield "munchausen", "adds to the reward of one step, n_step sums several.", "Set n_step to 1."
    reason = not_fast(settings)
    if settings["path"] == "fast" and reason is not None:
        yield "path", f"the fast one does not do {reason}.", "Leave path at auto."
    if settings["vectorization"] == "native" and settings["n_step"] > 1:
        yield "vectorization", "native stores all steps at once, n_step needs them one by one.", "Set it to auto."
    if settings["distribution"] == "categorical" and not settings["v_min"] < settings["v_max"]:
        message = f"must be less than v_max, got {settings['v_min']:g} and {settings['v_max']:g}"
        yield "v_min", message, None


def _wrapped(settings: Mapping[str, Any], config: RunConfig) -> _Found:
    if settings["vectorization"] == "native" and config.env.wrappers:
        yield "vectorization", "native steps all at once, env.wrappers go around single ones.", "Set it to auto."
    if settings["vectorization"] == "native" and config.env.curriculum:
        yield "vectorization", "native steps all at once, env.curriculum changes them one by one.", "Set it to auto."


def _exploration(settings: Mapping[str, Any]) -> _Found:
    ends = ("exploration_initial", "exploration_final")
    if settings["noisy"]:
        for name in ends:
            if settings[name] > 0:
                yield name, f"is {settings[name]:g}, but noisy explores by itself.", f"Set {name} to 0."
    elif all(settings[name] == 0 for name in ends):
        yield "exploration_initial", "is 0 to the end, and noisy is off: nothing explores.", "Set it to 1, say."


def _sizes(settings: Mapping[str, Any], budget: int | None) -> _Found:
    starts, batch = settings["learning_starts"], settings["batch_size"]
    if starts < batch:
        yield "learning_starts", f"must be at least batch_size, {batch}, got {starts}", None
    if budget is not None and starts >= budget:
        message = f"is {starts}, but the run ends after {budget} steps: it would learn nothing."
        yield "learning_starts", message, "Set it lower, or give more steps."
    if settings["buffer_size"] < batch:
        yield "buffer_size", f"must be at least batch_size, {batch}, got {settings['buffer_size']}", None


def _network(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> _Found:
    for size in settings["hidden_sizes"]:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            yield "hidden_sizes", f"expected integers of at least 1, got {size!r}", None
            break
    name = settings["extractor"]
    if name not in EXTRACTORS and not _DOTTED.fullmatch(name):
        message = f'expected one of {", ".join(EXTRACTORS)} or "package.module:Class", got "{name}".'
        yield "extractor", message, did_you_mean(name, EXTRACTORS)
        return
    if settings["hidden_sizes"] != defaults["hidden_sizes"] and name not in ("auto", "mlp"):
        yield "hidden_sizes", f"has no effect with extractor {name}.", "Leave hidden_sizes out."
    if settings["features"] != defaults["features"] and name not in ("auto", "nature", "impala"):
        yield "features", f"has no effect with extractor {name}, which is no CNN of ours.", "Leave features out."
