"""The key `space` of a sweep's file to a search space; and what gathers the problems of that file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from rlctl.config.check import check_values
from rlctl.config.layers import Merged
from rlctl.errors import Problem, did_you_mean
from rlctl.parameters import Parameter
from rlctl_tune.space import CHOICE, RANGE, TIED, Choice, Range, Space, Tied

_NOT_SEARCHED = ("seed", "evaluation", "name", "labels", "total_timesteps", "total_episodes", "env.id")
_FORMS = {"low", "high", "values", "same_as"}


@define
class Gathered:
    """The values of a file, where each of them stands, and what is wrong with them."""

    merged: Merged
    problems: list[Problem] = field(factory=list)

    def wrong(self, path: str, message: str, hint: str | None = None) -> None:
        """Note a problem."""
        self.problems.append(Problem(path, message, hint, self.merged.origin(path)))

    def check(self, values: Any, known: tuple[Parameter, ...], path: str, whose: str) -> bool:
        """Note what does not fit the parameters that are `known`; return whether all does."""
        found = check_values(values, known, path, self.merged, whose)
        self.problems += [Problem(item.path.lstrip("."), item.message, item.hint, item.origin) for item in found]
        return not found


def read_space(said: Mapping[str, Any], found: Gathered) -> Space | None:
    """Return the space that is said; None, with the problems noted, when there is any."""
    before = len(found.problems)
    items = [_item(key, values, found) for key, values in said.items()]
    free = tuple(item for item in items if isinstance(item, Range | Choice))
    tied = tuple(item for item in items if isinstance(item, Tied))
    for item in tied:
        _check_tie(item, said, free, found)
    if not free and len(found.problems) == before:
        found.wrong("space", "is empty: nothing is searched", "Example: hyperparameters.gamma: {values: [0.98, 0.99]}")
    return Space(free, tied) if len(found.problems) == before else None


def _item(key: str, values: Any, found: Gathered) -> Range | Choice | Tied | None:
    where = f"space.{key}"
    if key == "env" or any(f"{key}.".startswith(f"{name}.") for name in _NOT_SEARCHED):
        found.wrong(where, "cannot be searched: scores would not be of the same measurement")
        return None
    if not isinstance(values, Mapping) or not _FORMS & {*values}:
        found.wrong(where, f"expected low and high, values, or same_as; got {values!r}")
        return None
    known = TIED if "same_as" in values else CHOICE if "values" in values else RANGE
    if not found.check(values, known, where, f'"{key}"'):
        return None
    if known is TIED:
        return Tied(key=key, **values)
    return _choice(key, values["values"], found) if known is CHOICE else _range(key, values, found)


def _choice(key: str, values: list[Any], found: Gathered) -> Choice | None:
    item = Choice(key=key, values=values)
    # 1 and true are equal, and a list is stored as its JSON, which may be there as a string, too.
    if not values or len({*item.labels}) < len(values):
        found.wrong(f"space.{key}.values", f"expected different values, got {values!r}")
        return None
    return item


def _range(key: str, values: Mapping[str, Any], found: Gathered) -> Range | None:
    item, where = Range(key=key, **values), f"space.{key}"
    if not (math.isfinite(item.low) and math.isfinite(item.high)):
        found.wrong(where, f"low and high must be finite, got {item.low} and {item.high}")
    elif not item.low < item.high:
        found.wrong(where, f"low must be below high, got {item.low} and {item.high}")
    elif item.log and item.low <= 0:
        found.wrong(where, f"a logarithmic scale begins above 0, got {item.low}")
    elif item.log and item.step is not None:
        found.wrong(where, "has either steps or a logarithmic scale")
    elif item.step is not None and item.step > item.high - item.low:
        found.wrong(f"{where}.step", f"{item.step} is more than the whole range, from {item.low} to {item.high}")
    else:
        return item
    return None


def _check_tie(item: Tied, said: Mapping[str, Any], free: tuple[Range | Choice, ...], found: Gathered) -> None:
    where, sources = f"space.{item.key}.same_as", {other.key: other for other in free}
    if item.same_as not in said:
        found.wrong(where, f'"{item.same_as}" is not searched.', did_you_mean(item.same_as, sources))
    elif isinstance(said[item.same_as], Mapping) and "same_as" in said[item.same_as]:
        found.wrong(where, f'"{item.same_as}" is tied itself', "Name what that is tied to.")
    elif item.times is not None and item.same_as in sources:
        values = sources[item.same_as].edges()
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            found.wrong(f"space.{item.key}.times", f'"{item.same_as}" has values that are no numbers')
