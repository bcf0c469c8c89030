"""The policy of a script, found among its globals by the names and methods that CleanRL's scripts share."""

from __future__ import annotations

import contextlib
import inspect
import random
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical, Normal

from rlctl import Network, RlctlError
from rlctl.gym.env_state import links
from rlctl.gym.environments import make_bare_env
from rlctl_cleanrl.export import action_values, network_of

_ACTING = ("agent", "q_network", "actor")
"""What scripts call the network that acts, the first one that is there."""


class ScriptPolicy:
    """Acts with the networks of a script, in environments that the script's own `make_env` makes.

    `statistics` are those by which the observations of the training were normalised, one for each environment.
    """

    def __init__(self, script: dict[str, Any], statistics: list[dict[str, Any]], step: int) -> None:
        if not any(isinstance(script.get(name), nn.Module) for name in _ACTING):
            raise RlctlError(
                f"none of {', '.join(_ACTING)} is a PyTorch network of the script: it is not known how it acts."
            )
        self._script = script
        self._statistics = merged(statistics) if statistics else None
        self._step = step
        self._memory: Any = None

    def make_env(self, env: Mapping[str, Any], **kwargs: Any) -> gymnasium.Env[Any, Any]:
        """Return an environment as the script wraps it; what it has learned to normalise by stands still."""
        make = self._script.get("make_env")
        if make is None:
            return make_bare_env(env, **kwargs)  # the worker has let `gymnasium.make` put the wrappers around it
        args = self._script["args"]
        known: dict[str, Any] = {"env_id": env["id"], "seed": 0, "idx": 0, "capture_video": False, "run_name": ""}
        known["gamma"] = getattr(args, "gamma", 0.99)
        with _registered_with({**(env.get("kwargs") or {}), **kwargs}, env):
            made = make(**{name: known[name] for name in inspect.signature(make).parameters})()
        for link in links(made):
            if type(link).__name__ == "NormalizeObservation" and self._statistics is not None:
                link.obs_rms = _Frozen(**self._statistics)
        wrapped: gymnasium.Env[Any, Any] = made
        return wrapped

    @torch.no_grad()
    def act(self, observations: Any, *, greedy: bool, started: Any) -> Any:
        """Return actions for observations (num_envs, ...)."""
        device = self._script.get("device", torch.device("cpu"))
        tensor = torch.as_tensor(np.asarray(observations), dtype=torch.float32, device=device)
        with _modes_instead_of_samples() if greedy else contextlib.nullcontext():
            actions = self._act(tensor, torch.as_tensor(started, dtype=torch.float32, device=device), greedy)
        return actions.cpu().numpy()

    def network(self, env: Mapping[str, Any]) -> Network:
        """Return the greedy policy as one network, what the script's wrappers do to observations and actions included."""
        name = next(name for name in _ACTING if isinstance(self._script.get(name), nn.Module))

        def greedy(name: str, network: nn.Module, observations: torch.Tensor) -> torch.Tensor:
            own = ScriptPolicy({**self._script, name: network}, [], self._step)
            with _modes_instead_of_samples():
                return own._act(observations, observations[:, :1], greedy=True)

        def act(observations: Any) -> Any:
            return self.act(observations, greedy=True, started=np.ones(len(observations), bool))

        return network_of(name, self._script[name], greedy, self.make_env, act, env)

    def _act(self, observations: torch.Tensor, started: torch.Tensor, greedy: bool) -> torch.Tensor:
        script = self._script
        if "agent" in script and hasattr(script["agent"], "lstm"):
            actions = self._remembering(observations, started)
        elif "agent" in script:
            actions = script["agent"].get_action_and_value(observations)[0]
        elif "q_network" in script:
            best = _best_of(script["q_network"], observations)
            actions = best if greedy else self._explored(best)
        elif "actor" in script and hasattr(script["actor"], "get_action"):
            actions = script["actor"].get_action(observations)[0]
        elif greedy:
            actions = script["actor"](observations)
        else:
            raise RlctlError("the policy of this script is deterministic: it has nothing to sample.")
        return actions

    def _remembering(self, observations: torch.Tensor, started: torch.Tensor) -> torch.Tensor:
        agent = self._script["agent"]
        if self._memory is None:
            size = (agent.lstm.num_layers, len(observations), agent.lstm.hidden_size)
            self._memory = (torch.zeros(size).to(observations), torch.zeros(size).to(observations))
        action, _, _, _, self._memory = agent.get_action_and_value(observations, self._memory, started)
        taken: torch.Tensor = action
        return taken

    def _explored(self, best: torch.Tensor) -> torch.Tensor:
        """Return random actions instead of the best ones, with the probability that the script's schedule has now."""
        schedule, args = self._script.get("linear_schedule"), self._script["args"]
        if schedule is None or not hasattr(args, "start_e"):
            raise RlctlError("this script has no exploration rate: it is not known how its policy explores.")
        rate = schedule(args.start_e, args.end_e, args.exploration_fraction * args.total_timesteps, self._step)
        count = int(self._script["envs"].single_action_space.n)
        chosen = [random.randrange(count) if random.random() < rate else int(action) for action in best]  # noqa: S311
        return torch.tensor(chosen)


def _best_of(network: Any, observations: torch.Tensor) -> torch.Tensor:
    """Return the actions of highest value, by a network of values or of distributions of values."""
    if hasattr(network, "get_action"):
        action: torch.Tensor = network.get_action(observations)[0]
        return action
    return action_values(network, observations).argmax(dim=1)


@contextlib.contextmanager
def _modes_instead_of_samples() -> Iterator[None]:
    """Let a distribution's sample be its mode: the scripts' networks sample inside, and this is their best action."""
    methods = ((Categorical, "sample"), (Normal, "sample"), (Normal, "rsample"))
    before = {(cls, name): getattr(cls, name) for cls, name in methods}
    try:
        for cls, name in methods:
            setattr(cls, name, lambda self, *_: self.mode)
        yield
    finally:
        for (cls, name), method in before.items():
            setattr(cls, name, method)


@contextlib.contextmanager
def _registered_with(kwargs: dict[str, Any], env: Mapping[str, Any]) -> Iterator[None]:
    """Let `make(env_id)` give the environment of a configuration, inside the block."""
    spec = gymnasium.spec(str(env["id"]))
    before = dict(spec.kwargs), spec.max_episode_steps
    spec.kwargs = {**spec.kwargs, **kwargs}
    if env.get("max_episode_steps") is not None:
        spec.max_episode_steps = env["max_episode_steps"]
    try:
        yield
    finally:
        spec.kwargs, spec.max_episode_steps = before


# ---- normalisation -------------------------------------------------------------------------------------------------


class _Frozen:
    """Statistics that take nothing in."""

    def __init__(self, mean: Any, var: Any, count: Any) -> None:
        self.mean, self.var, self.count = mean, var, count

    def update(self, x: Any) -> None:
        """Take nothing in."""

    update_one = update


def statistics_of(envs: list[Any]) -> list[dict[str, Any]]:
    """Return mean, variance and count of each environment that normalises its observations."""
    found = []
    for env in envs:
        for link in links(env):
            if type(link).__name__ == "NormalizeObservation":
                statistics = link.obs_rms
                found.append({"mean": statistics.mean, "var": statistics.var, "count": statistics.count})
    return found


def set_statistics(envs: list[Any], statistics: list[dict[str, Any]]) -> None:
    """Let each of the environments normalise by all of `statistics` together."""
    if not statistics:
        return
    values = merged(statistics)
    for env in envs:
        for link in links(env):
            if type(link).__name__ == "NormalizeObservation":
                vars(link.obs_rms).update(values)


def merged(statistics: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the statistics of all observations together: Chan et al., "Updating formulae … for computing variances"."""
    first, *others = statistics
    mean, var, count = first["mean"], first["var"], first["count"]
    for other in others:
        delta, total = other["mean"] - mean, count + other["count"]
        squares = var * count + other["var"] * other["count"] + delta**2 * count * other["count"] / total
        mean = mean + delta * other["count"] / total
        var, count = squares / total, total
    return {"mean": mean, "var": var, "count": count}
