"""Networks that stand for a script's own: what they are called, built in the form of CleanRL's `Agent`.

An Agent is made of the vector environment and has `get_value(x)`, (batch, 1), and `get_action_and_value(x, action)`, which
returns actions, their log-probabilities and entropies, (batch,) each, and values, (batch, 1).
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import torch
from gymnasium import spaces
from torch import nn
from torch.distributions import Categorical, Normal

from rlctl import RlctlError
from rlctl.errors import did_you_mean
from rlctl_cleanrl.agents import METHODS, NETWORKS

_SQRT_2 = math.sqrt(2)


class ActorCritic(nn.Module):
    """A trunk that both share, and a head for each; actions are one of several, or numbers from normal distributions.

    The deviations of the latter do not depend on what is observed.
    """

    def __init__(self, trunk: nn.Module, actor: nn.Module, critic: nn.Module, actions: spaces.Space[Any]) -> None:
        super().__init__()
        self.trunk, self.actor, self.critic = trunk, actor, critic
        self.log_deviation = None
        if isinstance(actions, spaces.Box):
            self.log_deviation = nn.Parameter(torch.zeros(1, math.prod(actions.shape)))

    def get_value(self, x: torch.Tensor) -> torch.Tensor:
        """Return the values of observations (batch, *shape): (batch, 1)."""
        value: torch.Tensor = self.critic(self.trunk(x))
        return value

    def get_action_and_value(
        self, x: torch.Tensor, action: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return actions, those given or drawn anew, their log-probabilities, the entropies and the values."""
        features = self.trunk(x)
        choice = self._choice(self.actor(features))
        if action is None:
            action = choice.sample()
        log_prob, entropy = choice.log_prob(action), choice.entropy()
        if self.log_deviation is not None:  # one for each number of an action
            log_prob, entropy = log_prob.sum(1), entropy.sum(1)
        return action, log_prob, entropy, self.critic(features)

    def _choice(self, scores: torch.Tensor) -> Any:
        if self.log_deviation is None:
            return Categorical(logits=scores)
        return Normal(scores, self.log_deviation.expand_as(scores).exp())


class MLP(ActorCritic):
    """`mlp`: two layers of 64, tanh, which actor and critic share. Observations (batch, numbers)."""

    def __init__(self, envs: Any) -> None:
        numbers = math.prod(envs.single_observation_space.shape)
        trunk = nn.Sequential(
            nn.Flatten(), _orthogonal(nn.Linear(numbers, 64)), nn.Tanh(), _orthogonal(nn.Linear(64, 64)), nn.Tanh()
        )
        actions = envs.single_action_space
        actor = _orthogonal(nn.Linear(64, _outputs(actions)), gain=0.01)
        super().__init__(trunk, actor, _orthogonal(nn.Linear(64, 1), gain=1.0), actions)


class MinigridCNN(ActorCritic):
    """`minigrid_cnn`: three convolutions that keep the size of a grid, then 128 features; a hidden layer in each head.

    Observations (batch, height, width, 3), bytes.
    """

    def __init__(self, envs: Any) -> None:
        height, width, channels = envs.single_observation_space.shape
        trunk = nn.Sequential(
            _GridToImage(),
            _orthogonal(nn.Conv2d(channels, 32, 3, padding=1)), nn.ReLU(),
            _orthogonal(nn.Conv2d(32, 64, 3, padding=1)), nn.ReLU(),
            _orthogonal(nn.Conv2d(64, 64, 3, padding=1)), nn.ReLU(),
            nn.Flatten(),
            _orthogonal(nn.Linear(64 * height * width, 128)),
        )  # fmt: skip
        actions = envs.single_action_space
        super().__init__(trunk, _head(_outputs(actions), gain=0.01), _head(1, gain=1.0), actions)


class _GridToImage(nn.Module):
    """(batch, height, width, channels) of bytes to (batch, channels, height, width) from 0 to 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 3, 1, 2).float() / 255.0


def _head(outputs: int, gain: float) -> nn.Module:
    return nn.Sequential(_orthogonal(nn.Linear(128, 128)), nn.ReLU(), _orthogonal(nn.Linear(128, outputs), gain=gain))


def _outputs(actions: spaces.Space[Any]) -> int:
    return int(actions.n) if isinstance(actions, spaces.Discrete) else math.prod(actions.shape or ())


def _orthogonal(layer: Any, gain: float = _SQRT_2) -> nn.Module:
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    made: nn.Module = layer
    return made


_BUILT_IN: dict[str, type[nn.Module]] = {"minigrid_cnn": MinigridCNN, "mlp": MLP}
assert set(_BUILT_IN) == set(NETWORKS)


def network_class(name: str) -> type[nn.Module]:
    """Return the class that `hyperparameters.network` names: a built-in one, or `package.module:Class`.

    Raises RlctlError, with what is near, for one that cannot be imported or is no Agent.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    module, _, attribute = name.partition(":")
    try:
        imported = importlib.import_module(module)
    except Exception as error:
        message = f'hyperparameters.network: cannot import "{module}": {type(error).__name__}: {error}.'
        raise RlctlError(message, hint="Is it installed, or a file of this folder?") from error
    found = getattr(imported, attribute, None)
    if found is None:
        classes = [key for key, value in vars(imported).items() if isinstance(value, type)]
        raise RlctlError(
            f'hyperparameters.network: there is no "{attribute}" in {module}.', hint=did_you_mean(attribute, classes)
        )
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise RlctlError(f"hyperparameters.network: {name} is no class of torch.nn.Module.")
    missing = [method for method in METHODS if not callable(getattr(found, method, None))]
    if missing:
        raise RlctlError(
            f"hyperparameters.network: {name} has no {' and no '.join(missing)}.",
            hint="It stands for the script's Agent: called with envs, with " + " and ".join(METHODS.values()) + ".",
        )
    return found
