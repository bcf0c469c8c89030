"""SB3's replay buffers as settings: what they can be given, and what hindsight (HER) needs of an environment. Light."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rlctl import NotAvailableError, Problem, RlctlError
from rlctl.errors import did_you_mean
from rlctl_sb3.signatures import parameters_of_class

_PACKAGE = "stable_baselines3"
_FILES = {
    "ReplayBuffer": "common/buffers", "DictReplayBuffer": "common/buffers", "HerReplayBuffer": "her/her_replay_buffer",
}  # fmt: skip
# What an algorithm gives its buffer itself.
_GIVEN = {
    "self",
    "buffer_size",
    "observation_space",
    "action_space",
    "env",
    "device",
    "n_envs",
    "optimize_memory_usage",
}
STRATEGIES = ("future", "final", "episode")
"""Where HER takes the goals from that were not the agent's."""
GOALS = ("observation", "achieved_goal", "desired_goal")
"""What each observation of an environment with goals has."""


def buffer_problems(hyperparameters: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what `replay_buffer_kwargs` says that SB3's own buffers do not take; of other classes nothing is known."""
    given, path = hyperparameters.get("replay_buffer_kwargs"), "hyperparameters.replay_buffer_kwargs"
    name = _sb3s_own(hyperparameters.get("replay_buffer_class"))
    if not isinstance(given, Mapping) or name is None:
        return
    try:
        known = {parameter.name: parameter for parameter in parameters_of_class(_PACKAGE, _FILES[name], name)}
    except NotAvailableError:
        return  # the run is refused for that
    for key, value in given.items():
        if key not in known or key in _GIVEN:
            yield Problem(f"{path}.{key}", f"{name} takes no such argument.", did_you_mean(key, set(known) - _GIVEN))
        elif key == "goal_selection_strategy":
            if value not in STRATEGIES:
                hint = did_you_mean(str(value), STRATEGIES)
                yield Problem(f"{path}.{key}", f'expected one of {", ".join(STRATEGIES)}, got "{value}".', hint)
        elif reason := known[key].problem_with(value):
            yield Problem(f"{path}.{key}", reason)


def _sb3s_own(said: Any) -> str | None:
    """Return the name of a buffer of SB3 itself; None for a class of somebody else."""
    if said is None:
        return "ReplayBuffer"
    package, _, name = str(said).partition(":")
    return name if package.partition(".")[0] == _PACKAGE and name in _FILES else None


def require_goals(hyperparameters: Mapping[str, Any], observations: Any, env_id: str) -> None:
    """Raise RlctlError if hindsight is asked for in an environment that has no goals."""
    if _sb3s_own(hyperparameters.get("replay_buffer_class")) != "HerReplayBuffer":
        return
    if not set(GOALS) <= set(getattr(observations, "spaces", ())):
        raise RlctlError(
            f"HerReplayBuffer learns from goals that were reached instead, and {env_id} has none: its observations are "
            f"{observations}.",
            hint=f"It needs a Dict of {', '.join(GOALS)}, and the environment's method compute_reward.",
        )
