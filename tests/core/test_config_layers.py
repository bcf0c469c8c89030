"""Layers of values merged into one configuration, where the last word wins and every value knows its origin."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlctl.config.layers import Layer, Merged, merge, nested, parse_overrides
from rlctl.errors import ConfigError
from rlctl.launch.start import origins_of

some_examples = settings(max_examples=60, deadline=None)


def test_a_later_layer_wins() -> None:
    """Of two layers that say the same key, the later one holds, in value and origin."""
    merged = merge([Layer("file", {"seed": 1, "algo": "a"}), Layer("--seed", {"seed": 0})])

    assert merged == Merged({"seed": 0, "algo": "a"}, {"seed": "--seed", "algo": "file"})


def test_mappings_are_merged_key_by_key() -> None:
    """A later mapping adds its keys and leaves the others alone."""
    merged = merge([Layer("a", {"h": {"x": 1, "y": {"z": 2}}}), Layer("b", {"h": {"y": {"w": 3}}})])

    assert merged.values == {"h": {"x": 1, "y": {"z": 2, "w": 3}}}
    assert (merged.origin("h.x"), merged.origin("h.y.z"), merged.origin("h.y.w")) == ("a", "a", "b")


@pytest.mark.parametrize("value", [[3], 3, None, False, "text"])
def test_anything_but_a_mapping_is_replaced(value: Any) -> None:
    """Lists are not appended to, and a scalar takes the place of a mapping with its origins."""
    merged = merge([Layer("a", {"k": {"x": 1}, "l": [1, 2]}), Layer("b", {"k": value, "l": value})])

    assert merged.values == {"k": value, "l": value}
    assert merged.origins == {"k": "b", "l": "b"}


def test_a_mapping_takes_the_place_of_a_scalar() -> None:
    """`callbacks: {jsonl: false}` and then options for it: the options hold, and both have the later origin."""
    merged = merge([Layer("a", {"c": {"jsonl": False}}), Layer("b", {"c": {"jsonl": {"x": 1}}})])

    assert merged.values == {"c": {"jsonl": {"x": 1}}}
    assert (merged.origin("c.jsonl"), merged.origin("c.jsonl.x")) == ("b", "b")


def test_an_empty_mapping_over_a_scalar_has_the_later_origin() -> None:
    """`--callback jsonl` after `jsonl: false` in a file is said by the flag, not by the file."""
    merged = merge(
        [Layer("file:3", {"callbacks": {"jsonl": False}}), Layer("--callback jsonl", {"callbacks": {"jsonl": {}}})]
    )

    assert merged.values == {"callbacks": {"jsonl": {}}}
    assert merged.origin("callbacks.jsonl") == "--callback jsonl"


def test_a_default_that_is_said_again_is_no_default_any_more() -> None:
    """Naming a default callback makes it the user's wish, so that its absence is an error."""
    merged = merge([Layer("default", {"callbacks": {"jsonl": {}}}), Layer("file:2", {"callbacks": {"jsonl": {}}})])

    assert merged.origin("callbacks.jsonl") == "file:2"


def test_an_empty_mapping_removes_nothing() -> None:
    """`hyperparameters: {}` in a later layer leaves what an earlier one set."""
    merged = merge([Layer("a", {"h": {"x": 1}}), Layer("b", {"h": {}})])

    assert merged.values == {"h": {"x": 1}}
    assert merged.origin("h.x") == "a"


@pytest.mark.parametrize(
    ("layers", "values"),
    [
        ([{"env": "A-v0"}, {"env": {"num_envs": 4}}], {"id": "A-v0", "num_envs": 4}),
        ([{"env": {"id": "A-v0", "num_envs": 4}}, {"env": "B-v0"}], {"id": "B-v0", "num_envs": 4}),
        ([{"env": "A-v0"}, {"env": "B-v0"}], {"id": "B-v0"}),
        (
            [{"env": {"kwargs": {"g": 9}}}, {"env": "B-v0"}, {"env": {"kwargs": {"h": 8}}}],
            {"id": "B-v0", "kwargs": {"g": 9, "h": 8}},
        ),
    ],
)
def test_an_env_may_be_a_plain_id(layers: list[dict[str, Any]], values: dict[str, Any]) -> None:
    """`env: ID` is `env: {id: ID}`, so that either layer can add to the other."""
    assert merge([Layer(str(index), layer) for index, layer in enumerate(layers)]).values == {"env": values}


def test_the_plain_id_of_an_env_knows_its_line() -> None:
    """The id that a file gives as `env: ID` has that line as origin."""
    merged = merge([Layer("exp.yaml", {"env": "A-v0"}, {"env": "exp.yaml:7"})])

    assert merged.origin("env.id") == "exp.yaml:7"


def test_callbacks_may_be_a_list_of_names() -> None:
    """`callbacks: [a, b]` switches them on without options and leaves the defaults on."""
    merged = merge(
        [Layer("default", {"callbacks": {"jsonl": {}}}), Layer("file", {"callbacks": ["tensorboard", "empty"]})]
    )

    assert merged.values == {"callbacks": {"jsonl": {}, "tensorboard": {}, "empty": {}}}
    assert merged.origin("callbacks.empty") == "file"


def test_the_origin_of_a_value_inside_a_value_is_its_holder() -> None:
    """A path below a known one has that one's origin, an unknown path has none."""
    merged = merge([Layer("file", {"env": {"kwargs": [1]}})])

    assert (merged.origin("env.kwargs.0"), merged.origin("seed"), merged.origin("")) == ("file", None, None)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("seed=0", ("seed",), 0),
        ("hyperparameters.learning_rate=1e-3", ("hyperparameters", "learning_rate"), 1e-3),
        ("env.kwargs={gravity: 9.8}", ("env", "kwargs"), {"gravity": 9.8}),
        ("name=a=b", ("name",), "a=b"),
        ("name=", ("name",), ""),
        (" seed =3", ("seed",), 3),
        ("env.imports=[a, b]", ("env", "imports"), ["a", "b"]),
        ("name='3'", ("name",), "3"),
        ("seed=null", ("seed",), None),
    ],
)
def test_a_set_is_a_path_and_a_value(text: str, path: tuple[str, ...], value: Any) -> None:
    """`--set a.b=value` splits at the first `=` and reads the value as YAML; its origin names the path."""
    (layer,) = parse_overrides([text])

    assert layer.values == nested(list(path), value)
    assert layer.origin == f"--set {'.'.join(path)}"


@pytest.mark.parametrize("text", ["seed", "", "=3", "a..b=3", ".a=3", "a.=3"])
def test_a_malformed_set_is_refused(text: str) -> None:
    """Without a `=` or with an empty key there is nothing to set; the refusal shows the text and an example."""
    with pytest.raises(ConfigError, match=r"expected key=value") as caught:
        parse_overrides([text])

    assert f'"{text}"' in str(caught.value)


def test_all_malformed_sets_are_refused_at_once() -> None:
    """Each of several malformed assignments is a problem of its own."""
    with pytest.raises(ConfigError) as caught:
        parse_overrides(["seed", "env.id=X-v0", "=3"])

    assert len(caught.value.problems) == 2


def test_merging_leaves_the_layers_alone() -> None:
    """Layers are not changed by being merged, so that a default stays one."""
    layers = [Layer("a", {"h": {"x": 1}}), Layer("b", {"h": {"y": 2}, "env": "E-v0"})]
    before = copy.deepcopy([layer.values for layer in layers])

    merge(layers).values["h"]["z"] = 3

    assert [layer.values for layer in layers] == before


# A key is always a mapping ("m…") or always a leaf ("l…"): that is what a schema guarantees, and what makes merging associative.
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.lists(st.integers())
)


def _trees(depth: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    leaves = st.dictionaries(st.sampled_from(["la", "lb", "lc"]), _LEAVES, max_size=3)
    if depth == 0:
        return leaves
    inner = st.dictionaries(st.sampled_from(["ma", "mb"]), _trees(depth - 1), max_size=2)
    return st.builds(lambda a, b: {**a, **b}, leaves, inner)


def _any_trees(*keys: str) -> st.SearchStrategy[Any]:
    """Return trees in which any key may be anything."""
    below = st.recursive(_LEAVES, lambda inner: st.dictionaries(st.sampled_from(keys), inner))
    return st.dictionaries(st.sampled_from(keys), below)


def _leaves_of(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _leaves_of(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


@some_examples
@given(_trees(), _trees(), _trees())
def test_merging_is_associative(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    """Three layers give the same values whichever two are merged first."""
    first, second, third = Layer("a", a), Layer("b", b), Layer("c", c)

    left = merge([Layer("ab", merge([first, second]).values), third])
    right = merge([first, Layer("bc", merge([second, third]).values)])

    assert left.values == right.values == merge([first, second, third]).values


@some_examples
@given(st.lists(_trees(), min_size=1, max_size=4))
def test_the_last_layer_that_says_a_leaf_wins(trees: list[dict[str, Any]]) -> None:
    """For each leaf, value and origin are those of the last layer that has it."""
    merged = merge([Layer(str(index), tree) for index, tree in enumerate(trees)])

    expected: dict[str, tuple[Any, str]] = {}
    for index, tree in enumerate(trees):
        expected |= {path: (value, str(index)) for path, value in _leaves_of(tree).items()}
    assert {path: (value, merged.origins[path]) for path, value in _leaves_of(merged.values).items()} == expected


@some_examples
@given(st.lists(_any_trees("a", "b", "env", "callbacks"), max_size=4))
def test_every_leaf_has_an_origin(trees: list[dict[str, Any]]) -> None:
    """Whatever the layers hold, mappings over scalars too, no leaf of the merged tree is without origin."""
    merged = merge([Layer(f"layer {index}", tree) for index, tree in enumerate(trees)])

    assert all(merged.origin(path) is not None for path in _leaves_of(merged.values))


@some_examples
@given(_any_trees("a", "b.c", "c"))
def test_the_list_of_origins_is_complete(tree: dict[str, Any]) -> None:
    """`origins_of`, which a dry run and config.json show, names every value that is not a mapping with entries."""
    origins = origins_of(tree, merge([Layer("here", tree)]))

    def leaves(node: dict[str, Any], prefix: str = "") -> set[str]:
        return {
            path
            for key, value in node.items()
            for path in (leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}"})
        }

    assert set(origins) == leaves(tree)
