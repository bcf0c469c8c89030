"""A model of SB3 for others: as one network that takes what the environment gives, and as SB3's own zip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize
from torch import nn

from rlctl import Exportable, NotAvailableError
from rlctl.exports import Network, Observed
from rlctl.torch.export import checked, detached
from rlctl_sb3.policy import Sb3Policy
from rlctl_sb3.state import STATISTICS, Sb3State


class Sb3Network(nn.Module):
    """What `predict(..., deterministic=True)` does between an observation and an action, as one module.

    Takes observations as the environment gives them, (batch, ...) or a dict of such, and masks of actions where the
    algorithm knows any. Returns the actions, and with Discrete ones also what they were chosen by, (batch, num_actions).
    """

    low: torch.Tensor
    high: torch.Tensor

    def __init__(self, model: BaseAlgorithm) -> None:
        super().__init__()
        self.policy: Any = detached(model.policy)
        self.statistics = _Statistics(model.get_vec_normalize_env())
        self.space = model.action_space
        self.observation_space: Any = model.policy.observation_space
        self.scores = _scores(self.policy) if isinstance(self.space, spaces.Discrete) else None
        if isinstance(self.space, spaces.Box):
            self.register_buffer("low", torch.from_numpy(self.space.low))
            self.register_buffer("high", torch.from_numpy(self.space.high))

    def forward(self, observations: Any, masks: torch.Tensor | None = None) -> Any:
        seen = self._laid_out(self.statistics(observations), self.observation_space)
        allowed = {} if masks is None else {"action_masks": masks}
        if self.scores == "q_values":
            values = self.policy.q_net(seen)
            return values.argmax(dim=1), values
        if self.scores == "quantile_means":
            values = self.policy.quantile_net(seen).mean(dim=1)
            return values.argmax(dim=1), values
        if self.scores == "logits":
            chosen_by = self.policy.get_distribution(seen, **allowed)
            return chosen_by.get_actions(deterministic=True), chosen_by.distribution.logits
        actions = self.policy._predict(seen, deterministic=True, **allowed)  # noqa: SLF001 - what predict() calls
        return self._in_its_bounds(actions.reshape(-1, *(self.space.shape or ())))

    def _laid_out(self, seen: Any, space: Any) -> Any:
        """Return images with their channels where the network wants them, as SB3 transposes them on the way."""
        if isinstance(seen, dict):
            return {name: self._laid_out(part, space.spaces[name]) for name, part in seen.items()}
        if len(space.shape) == 3 and tuple(seen.shape[1:]) != tuple(space.shape):
            return seen.permute(0, 3, 1, 2)
        return seen

    def _in_its_bounds(self, actions: torch.Tensor) -> torch.Tensor:
        if not isinstance(self.space, spaces.Box):
            return actions
        if self.policy.squash_output:
            return self.low + 0.5 * (actions + 1.0) * (self.high - self.low)
        return torch.maximum(torch.minimum(actions, self.high), self.low)


class _Statistics(nn.Module):
    """Normalises as a VecNormalize whose statistics stand still, in float64 like that; without one it changes nothing."""

    def __init__(self, normalized: VecNormalize | None) -> None:
        super().__init__()
        self.keys: tuple[str, ...] | None = None
        self.is_on = normalized is not None and normalized.norm_obs
        if normalized is None or not self.is_on:
            return
        self.clip = float(normalized.clip_obs)
        statistics = normalized.obs_rms
        if isinstance(statistics, dict):
            self.keys = tuple(normalized.norm_obs_keys or ())
        for index, one in enumerate([statistics] if self.keys is None else [statistics[key] for key in self.keys]):
            self.register_buffer(f"mean_{index}", torch.as_tensor(one.mean, dtype=torch.float64))
            deviation = np.sqrt(one.var + normalized.epsilon)
            self.register_buffer(f"deviation_{index}", torch.as_tensor(deviation, dtype=torch.float64))

    def forward(self, observations: Any) -> Any:
        if not self.is_on:
            return observations
        if self.keys is None:
            return self._normalized(observations, 0)
        normalized = {key: self._normalized(observations[key], index) for index, key in enumerate(self.keys)}
        return {**observations, **normalized}

    def _normalized(self, observations: torch.Tensor, index: int) -> torch.Tensor:
        mean, deviation = getattr(self, f"mean_{index}"), getattr(self, f"deviation_{index}")
        normalized: torch.Tensor = (observations.double() - mean) / deviation
        return normalized.clamp(-self.clip, self.clip).float()


def network_of(model: BaseAlgorithm, *, masked: bool, stacked: VecFrameStack | None) -> Network:
    """Return the model as a network, of stacked frames where it has seen such.

    Raises NotAvailableError for a policy that remembers, or whose frames were normalised before they were stacked.
    """
    if hasattr(model.policy, "lstm_actor"):
        raise NotAvailableError(
            "its policy remembers earlier observations, and a network that maps one observation to one action does not.",
            hint="--format sb3-zip takes it with its memory.",
        )
    normalized = model.get_vec_normalize_env()
    if stacked is not None and normalized is not None and normalized.norm_obs:
        raise NotAvailableError(
            "its frames are normalised before they are stacked, which what begins with stacked frames cannot do again.",
            hint="--format sb3-zip takes it, with its statistics beside it.",
        )
    module = Sb3Network(model)
    return Network(module=module, scores=module.scores, **_own_way(model, masked=masked, stacked=stacked))


def _own_way(model: BaseAlgorithm, *, masked: bool, stacked: VecFrameStack | None) -> dict[str, Any]:
    """Return how the model itself acts, each time as one that has just begun, and in which environments."""

    def act(observations: Any, masks: Any = None) -> Any:
        started = np.ones(_count(observations), bool)
        return Sb3Policy(model, masks=masks, stacked=stacked).act(observations, greedy=True, started=started)

    mask = (lambda env: env.get_wrapper_attr("action_masks")()) if masked else None
    return {"make_env": Sb3Policy(model, masked=masked, stacked=stacked).make_env, "act": act, "mask": mask}


def _scores(policy: Any) -> str | None:
    """Return what discrete actions are chosen by."""
    if hasattr(policy, "q_net"):
        return "q_values"
    if hasattr(policy, "quantile_net"):
        return "quantile_means"
    return "logits" if hasattr(policy, "get_distribution") else None


def _count(observations: Any) -> int:
    return len(next(iter(observations.values())) if isinstance(observations, dict) else observations)


# ---- SB3's own zip ---------------------------------------------------------------------------------------------------


def to_zip(exportable: Exportable) -> dict[str, Any]:
    """Write a zip for SB3's `load`, with its optimizers where it is of a checkpoint, and its statistics beside it.

    Returns what was found when the zip was loaded and asked for its actions.
    """
    state = exportable.state
    assert isinstance(state, Sb3State) and exportable.observe is not None
    if exportable.source is not None and exportable.source.is_dir():
        state.read_agent(exportable.source)
    with state.policy(exportable.seed):
        state.save(exportable.path)
        whole = Network(module=None, **_own_way(state.model, masked=state.masked, stacked=state.stacked))
        return checked(_loaded(exportable.path, state), whole, exportable.observe(whole))


def _loaded(path: Path, state: Sb3State) -> Any:
    """Return how the model acts that is in the zip, on observations normalised by the statistics beside it.

    Stacked frames have been normalised on the way into the stack.
    """
    model: Any = type(state.model).load(path, device="cpu")
    own, normalized = state.model.get_vec_normalize_env(), None
    if own is not None and state.stacked is None:
        normalized = VecNormalize.load(str(path.with_name(STATISTICS)), own.venv)

    def run(observed: Observed) -> tuple[Any, ...]:
        seen = observed.observations if normalized is None else normalized.normalize_obs(observed.observations)
        allowed = {} if observed.masks is None else {"action_masks": observed.masks}
        actions, _ = model.predict(seen, deterministic=True, **allowed)
        return (actions,)

    return run
