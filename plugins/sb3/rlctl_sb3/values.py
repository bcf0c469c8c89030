"""Configuration data to what SB3's constructors take: the policy, schedules, noise, classes by dotted name, activations.

`checks` has refused what has no meaning before the process started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.preprocessing import is_image_space
from torch import nn

from rlctl import Parameter
from rlctl.descriptors import resolve
from rlctl_sb3.network import policy_kwargs
from rlctl_sb3.signatures import AUTO

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU, "leaky_relu": nn.LeakyReLU,
}  # fmt: skip
_NOISES = {"normal": NormalActionNoise, "ornstein_uhlenbeck": OrnsteinUhlenbeckActionNoise}


_SMALLEST_IMAGE = 36  # on a side: NatureCNN has nothing left of a smaller one


def constructor_arguments(
    values: Mapping[str, Any],
    parameters: tuple[Parameter, ...],
    observations: spaces.Space[Any],
    actions: spaces.Space[Any],
    policies: str = "Policy",
) -> dict[str, Any]:
    """Return the keyword arguments of SB3's constructor; the names of the algorithm's policies end in `policies`."""
    said = {**values, "policy_kwargs": policy_kwargs(values)}
    if said.get("policy") == AUTO:
        said["policy"] = _kind_of_policy(observations) + policies
    num_actions = int(np.prod(actions.shape)) if isinstance(actions, spaces.Box) else 0
    return {
        parameter.name: _converted(parameter, said[parameter.name], num_actions)
        for parameter in parameters
    }  # fmt: skip


def _kind_of_policy(observations: spaces.Space[Any]) -> str:
    if isinstance(observations, spaces.Dict):
        return "MultiInput"
    if is_image_space(observations) and sorted(observations.shape or ())[-2] >= _SMALLEST_IMAGE:
        return "Cnn"
    return "Mlp"


def _converted(parameter: Parameter, value: Any, num_actions: int) -> Any:
    if parameter.name == "action_noise" and value is not None:
        return _noise(value, num_actions)
    if parameter.name == "policy_kwargs" and value is not None:
        return _policy_kwargs(value)
    if isinstance(value, Mapping) and "number" in parameter.kinds:
        return linear_schedule(float(value["start"]), float(value.get("end", 0.0)))
    if isinstance(value, list):
        return tuple(value)  # train_freq: [4, step]
    if isinstance(value, str) and ":" in value:
        return resolve(value)
    return value


def linear_schedule(start: float, end: float) -> Callable[[float], float]:
    """Return SB3's form of a schedule: a function of the share of training that is left, from `start` to `end`."""

    def schedule(progress_remaining: float) -> float:
        return end + (start - end) * progress_remaining

    return schedule


def _noise(data: Mapping[str, Any], num_actions: int) -> ActionNoise:
    mean, sigma = (np.full(num_actions, float(value)) for value in (data.get("mean", 0.0), data["sigma"]))
    noise: ActionNoise = _NOISES[data["use"]](mean=mean, sigma=sigma)
    return noise


def _policy_kwargs(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return policy arguments with classes for their names; everything else is data already."""
    arguments = dict(data)
    activation = arguments.get("activation_fn")
    if isinstance(activation, str):
        arguments["activation_fn"] = _ACTIVATIONS.get(activation) or resolve(activation)
    for name in ("features_extractor_class", "optimizer_class"):
        if isinstance(arguments.get(name), str):
            arguments[name] = resolve(arguments[name])
    return arguments
