"""Which policy acts, how and where: what all commands share that let one act before somebody, and what can be wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from rlctl.compatibility import EnvFacts
from rlctl.errors import CheckpointError, ConfigError, Problem, UsageError
from rlctl.launch.lend import Report, Target, find_target, prepare_target
from rlctl.launch.prepare import Prepared
from rlctl.launch.probe import probe_env
from rlctl.requirements import all_missing

Check = Callable[[str, EnvFacts], list[Problem]]
"""Says what is wrong with an environment, of its id and what it was found to be."""


@frozen(kw_only=True)
class ActingOptions:
    """How to act. `seed` None: the seeds of `rlctl evaluate`, whose episodes these then are; otherwise the first one.

    `random`: by chance instead of the policy. `env` holds what differs from the training's environment.
    """

    seed: int | None = None
    stochastic: bool = False
    random: bool = False
    env: Mapping[str, Any] = {}
    device: str | None = None
    trust: bool = False

    @property
    def acting(self) -> str:
        """How actions are chosen, in a word."""
        return "randomly" if self.random else "stochastically" if self.stochastic else "greedily"


def find_actor(
    target: str | None,
    config: Mapping[str, Any] | None,
    root: Path,
    options: ActingOptions,
    more: Iterable[Problem] = (),
) -> Target | None:
    """Return who is to act, None for chance alone; raises ConfigError with all that can be said without starting anything.

    Without a target, a `config` is a policy as its training would begin. `more` is what else is wrong.
    """
    alone = target is None and config is None
    problems = [*_contradictions(options, alone=alone), *more]
    found = None if alone else Target("an untrained policy", None, None, 0, 0, config or {})
    if target is not None:
        try:
            found = find_target(target, config, root)
        except (UsageError, CheckpointError) as error:
            name = target.rpartition(":")[0] or target
            problems.append(
                Problem("RUN", error.message, error.hint and error.hint.replace("--checkpoint ", f"{name}:"))
            )
    if problems:
        raise ConfigError(problems)
    return found


def _contradictions(options: ActingOptions, *, alone: bool) -> list[Problem]:
    problems = []
    if options.random and options.stochastic:
        problems.append(Problem("--random", "the policy is not asked, so it cannot be --stochastic.", "Keep one."))
    if alone and options.device is not None:
        problems.append(Problem("--device", "without RUN there is no policy that could be on a device."))
    return problems


def prepare_actor(found: Target, options: ActingOptions, report: Report, check: Check) -> Prepared:
    """Return the training that lends the policy; raises ConfigError with all that is wrong with it and its environment."""
    prepared = prepare_target(found, options.env, options.device, report)
    if prepared.env_facts is not None and prepared.config is not None:
        prepared.problems += check(str(prepared.config.env.id), prepared.env_facts)
    prepared.require_sound()
    return prepared


def env_alone(options: ActingOptions, check: Check) -> tuple[dict[str, Any], EnvFacts]:
    """Return the environment that `options.env` describes, and what it is; raises ConfigError if it cannot be used."""
    env = {"kwargs": {}, "imports": [], "max_episode_steps": None, **options.env}
    if reasons := all_missing(["gymnasium"]):
        raise ConfigError([Problem("--env", f"{reasons[0]}.", "pip install 'rlctl[gym]'", unavailable=True)])
    facts = probe_env(env)
    problems = check(env["id"], facts)
    if facts.error:
        problems = [Problem("--env", facts.error, facts.hint, unavailable=True)]
    if problems:
        raise ConfigError(problems)
    return env, facts
