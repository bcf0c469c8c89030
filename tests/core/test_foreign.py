"""Tables that converters go by: each field of a foreign file is read, left out with a reason, or named as unknown."""

from __future__ import annotations

from typing import Any

import pytest

from rlctl.config.foreign import (
    NotTakenError,
    flag,
    in_order,
    mapping,
    natural,
    read_fields,
    seed,
    text,
    whole,
    without_none,
)
from rlctl.errors import Problem


def test_what_a_table_names_is_read_and_the_rest_is_named() -> None:
    """Below a mapping, too; what is not wanted needs no reason."""
    tree = {"a": {"steps": 5e2, "film": True, "sound": False}, "b": {"x": {"y": 1}}, "a2": 3}
    said, left_out = read_fields(tree, {"a.steps": whole}, {"a.film": "no films", "a.sound": "silent", "b": "no use"})
    assert said == {"a.steps": 500}
    assert left_out == [
        Problem("a.film", "no films"),
        Problem("b.x.y", "no use"),
        Problem("a2", "unknown field.", 'Did you mean "a"?'),
    ]


def test_a_value_that_a_reader_refuses_is_left_out_with_its_words() -> None:
    """And costs no other field."""
    said, left_out = read_fields({"steps": "many", "seed": 0}, {"steps": whole, "seed": natural}, {})
    assert said == {"seed": 0}
    assert left_out == [Problem("steps", "expected a whole number, got 'many'")]


def test_what_should_have_been_a_mapping_is_not_shown() -> None:
    """There may be a key in it that nobody else is to see."""
    _, (problem,) = read_fields({"extras": ["key=secret"]}, {"extras.seed": natural}, {})
    assert (problem.path, problem.message) == ("extras", "expected a mapping, got list")
    with pytest.raises(NotTakenError, match="expected a mapping, got str"):
        mapping("secret")


def test_reasons_get_the_order_of_the_file() -> None:
    """What stands in no place of it comes last."""
    problems = [Problem("c", ""), Problem("b.x", ""), Problem("a", "")]
    assert [problem.path for problem in in_order(problems, {"a": 1, "b": {"x": 2}})] == ["a", "b.x", "c"]


def test_nulls_say_nothing() -> None:
    """Nor does the text None; in a list they have a place, and stay."""
    assert without_none({"a": None, "b": "None", "c": [None, {"d": None}], "e": 0}) == {"c": [None, {}], "e": 0}


@pytest.mark.parametrize(
    ("reader", "value", "read"),
    [
        (text, "x", "x"), (text, " ", None), (text, 3, None),
        (whole, 1e6, 1_000_000), (whole, 0, None), (whole, 1.5, None), (whole, True, None), (whole, float("nan"), None),
        (natural, 0, 0), (natural, -1, None), (natural, float("inf"), None),
        (seed, 7.0, 7), (seed, 2**32 + 1, None),
        (flag, "Yes", True), (flag, False, False), (flag, "maybe", None), (flag, 1, None),
        (mapping, {"a": 1}, {"a": 1}),
    ],
)  # fmt: skip
def test_a_reader_returns_the_value_or_refuses(reader: Any, value: Any, read: Any) -> None:
    """What it does not take is an error, never a guess."""
    if read is None:
        with pytest.raises(NotTakenError):
            reader(value)
    else:
        assert reader(value) == read
