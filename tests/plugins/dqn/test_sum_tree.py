"""The sum tree draws in proportion to its values, whatever was changed before."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlctl_dqn.sum_tree import SumTree

FEW = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def tree_of(values):
    """A tree with these values."""
    tree = SumTree(len(values))
    tree.update(np.arange(len(values)), np.asarray(values, np.float64))
    return tree


def find(values, point):
    """The index under a point, where the values lie side by side: a loop."""
    for index, value in enumerate(values):
        if point < value:
            return index
        point -= value
    raise AssertionError("the point lies beyond the values")


@FEW
@given(st.lists(st.integers(0, 50), min_size=1, max_size=40).filter(any), seeds)
def test_what_is_found_is_what_a_loop_finds(values, seed):
    """For whole numbers, whose sums are exact, any point, and points at the borders."""
    tree = tree_of(values)
    total = sum(values)
    points = np.concatenate([np.arange(total), np.random.default_rng(seed).uniform(0, total, 20)])
    assert tree.total == total
    assert tree.find(points).tolist() == [find(values, point) for point in points]


@FEW
@given(st.integers(1, 40), seeds)
def test_one_by_one_or_at_once_makes_the_same_tree(capacity, seed):
    """`put` and `update` in any order, and `rebuild`, leave the same sums to the last bit."""
    drawn = np.random.default_rng(seed)
    one, many = SumTree(capacity), SumTree(capacity)
    for _ in range(5):
        indices = drawn.integers(0, capacity, 8)
        values = dict(zip(indices.tolist(), drawn.uniform(0, 9, 8).tolist(), strict=True))
        for index, value in values.items():
            one.put(index, value)
        many.update(np.array(list(values)), np.array(list(values.values())))
    built = SumTree(capacity)
    built.leaves[:] = one.leaves
    built.rebuild()
    assert np.array_equal(one._nodes, many._nodes)
    assert np.array_equal(one._nodes, built._nodes)


@FEW
@given(st.integers(1, 100), seeds)
def test_a_leaf_of_value_zero_is_never_found(capacity, seed):
    """Not even by the very last point, which rounding may put beyond all values."""
    drawn = np.random.default_rng(seed)
    values = np.where(drawn.random(capacity) < 0.5, 0.0, drawn.uniform(0, 1, capacity) * 10.0 ** drawn.integers(-9, 9))
    values[drawn.integers(0, capacity)] = 0.1
    tree = tree_of(values)
    found = tree.find(np.linspace(0, tree.total, 200))
    assert (values[found] > 0).all()


def test_of_an_index_that_occurs_twice_the_last_value_counts():
    """As with any assignment."""
    tree = SumTree(3)
    tree.update(np.array([1, 1]), np.array([5.0, 2.0]))
    assert tree.total == 2.0


def test_an_empty_tree_has_nothing_to_find():
    """It says so, instead of returning an index that means nothing."""
    with pytest.raises(ValueError, match="nothing to find"):
        SumTree(4).draw(np.array([0.1, 0.7]))


def test_drawing_is_in_proportion_to_the_values():
    """A chi-square test over 200,000 draws: seven degrees of freedom, 24.3 is exceeded once in a thousand."""
    values = np.array([1.0, 2.0, 3.0, 0.0, 10.0, 0.5, 0.5, 4.0, 9.0])
    generator = np.random.default_rng(7)
    tree = tree_of(values)
    # One at a time: draws in one call are stratified, and closer to the proportions than chance is.
    points = generator.random(200_000) * tree.total
    counts = np.bincount(tree.find(points), minlength=len(values))
    expected = values / values.sum() * 200_000
    assert counts[3] == 0
    positive = values > 0
    assert ((counts - expected)[positive] ** 2 / expected[positive]).sum() < 24.3


def test_a_draw_is_spread_over_the_total():
    """One index from each equal part: of four equal values four draws find each once."""
    tree = tree_of([1.0, 1.0, 1.0, 1.0])
    for seed in range(20):
        assert tree.draw(np.random.default_rng(seed).random(4)).tolist() == [0, 1, 2, 3]
