"""What is done to observations that a script's network cannot take as they are. Light: spaces come as descriptions.

The host asks before a run starts and the worker when the environment is made, so both come to the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from attrs import frozen

MOST_NUMBERS = 10_000
"""Observations of more numbers are not laid flat: that is no grid but a picture, and nothing for a network of two layers."""

_ARRAYS = ("box", "discrete", "multi_discrete", "multi_binary")


class UnfitError(ValueError):
    """The network cannot take these observations, whatever is done to them; the message says why."""


@frozen
class Needs:
    """What observations must be for a script and its network.

    `form`: a "vector", a "grid" (height, width, 3), or an "array" of any shape. `flattens`: the script lays them flat
    itself. `float32`: no other dtype will do.
    """

    form: str
    flattens: bool = False
    float32: bool = False


@frozen
class Change:
    """What is done to observations: `steps` among "image", "flatten", "float32", in this order, and the same in words."""

    steps: tuple[str, ...]
    words: str


def needs_of(script: Mapping[str, Any], network: str | None) -> Needs | None:
    """Return what a script of the index needs with this network; None for one that makes its images itself."""
    if script["image"]:
        return None
    known = {None: "vector", "mlp": "vector", "minigrid_cnn": "grid"}
    return Needs(known.get(network, "array"), flattens=script["flattens"], float32=script["needs_float32"])


def change_for(observation: Mapping[str, Any], needs: Needs) -> Change:
    """Return what is to be done to observations of a space that `rlctl.gym.facts.described` describes.

    Nothing is, wherever they can be taken as they are. Raises UnfitError where nothing helps.
    """
    steps, words, space = [], [], observation
    if _is_of_minigrid(space):
        left_out = [name for name in space["spaces"] if name != "image"]
        steps.append("image")
        words.append(f"the image alone, without {' and '.join(left_out)}")
        space = space["spaces"]["image"]
    if needs.form == "grid":
        _require_grid(space)
    elif not _is_taken(space, needs):
        size = _flat_size(space)
        if size > MOST_NUMBERS:
            raise UnfitError(f"{size} numbers are too many to be laid flat (at most {MOST_NUMBERS})")
        if not needs.flattens:
            steps += ["flatten", "float32"]
            words.append(f"{_in_words(space)}, as {size} numbers in a row")
    elif needs.float32 and space["dtype"] != "float32":
        steps.append("float32")
        words.append(f"{space['dtype']} as float32")
    return Change(tuple(steps), "; ".join(words))


def _is_of_minigrid(space: Mapping[str, Any]) -> bool:
    """Return whether observations are those of MiniGrid: a picture of objects, and a mission in words."""
    inner = space["spaces"] if space["kind"] == "dict" else {}
    return "image" in inner and inner.get("mission", {"class": ""})["class"].startswith("minigrid.")


def _is_taken(space: Mapping[str, Any], needs: Needs) -> bool:
    if needs.form == "array" and not needs.flattens:
        return space["kind"] in _ARRAYS
    return space["kind"] == "box" and len(space["shape"]) == 1


def _require_grid(space: Mapping[str, Any]) -> None:
    shape = tuple(space.get("shape", ()))
    if space["kind"] != "box" or len(shape) != 3 or shape[2] != 3:
        got = f"of shape {shape}" if space["kind"] == "box" else f"a {space['kind']}"
        raise UnfitError(f"minigrid_cnn takes grids of shape (height, width, 3), and these are {got}")


def _flat_size(space: Mapping[str, Any]) -> int:
    """Return how many numbers gymnasium's FlattenObservation makes of an observation."""
    kind = space["kind"]
    if kind in ("box", "multi_binary"):
        return math.prod(space["shape"])
    if kind == "discrete":
        return int(space["n"])
    if kind == "multi_discrete":
        return sum(_leaves(space["nvec"]))
    if kind in ("dict", "tuple"):
        inner = space["spaces"].values() if kind == "dict" else space["spaces"]
        return sum(map(_flat_size, inner))
    raise UnfitError(f"a {space['class'].partition(':')[2]} cannot be laid flat")


def _leaves(nested: Any) -> list[int]:
    if isinstance(nested, list):
        return [leaf for item in nested for leaf in _leaves(item)]
    return [nested]


def _in_words(space: Mapping[str, Any]) -> str:
    if space["kind"] == "discrete":
        return f"one of {space['n']} states"
    return f"{space['dtype']} {tuple(space['shape'])}" if space["kind"] == "box" else f"a {space['kind']}"
