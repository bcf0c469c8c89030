"""When a stage of a curriculum is over: `steps>=200000 | episodes>=50 & episode_return>=0.9`, read by a parser of its own.

    condition  = all ("|" all)*
    all        = comparison ("&" comparison)*
    comparison = metric comparator number

`&` binds more tightly than `|`; there are no parentheses, as any condition can be written without. Spaces mean nothing.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping

from attrs import frozen

from rlctl.errors import did_you_mean

METRICS = ("steps", "episodes", "episode_return")
COMPARATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, ">": operator.gt, "<": operator.lt,
}  # fmt: skip

_COMPARISON = re.compile(r"\s*(\w+)\s*(>=|<=|==|>|<)\s*([-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


@frozen
class Comparison:
    """One metric against one number."""

    metric: str
    comparator: str
    limit: float

    def holds(self, values: Mapping[str, float]) -> bool:
        """Return whether it is true of `values`, by metric; never of one that is not known yet, or no number."""
        value = values.get(self.metric, math.nan)
        return not math.isnan(value) and COMPARATORS[self.comparator](value, self.limit)

    def __str__(self) -> str:
        return f"{self.metric}{self.comparator}{self.limit:.17g}"


Condition = tuple[tuple[Comparison, ...], ...]
"""Alternatives, each of comparisons that must all hold."""


def parse_condition(text: str) -> Condition:
    """Return a condition; raises ValueError, with what is wrong in it, for a text that is none."""
    return tuple(tuple(_comparison(part) for part in alternative.split("&")) for alternative in text.split("|"))


def _comparison(text: str) -> Comparison:
    found = _COMPARISON.fullmatch(text)
    if found is None:
        raise ValueError(f'expected a comparison such as "steps>=200000" (joined by & and |), got "{text.strip()}".')
    metric, comparator, number = found.groups()
    if metric not in METRICS:
        hint = did_you_mean(metric, METRICS) or ""
        raise ValueError(f'there is no metric "{metric}"; there are {", ".join(METRICS)}. {hint}'.rstrip())
    limit = float(number)
    if not math.isfinite(limit):
        raise ValueError(f"{number} is too large a number.")
    return Comparison(metric, comparator, limit)


def what_holds(condition: Condition, values: Mapping[str, float]) -> str | None:
    """Return the first alternative that is true of `values`, as text; None if none is."""
    for alternative in condition:
        if all(comparison.holds(values) for comparison in alternative):
            return " & ".join(map(str, alternative))
    return None


def condition_text(condition: Condition) -> str:
    """Return a condition as `parse_condition` reads it."""
    return " | ".join(" & ".join(map(str, alternative)) for alternative in condition)
