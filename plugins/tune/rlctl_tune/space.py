"""A search space: ranges, choices, and parameters that are tied to others; pure, without Optuna."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import field, frozen

from rlctl.parameters import Parameter

Value = Any


@frozen(kw_only=True)
class Range:
    """Numbers from `low` to `high`, both included, on a logarithmic scale or in steps; whole ones if all of these are."""

    key: str
    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return all(isinstance(value, int) for value in (self.low, self.high, *filter(None, [self.step])))

    def edges(self) -> tuple[Value, ...]:
        """Return its ends, between which all is taken to be sound when both are."""
        return (self.low, self.high)

    def count(self) -> int | None:
        """Return how many values it has; None when they cannot be counted."""
        return None if self._distance is None else int((self.high - self.low) / self._distance + 1e-9) + 1

    def grid(self) -> tuple[Value, ...] | None:
        """Return all of its values; None when they cannot be counted."""
        count, distance = self.count(), self._distance
        if count is None or distance is None:
            return None
        return tuple(self.low + index * distance for index in range(count))

    @property
    def _distance(self) -> float | None:
        return self.step or (1 if self.whole and not self.log else None)


@frozen(kw_only=True)
class Choice:
    """One of some values of any kind. Optuna stores scalars, so that a list or mapping is there as its JSON."""

    key: str
    values: tuple[Value, ...] = field(converter=tuple)

    @property
    def labels(self) -> tuple[Value, ...]:
        """What stands for each value in Optuna's storage."""
        return tuple(
            value if value is None or isinstance(value, (bool, int, float, str)) else json.dumps(value)
            for value in self.values
        )

    def value_of(self, label: Value) -> Value:
        """Return the value that a label stands for."""
        return self.values[self.labels.index(label)]

    def edges(self) -> tuple[Value, ...]:
        """Return all values, as any of them may be unsound."""
        return self.values

    def count(self) -> int:
        """Return how many values it has."""
        return len(self.values)

    def grid(self) -> tuple[Value, ...]:
        """Return all values."""
        return self.values


@frozen(kw_only=True)
class Tied:
    """The value of another parameter, `times` as much."""

    key: str
    same_as: str
    times: float | None = None

    def value_of(self, other: Value) -> Value:
        """Return what it is when the other one is `other`; a whole number where both that and the product are."""
        if self.times is None:
            return other
        product = other * self.times
        return int(product) if isinstance(other, int) and float(product).is_integer() else product


@frozen
class Space:
    """What is searched: `free` parameters in the order of the file, and those `tied` to one of them."""

    free: tuple[Range | Choice, ...]
    tied: tuple[Tied, ...] = ()

    def complete(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return key → value of all parameters, given those of the free ones."""
        return {**values, **{item.key: item.value_of(values[item.same_as]) for item in self.tied}}

    def corners(self) -> Iterator[dict[str, Value]]:
        """Yield settings in which each edge of each parameter occurs once, the others being at their first one."""
        first = {item.key: item.edges()[0] for item in self.free}
        yield self.complete(first)
        for item in self.free:
            for edge in item.edges()[1:]:
                yield self.complete({**first, item.key: edge})

    def combinations(self) -> Iterator[dict[str, Value]]:
        """Yield all settings of the free parameters, the last one changing fastest; each must have a grid."""
        axes = [item.grid() or () for item in self.free]
        for values in itertools.product(*axes):
            yield dict(zip([item.key for item in self.free], values, strict=True))


def _parameter(name: str, kinds: Iterable[Any], doc: str, **more: Any) -> Parameter:
    return Parameter(name=name, kinds=tuple(kinds), doc=doc, **more)


RANGE = (
    _parameter("low", ("number",), "Smallest value.", required=True),
    _parameter("high", ("number",), "Largest value.", required=True),
    _parameter("log", ("boolean",), "On a logarithmic scale.", default=False),
    _parameter("step", ("number", "null"), "Distance of neighbours.", exclusive_minimum=0),
)
CHOICE = (_parameter("values", ("array",), "What can be chosen.", required=True),)
TIED = (
    _parameter("same_as", ("string",), "The parameter whose value it takes.", required=True),
    _parameter("times", ("number", "null"), "A factor."),
)
