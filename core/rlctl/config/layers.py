"""Layers of values, from defaults to the command line: merged, each value remembering where it came from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen

from rlctl.config.files import parse_scalar
from rlctl.errors import ConfigError, Problem

SCRIPT_VARIABLE = "RLCTL_SCRIPT"
"""The environment variable by which a run knows that a script has started it: the id of the script's execution."""
SCRIPT_LABEL = "script"


@frozen
class Layer:
    """Values from one place. `origin` names the place; `origins` may say it more exactly for single paths."""

    origin: str
    values: Mapping[str, Any]
    origins: Mapping[str, str] = field(factory=dict)


@frozen
class Merged:
    """The values of all layers and, for each dotted path, where its value came from."""

    values: dict[str, Any]
    origins: dict[str, str]

    def origin(self, path: str) -> str | None:
        """Return where the value at `path`, or the mapping or list that holds it (`a.b[0]`), came from."""
        while path:
            if path in self.origins:
                return self.origins[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return None


def script_layer() -> Layer:
    """Return what the script says that started this process, if one did: the label by which its runs are found."""
    execution = os.environ.get(SCRIPT_VARIABLE)
    return Layer(SCRIPT_VARIABLE, {"labels": {SCRIPT_LABEL: execution}} if execution else {})


def merge(layers: Iterable[Layer]) -> Merged:
    """Merge layers, later ones winning key by key; a mapping is merged, anything else replaced."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        _merge_into(values, layer.values, layer, "", origins)
    return Merged(values, origins)


def _merge_into(
    target: dict[str, Any], source: Mapping[str, Any], layer: Layer, prefix: str, origins: dict[str, str]
) -> None:
    for key, value in source.items():
        path = f"{prefix}{key}"
        # `env: CartPole-v1` and `env: {id: ...}` are one thing, so that a later layer can add to either.
        if path == "env" and isinstance(value, str):
            value = {"id": value}
        if path == "callbacks" and isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            value = {item: {} for item in value}
        if isinstance(value, Mapping):
            inner = target.get(key)
            if not isinstance(inner, dict) or not value:  # it is new here, or said again as an empty one
                origins[path] = _origin_in(layer, path)
            target[key] = inner = inner if isinstance(inner, dict) else {}
            _merge_into(inner, value, layer, f"{path}.", origins)
        else:
            target[key] = value
            for stale in [known for known in origins if known.startswith(f"{path}.")]:
                if stale != "env.id":
                    del origins[stale]
            origins[path] = _origin_in(layer, path)


def _origin_in(layer: Layer, path: str) -> str:
    """Return where `path`, or the shorthand that it was written as (`env: ID`, a list of callbacks), stands."""
    while path and path not in layer.origins:
        path = path.rpartition(".")[0]
    return layer.origins.get(path, layer.origin)


def parse_overrides(assignments: Iterable[str]) -> list[Layer]:
    """Return a layer per `a.b=value` of the command line; the value is read as YAML. Raises ConfigError, all at once."""
    layers, problems = [], []
    for text in assignments:
        path, separator, value = text.partition("=")
        keys = path.strip().split(".")
        if not separator or not all(keys):
            problems.append(Problem("--set", f'expected key=value, got "{text}"', "Example: --set env.num_envs=4"))
            continue
        layers.append(Layer(f"--set {path.strip()}", nested(keys, parse_scalar(value))))
    if problems:
        raise ConfigError(problems)
    return layers


def nested(keys: list[str], value: Any) -> dict[str, Any]:
    """Return {a: {b: value}} for ["a", "b"]."""
    for key in reversed(keys):
        value = {key: value}
    return value  # type: ignore[no-any-return]


def origins_of(tree: Mapping[str, Any], merged: Merged, prefix: str = "") -> dict[str, str]:
    """Return dotted path → where the value came from, for every value that is not a mapping itself."""
    origins: dict[str, str] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            origins |= origins_of(value, merged, f"{path}.")
        else:
            origins[path] = merged.origins.get(path, "default")
    return origins
