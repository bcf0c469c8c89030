"""Configuration data to what SB3's constructors take: schedules, noise, classes by dotted name, activation names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from torch import nn

from rlctl import ConfigError, Parameter
from rlctl.descriptors import resolve
from rlctl.errors import Problem, did_you_mean

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU, "silu": nn.SiLU}
_NOISES = {"normal": NormalActionNoise, "ornstein_uhlenbeck": OrnsteinUhlenbeckActionNoise}


def constructor_arguments(
    values: Mapping[str, Any], parameters: tuple[Parameter, ...], num_actions: int
) -> dict[str, Any]:
    """Return the keyword arguments of SB3's constructor; `num_actions` is the size of a continuous action, else 0.

    Raises ConfigError for data that has the right kind but no meaning, naming the key.
    """
    arguments = {}
    for parameter in parameters:
        value = values[parameter.name]
        arguments[parameter.name] = _converted(parameter, value, num_actions)
    return arguments


def _converted(parameter: Parameter, value: Any, num_actions: int) -> Any:
    name = parameter.name
    if name == "action_noise" and value is not None:
        return _noise(value, num_actions)
    if name == "policy_kwargs" and value is not None:
        return _policy_kwargs(value)
    if isinstance(value, Mapping) and "number" in parameter.kinds:
        return linear_schedule(name, value)
    if isinstance(value, list):
        return tuple(value)  # train_freq: [4, step]
    if isinstance(value, str) and ":" in value:
        return resolve(value)
    return value


def linear_schedule(name: str, data: Mapping[str, Any]) -> Any:
    """Return SB3's form of {schedule: linear, start, end}: a function of the share of training that is left."""
    _expect_keys(f"hyperparameters.{name}", data, {"schedule", "start", "end"}, {"schedule", "start"})
    if data["schedule"] != "linear":
        message = f'expected the schedule "linear", got "{data["schedule"]}"'
        raise ConfigError([Problem(f"hyperparameters.{name}.schedule", message)])
    start, end = float(data["start"]), float(data.get("end", 0.0))

    def schedule(progress_remaining: float) -> float:
        return end + (start - end) * progress_remaining

    return schedule


def _noise(data: Mapping[str, Any], num_actions: int) -> Any:
    path = "hyperparameters.action_noise"
    _expect_keys(path, data, {"use", "sigma", "mean"}, {"use", "sigma"})
    if data["use"] not in _NOISES:
        raise ConfigError([
            Problem(f"{path}.use", f'there is no noise "{data["use"]}".', did_you_mean(str(data["use"]), _NOISES))
        ])  # fmt: skip
    mean, sigma = (np.full(num_actions, float(value)) for value in (data.get("mean", 0.0), data["sigma"]))
    return _NOISES[data["use"]](mean=mean, sigma=sigma)


def _policy_kwargs(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return policy arguments with classes for their names; everything else is data already."""
    arguments = dict(data)
    activation = arguments.get("activation_fn")
    if isinstance(activation, str):
        if activation not in _ACTIVATIONS and ":" not in activation:
            path = "hyperparameters.policy_kwargs.activation_fn"
            message = f'there is no activation "{activation}".'
            raise ConfigError([Problem(path, message, did_you_mean(activation, _ACTIVATIONS))])
        arguments["activation_fn"] = _ACTIVATIONS.get(activation) or resolve(activation)
    for name in ("features_extractor_class", "optimizer_class"):
        if isinstance(arguments.get(name), str):
            arguments[name] = resolve(arguments[name])
    return arguments


def _expect_keys(path: str, data: Mapping[str, Any], known: set[str], required: set[str]) -> None:
    problems = [Problem(f"{path}.{key}", "unknown key.", did_you_mean(key, known)) for key in data if key not in known]
    problems += [Problem(f"{path}.{key}", "is required") for key in sorted(required - set(data))]
    if problems:
        raise ConfigError(problems)
