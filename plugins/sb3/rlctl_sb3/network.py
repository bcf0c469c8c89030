"""`network`: the networks of an algorithm as data, in one form for all of them; it becomes SB3's `policy_kwargs`. Light."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rlctl import Parameter, Problem
from rlctl.errors import did_you_mean
from rlctl_sb3.algorithms import ALGORITHMS

ACTIVATIONS = ("relu", "tanh", "elu", "silu", "gelu", "leaky_relu")
EXTRACTORS = {
    "ResnetMLP": "rlctl_sb3.extractors:ResnetMLP",
    "SmallCNN": "rlctl_sb3.extractors:SmallCNN",
    "NatureCNN": "stable_baselines3.common.torch_layers:NatureCNN",
    "FlattenExtractor": "stable_baselines3.common.torch_layers:FlattenExtractor",
    "CombinedExtractor": "stable_baselines3.common.torch_layers:CombinedExtractor",
}
"""Features extractors by name; any other class is named by module and attribute."""
DOTTED = re.compile(r"[\w.]+:[\w.]+")

_PART_OF_POLICY_KWARGS = {
    "hidden_sizes": "net_arch", "pi": "net_arch", "vf": "net_arch", "qf": "net_arch", "activation": "activation_fn",
    "features_extractor": "features_extractor_class", "share_features_extractor": "share_features_extractor",
}  # fmt: skip

NETWORK = Parameter(
    name="network",
    kinds=("null", "object"),
    default=None,
    doc="The networks: hidden_sizes, or pi and vf (as ppo), pi and qf (as sac); activation; features_extractor: a "
    "name, package.module:Class, or {use: one of them, kwargs: {...}}; share_features_extractor. What is not given is SB3's.",
)


def policy_kwargs(hyperparameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what `policy_kwargs` and `network` say together, as data; None if neither says anything."""
    network, given = hyperparameters.get("network"), hyperparameters.get("policy_kwargs")
    if network is None:
        return None if given is None else dict(given)
    made = dict(given or {})
    if "hidden_sizes" in network:
        made["net_arch"] = list(network["hidden_sizes"])
    parts = {part: list(network[part]) for part in ("pi", "vf", "qf") if part in network}
    if parts:
        made["net_arch"] = parts
    if "activation" in network:
        made["activation_fn"] = network["activation"]
    if network.get("features_extractor") is not None:
        name, arguments = _extractor(network["features_extractor"])
        made["features_extractor_class"] = EXTRACTORS.get(name, name)
        made["features_extractor_kwargs"] = {**(made.get("features_extractor_kwargs") or {}), **arguments}
    if "share_features_extractor" in network:
        made["share_features_extractor"] = network["share_features_extractor"]
    return made


def _extractor(said: str | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    return (said, {}) if isinstance(said, str) else (said["use"], said.get("kwargs") or {})


def network_problems(hyperparameters: Mapping[str, Any], algorithm: str) -> Iterator[Problem]:
    """Yield everything in `network` that has no meaning to this algorithm, or that `policy_kwargs` says as well."""
    network, path = hyperparameters["network"], "hyperparameters.network"
    critic = ALGORITHMS[algorithm].critic
    known = {"hidden_sizes", "activation"} | ({"features_extractor"} if ALGORITHMS[algorithm].extracts else set())
    known |= set() if critic is None else {"pi", critic, "share_features_extractor"}
    for key, value in network.items():
        if key not in known:
            reason = f"{algorithm} has no such thing." if key in _PART_OF_POLICY_KWARGS else "unknown key."
            yield Problem(f"{path}.{key}", reason, did_you_mean(key, known))
        elif (twice := _PART_OF_POLICY_KWARGS[key]) in (hyperparameters.get("policy_kwargs") or {}):
            yield Problem(f"{path}.{key}", f"policy_kwargs.{twice} says it as well: leave one of them out")
        else:
            yield from _problems_of(f"{path}.{key}", key, value)
    yield from _sizes_that_do_not_go_together(path, network, critic)


def _sizes_that_do_not_go_together(path: str, network: Mapping[str, Any], critic: str | None) -> Iterator[Problem]:
    parts = [part for part in ("pi", critic) if part in network]
    if parts and "hidden_sizes" in network:
        yield Problem(
            f"{path}.hidden_sizes", f"says the sizes of all networks, and {' and '.join(map(str, parts))} as well"
        )
    if len(parts) == 1:
        other = critic if parts == ["pi"] else "pi"
        yield Problem(f"{path}.{other}", f"is required beside {parts[0]}")


def _problems_of(path: str, key: str, value: Any) -> Iterator[Problem]:
    if key in ("hidden_sizes", "pi", "vf", "qf"):
        if not isinstance(value, list) or not all(_is_size(size) for size in value):
            yield Problem(path, f"expected a list of whole numbers above 0, got {value!r}")
    elif key == "activation":
        yield from activation_problems(path, value)
    elif key == "share_features_extractor":
        if not isinstance(value, bool):
            yield Problem(path, f"expected true or false, got {value!r}")
    else:
        yield from _extractor_problems(path, value)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def activation_problems(path: str, value: Any) -> Iterator[Problem]:
    """Yield what is wrong with the name of an activation."""
    if not isinstance(value, str) or not (value in ACTIVATIONS or DOTTED.fullmatch(value)):
        expected = f"expected {', '.join(ACTIVATIONS)} or package.module:Class, got {value!r}."
        yield Problem(path, expected, did_you_mean(str(value), ACTIVATIONS))


def _extractor_problems(path: str, value: Any) -> Iterator[Problem]:
    if value is None:
        return
    if isinstance(value, Mapping):
        for key in value:
            if key not in ("use", "kwargs"):
                yield Problem(f"{path}.{key}", "unknown key.", did_you_mean(key, ("use", "kwargs")))
        if not isinstance(value.get("kwargs", {}), Mapping):
            yield Problem(f"{path}.kwargs", f"expected a mapping, got {value['kwargs']!r}")
        if "use" not in value:
            yield Problem(f"{path}.use", "is required")
            return
        path, value = f"{path}.use", value["use"]
    if not isinstance(value, str) or not (value in EXTRACTORS or DOTTED.fullmatch(value)):
        expected = f"expected {', '.join(EXTRACTORS)} or package.module:Class, got {value!r}."
        yield Problem(path, expected, did_you_mean(str(value), EXTRACTORS))
