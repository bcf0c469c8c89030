"""Python in texts of the zoo: data is understood, anything more is refused and never executed."""

import ast
import builtins
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlctl_sb3.zoo.literals import NAMES, NotLiteralError, parse_literal

SCALARS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
DATA = st.recursive(
    SCALARS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
WORDS = st.from_regex(r"[a-z]{3,8}", fullmatch=True).filter(lambda name: f"x{name}".isidentifier())

MORE_THAN_DATA = (
    "__import__('os').system('true')", "open('leak', 'w')", "exec('1')", "eval('1')", "print('x')", "lambda: 0",
    "[x for x in (1, 2)]", "{x: 1 for x in 'ab'}", "(x := 1)", "1 + 1", "'a' * 9", "2 ** 99999999", "not 1", "1 < 2",
    "1 if 1 else 2", "[1, 2][0]", "nn.ReLU()", "nn.Module", "os.system", "x", "b'x'", "1j", "...", "f'{1}'", "{1, 2}",
    "dict([('a', 1)])", "dict(**{'a': 1})", "{**{}}", "{1: 2}", "dict(a=open('leak', 'w'))", "[*range(3)]", "await x",
    "list('ab')", "tuple(range(3))", "1e999", "dict(a=1, a=2)", "{'a': 1, 'a': 2}", "type('X', (), {})", "nn", "-True",
    "-'a'", "().__class__", "1; 2", "import os", "", "(", "\x00",
)  # fmt: skip


@pytest.mark.parametrize("text", MORE_THAN_DATA)
def test_what_is_more_than_data_is_refused_and_never_executed(text, monkeypatch, tmp_path):
    """Whatever a text would do, it does not: nothing is called, no file appears."""
    monkeypatch.chdir(tmp_path)

    def called(*args, **kwargs):
        raise AssertionError("executed")

    with monkeypatch.context() as patched:
        for name in ("eval", "exec", "open", "print"):
            patched.setattr(builtins, name, called)
        patched.setattr(os, "system", called)
        with pytest.raises(NotLiteralError) as refused:
            parse_literal(text)
    assert str(refused.value)
    assert list(tmp_path.iterdir()) == []


@given(DATA)
def test_data_that_python_writes_comes_back(data):
    """`repr` of lists, mappings, texts and numbers is read as what it was."""
    assert parse_literal(repr(data)) == data


@given(st.dictionaries(WORDS.map(lambda name: f"x{name}"), DATA, max_size=5))
def test_a_call_of_dict_is_the_mapping(data):
    """`dict(a=1)` is what the zoo's files write."""
    text = f"dict({', '.join(f'{name}={value!r}' for name, value in data.items())})"
    assert parse_literal(text) == data


@given(st.text(max_size=60))
def test_any_text_is_read_as_data_or_refused(text):
    """There is no third outcome, and what is accepted is data of JSON or a name of the list."""
    try:
        value = parse_literal(text)
    except NotLiteralError:
        return
    assert value is None or isinstance(value, (bool, int, float, str, list, dict))


@given(WORDS, WORDS, DATA)
def test_a_name_or_call_that_is_not_on_the_list_is_refused_at_any_depth(module, name, data):
    """Also inside of lists and mappings."""
    for expression in (f"{module}.{name}", f"{module}_({data!r})", f"{module}.{name}({data!r})"):
        for text in (expression, f"[{expression}]", f"dict(a=[{{'b': {expression}}}])"):
            if module in text and f"{module}.{name}" not in NAMES:
                with pytest.raises(NotLiteralError):
                    parse_literal(text)


def test_tuples_are_lists():
    """A configuration knows lists only."""
    assert parse_literal("(1, (2, 'episode'), tuple([3]), list())") == [1, [2, "episode"], [3], []]


def test_names_of_the_list_become_what_a_configuration_says():
    """Activations have short names, other classes are `package.module:Class`."""
    found = parse_literal("[nn.ReLU, th.nn.Tanh, nn.GELU, torch.optim.Adam, HerReplayBuffer]")
    assert found == ["relu", "tanh", "torch.nn:GELU", "torch.optim:Adam", "stable_baselines3:HerReplayBuffer"]


def test_every_class_of_the_list_exists():
    """A configuration that names one can be run."""
    from rlctl.descriptors import resolve

    for meaning in {name for name in NAMES.values() if ":" in name}:
        assert isinstance(resolve(meaning), type)


@pytest.mark.parametrize("text", ["[" * 60 + "]" * 60, "[" * 5000, "-" * 3000 + "1", "1" * 20_000, "1" * 5000])
def test_a_text_that_is_too_deep_or_too_long_is_refused(text):
    """Neither the parser's stack nor its memory is at a stranger's mercy."""
    with pytest.raises(NotLiteralError):
        parse_literal(text)


def test_the_refused_texts_are_python_otherwise():
    """Most of them would run: it is not their syntax that they are refused for."""
    parsed = []
    for text in MORE_THAN_DATA:
        try:
            parsed.append(ast.parse(text, mode="eval"))
        except (SyntaxError, ValueError):
            continue
    assert len(parsed) > 35
