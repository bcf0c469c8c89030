"""`architecture` of Indra-RL-Lab, `policy_kwargs` of its later revision, as the worker's `network`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rlctl import Problem
from rlctl.errors import did_you_mean
from rlctl_sb3.algorithms import ALGORITHMS
from rlctl_sb3.network import EXTRACTORS
from rlctl_sb3.zoo.literals import NAMES

_KEYS = (
    "net_arch",
    "activation_fn",
    "features_extractor_class",
    "features_extractor_kwargs",
    "share_features_extractor",
)
FIELD_OF = {
    "hidden_sizes": "net_arch", "pi": "net_arch.pi", "vf": "net_arch.vf", "qf": "net_arch.qf",
    "activation": "activation_fn", "features_extractor": "features_extractor_class",
}  # fmt: skip
"""Key of `network` → the field that it comes from."""


def network_of(
    said: Mapping[str, Any], algorithm: str, where: str
) -> tuple[dict[str, Any], list[Problem], list[Problem]]:
    """Return (network, changed, left out) of an architecture that stands at `where`.

    An activation is ReLU and the extractor is not shared where nothing is said: so it is there.
    """
    changed: list[Problem] = []
    left_out = [
        Problem(f"{where}.{key}", "unknown field.", did_you_mean(key, _KEYS)) for key in said if key not in _KEYS
    ]
    network = dict(_sizes(said.get("net_arch"), f"{where}.net_arch", algorithm, changed, left_out))
    network |= _activation(said.get("activation_fn", "ReLU"), f"{where}.activation_fn", left_out)
    network |= _extractor(said, where, left_out)
    if ALGORITHMS[algorithm].critic is not None:
        network["share_features_extractor"] = said.get("share_features_extractor", False)
    elif said.get("share_features_extractor"):
        left_out.append(
            Problem(f"{where}.share_features_extractor", f"{algorithm} has one network, which shares with none.")
        )
    return network, changed, left_out


def _sizes(
    net_arch: Any, path: str, algorithm: str, changed: list[Problem], left_out: list[Problem]
) -> Iterator[tuple[str, Any]]:
    """Yield the sizes of hidden layers; what SB3 finds no entry for has none there."""
    if isinstance(net_arch, list) and len(net_arch) == 1 and isinstance(net_arch[0], Mapping):
        net_arch = net_arch[0]  # SB3 before 1.8 wanted it in a list
    if isinstance(net_arch, list):
        yield "hidden_sizes", net_arch
        return
    if not isinstance(net_arch, Mapping):
        if net_arch is not None:
            left_out.append(Problem(path, f"expected a list or a mapping, got {net_arch!r}"))
        return
    critic = ALGORITHMS[algorithm].critic
    sizes: dict[str, Any] = {} if critic is None else {"pi": [], critic: []}
    for key, value in net_arch.items():
        part = key.strip("'\" ")
        if part not in sizes:
            hint = did_you_mean(part, sizes)
            left_out.append(Problem(f"{path}.{key}", f"{algorithm} has no such network.", hint))
            continue
        if part != key:
            reason = f'is read as "{part}". There SB3 finds no "{part}", and the network has no hidden layer'
            changed.append(Problem(f"{path}.{key}", reason))
        sizes[part] = value
    if any(sizes.values()):
        yield from sizes.items()


def _activation(name: Any, path: str, left_out: list[Problem]) -> dict[str, Any]:
    known = {known.removeprefix("nn."): meaning for known, meaning in NAMES.items() if known.startswith("nn.")}
    if not isinstance(name, str) or name not in known:
        left_out.append(Problem(path, f"{name!r} is no activation of torch.nn.", did_you_mean(str(name), known)))
        return {}
    return {"activation": known[name]}


def _extractor(said: Mapping[str, Any], where: str, left_out: list[Problem]) -> dict[str, Any]:
    name, kwargs = said.get("features_extractor_class"), said.get("features_extractor_kwargs")
    if name is not None and not (isinstance(name, str) and name in EXTRACTORS):
        hint = "There it means no extractor, without a word. Name a class of your own as package.module:Class."
        reason = f"there is no features extractor {name!r}. {did_you_mean(str(name), EXTRACTORS)}"
        left_out.append(Problem(f"{where}.features_extractor_class", reason, hint))
        name = None
    if name is None:
        if kwargs:
            left_out.append(Problem(f"{where}.features_extractor_kwargs", "has no effect without an extractor"))
        return {}
    return {"features_extractor": {"use": name, "kwargs": kwargs} if kwargs else name}
