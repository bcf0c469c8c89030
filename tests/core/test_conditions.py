"""The conditions that end a stage of a curriculum: what is one, what it means, what is said of one that is wrong."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlctl.config.conditions import COMPARATORS, METRICS, Comparison, condition_text, parse_condition, what_holds

numbers = st.floats(allow_nan=False, allow_infinity=False)
comparisons = st.builds(Comparison, st.sampled_from(METRICS), st.sampled_from(sorted(COMPARATORS)), numbers)
conditions = st.lists(st.lists(comparisons, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3).map(tuple)
values = st.dictionaries(st.sampled_from(METRICS), st.floats())


@given(conditions)
def test_a_condition_that_was_written_is_read_as_what_it_was(condition):
    assert parse_condition(condition_text(condition)) == condition


@given(conditions, values)
def test_it_holds_where_python_says_so(condition, known):
    """`|` of `&` of comparisons; what is not known, or no number, holds of nothing."""

    def one(comparison):
        value = known.get(comparison.metric, math.nan)
        return COMPARATORS[comparison.comparator](value, comparison.limit) and not math.isnan(value)

    assert (what_holds(condition, known) is not None) == any(all(map(one, parts)) for parts in condition)


@given(st.text(alphabet="steps episod_return<>=|&0123456789.-+e()", max_size=30))
def test_any_other_text_is_refused_and_nothing_else_happens(text):
    with contextlib.suppress(ValueError):
        condition = parse_condition(text)
        assert parse_condition(condition_text(condition)) == condition


def test_and_binds_more_tightly_than_or():
    condition = parse_condition("steps>=10 | episodes>=5 & episode_return>0.5")
    assert what_holds(condition, {"steps": 10.0}) == "steps>=10"
    assert what_holds(condition, {"steps": 9.0, "episodes": 5.0}) is None
    assert what_holds(condition, {"episodes": 5.0, "episode_return": 0.6}) == "episodes>=5 & episode_return>0.5"


@pytest.mark.parametrize(
    ("text", "limit"), [("steps >= 200_000", 2e5), ("steps<1e3", 1e3), ("episode_return==-.5", -0.5)]
)
def test_numbers_are_written_as_in_python(text, limit):
    assert parse_condition(text)[0][0].limit == limit


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", 'got ""'),
        ("steps>=1 |", 'got ""'),
        ("steps=>5", 'got "steps=>5"'),
        ("(steps>=5)", 'got "(steps>=5)"'),
        ("steps>=nan", 'got "steps>=nan"'),
        ("steps>=1e999", "1e999 is too large a number"),
        ("stpes>=5", 'there is no metric "stpes"; there are steps, episodes, episode_return. Did you mean'),
        ("__import__('os')", "expected a comparison"),
    ],
)
def test_what_is_wrong_is_said(text, said):
    with pytest.raises(ValueError, match=r".+") as caught:
        parse_condition(text)
    assert said in str(caught.value)
