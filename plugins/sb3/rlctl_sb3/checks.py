"""What is wrong with nested settings: schedules, noise, names of activations and classes; light, for the host process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rlctl import Problem
from rlctl.errors import did_you_mean
from rlctl_sb3.network import DOTTED, activation_problems, network_problems
from rlctl_sb3.replay_buffers import buffer_problems
from rlctl_sb3.signatures import constructor_parameters

NOISES = ("normal", "ornstein_uhlenbeck")
SCHEDULES = ("linear",)
NORMALIZE = {
    "norm_obs": bool, "norm_reward": bool, "clip_obs": float, "clip_reward": float, "gamma": float, "epsilon": float,
    "norm_obs_keys": list,
}  # fmt: skip
"""Arguments of VecNormalize, and what they are."""
_CLASS_KEYS = ("features_extractor_class", "optimizer_class")


def problems_in(hyperparameters: Mapping[str, Any], algorithm: str) -> Iterator[Problem]:
    """Yield everything that has the right kind but no meaning to SB3's algorithm."""
    yield from _stacked_and_normalized(hyperparameters, algorithm)
    for name, value in hyperparameters.items():
        path = f"hyperparameters.{name}"
        if name == "action_noise" and isinstance(value, Mapping):
            yield from _keys(path, value, {"use", "sigma", "mean"}, {"use", "sigma"})
            yield from _choice(f"{path}.use", value.get("use", NOISES[0]), NOISES)
            yield from _numbers(path, value, ("sigma", "mean"))
        elif name == "normalize":
            yield from _normalize(path, value)
        elif name == "network":
            if value is not None:
                yield from network_problems(hyperparameters, algorithm)
        elif name == "policy_kwargs" and isinstance(value, Mapping):
            yield from _policy(path, value)
        elif isinstance(value, Mapping) and name not in ("replay_buffer_kwargs", "rollout_buffer_kwargs"):
            yield from _keys(path, value, {"schedule", "start", "end"}, {"schedule", "start"})
            yield from _choice(f"{path}.schedule", value.get("schedule", SCHEDULES[0]), SCHEDULES)
            yield from _numbers(path, value, ("start", "end"))
        elif name.endswith("_class") and isinstance(value, str):
            yield from _class_name(path, value)
    yield from buffer_problems(hyperparameters)


def _stacked_and_normalized(settings: Mapping[str, Any], algorithm: str) -> Iterator[Problem]:
    """SB3 stores what VecNormalize had before it normalised: with a replay buffer, of stacked frames the last one only."""
    frames = settings.get("frame_stack", 1)
    if not isinstance(frames, int) or frames < 2 or not settings.get("normalize"):
        return
    if any(parameter.name == "buffer_size" for parameter in constructor_parameters(algorithm)):
        message = (
            f"{algorithm} has a replay buffer, in which SB3 cannot store frames that are normalised and then stacked."
        )
        wrapper = f"{{use: gymnasium.wrappers:FrameStackObservation, kwargs: {{stack_size: {frames}}}}}"
        yield Problem("hyperparameters.frame_stack", message, f"Stack them in env.wrappers: {wrapper}.")


def _normalize(path: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        return
    yield from _keys(path, value, set(NORMALIZE), set())
    for key, item in value.items():
        kind = NORMALIZE.get(key)
        is_number = isinstance(item, (int, float)) and not isinstance(item, bool)
        if kind is not None and not (is_number if kind is float else isinstance(item, kind)):
            yield Problem(f"{path}.{key}", f"expected a {kind.__name__}, got {item!r}")


def _policy(path: str, value: Mapping[str, Any]) -> Iterator[Problem]:
    if value.get("activation_fn") is not None:
        yield from activation_problems(f"{path}.activation_fn", value["activation_fn"])
    for key in _CLASS_KEYS:
        if isinstance(value.get(key), str):
            yield from _class_name(f"{path}.{key}", value[key])


def _class_name(path: str, value: str) -> Iterator[Problem]:
    if not DOTTED.fullmatch(value):
        yield Problem(path, f'expected a class as "package.module:Class", got "{value}"')


def _keys(path: str, data: Mapping[str, Any], known: set[str], required: set[str]) -> Iterator[Problem]:
    for key in data:
        if key not in known:
            yield Problem(f"{path}.{key}", "unknown key.", did_you_mean(key, known))
    for key in sorted(required - set(data)):
        yield Problem(f"{path}.{key}", "is required")


def _choice(path: str, value: Any, known: tuple[str, ...]) -> Iterator[Problem]:
    if value not in known:
        yield Problem(path, f'expected one of {", ".join(known)}, got "{value}".', did_you_mean(str(value), known))


def _numbers(path: str, data: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[Problem]:
    for name in names:
        value = data.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield Problem(f"{path}.{name}", f"expected a number, got {value!r}")
