"""Configuration files in: what YAML 1.2, TOML and JSON mean, where each value stands, and files that are none."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlctl.config.files import parse_scalar, read_config
from rlctl.errors import ConfigError, RlctlError, UsageError

some_examples = settings(max_examples=40, deadline=None)
"""Enough to find what is wrong; a deadline would only measure how busy the machine is."""


def read(folder: Path, name: str, content: str | bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """Write a file and read it as a configuration."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_config(path)


def test_yaml_is_version_1_2(tmp_path: Path) -> None:
    """`no`, `on`, `yes` and `1:30` are strings, `1e-4` and `1e6` are floats, `0o17` is 15 and `010` is ten."""
    text = "a: no\nb: on\nc: yes\nd: 1:30\ne: 1e-4\nf: 1e6\ng: 0o17\nh: 010\ni: true\nj: ~\nk: 3\n"

    values, _ = read(tmp_path, "c.yaml", text)

    assert values == {
        "a": "no", "b": "on", "c": "yes", "d": "1:30", "e": 1e-4, "f": 1e6, "g": 15, "h": 10, "i": True, "j": None, "k": 3,
    }  # fmt: skip
    assert {name: type(value) for name, value in values.items() if name in "efgk"} == {
        "e": float, "f": float, "g": int, "k": int,
    }  # fmt: skip


def test_values_are_plain_python_types(tmp_path: Path) -> None:
    """Nothing of ruamel's own types, which remember comments, leaves the reader."""
    values, _ = read(tmp_path, "c.yaml", "a: 0x10 # sixteen\nb: 'text'\nc: [1.50, yes]\nd: {e: 1_000}\n")

    assert (type(values["a"]), type(values["b"]), type(values["c"]), type(values["d"])) == (int, str, list, dict)
    assert [type(item) for item in values["c"]] == [float, str]
    assert json.loads(json.dumps(values)) == values


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("c.yaml", "worker: a\nseed: 1\nworker: b\n", "c.yaml:3"),
        ("c.yaml", "env:\n  id: a\n  id: b\n", "c.yaml:3"),
        ("c.json", '{"worker": "a", "worker": "b"}', "c.json"),
        ("c.toml", 'worker = "a"\nworker = "b"\n', "c.toml"),
    ],
)
def test_duplicate_keys_are_refused(tmp_path: Path, name: str, text: str, where: str) -> None:
    """A key that stands twice is refused, in YAML with the line of the second one."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, name, text)

    assert f"{tmp_path / where}: cannot be parsed" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", "worker: dqn\nenv:\n  id: X-v0\n  num_envs: 4\nhyperparameters: {learning_rate: 1e-3}\n"),
        (
            "c.json",
            '{"worker": "dqn", "env": {"id": "X-v0", "num_envs": 4}, "hyperparameters": {"learning_rate": 1e-3}}',
        ),
        ("c.toml", 'worker = "dqn"\n[env]\nid = "X-v0"\nnum_envs = 4\n[hyperparameters]\nlearning_rate = 1e-3\n'),
    ],
)
def test_the_three_formats_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    """YAML, JSON and TOML lead to equal values, each with its file as origin."""
    values, origins = read(tmp_path, name, text)

    assert values == {
        "worker": "dqn", "env": {"id": "X-v0", "num_envs": 4}, "hyperparameters": {"learning_rate": 1e-3},
    }  # fmt: skip
    assert {origin.split(":")[0] for origin in origins.values()} == {name}
    assert {"worker", "env.id", "env.num_envs", "hyperparameters.learning_rate"} <= set(origins)


def test_yaml_origins_have_lines(tmp_path: Path) -> None:
    """Each YAML value remembers its line, also behind comments, blank lines and in flow style."""
    text = "# head\n\nworker: dqn\nenv:\n  # which\n  id: X-v0\n\nhyperparameters: {a: 1,\n  b: 2}\nlist:\n  - 1\n"

    _, origins = read(tmp_path, "exp.yaml", text)

    assert {path: origin.split(":")[1] for path, origin in origins.items()} == {
        "worker": "3", "env": "4", "env.id": "6", "hyperparameters": "8", "hyperparameters.a": "8",
        "hyperparameters.b": "9", "list": "10",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("c.yaml", "worker: dqn\nenv: [1, 2\nseed: 3\n", 3),
        ("c.json", '{\n"a": 1\n"b": 2}', 3),
        ("c.yaml", "a: 1\n\tb: 2\n", 2),
    ],
)
def test_a_syntax_error_names_its_line(tmp_path: Path, name: str, text: str, line: int) -> None:
    """What cannot be parsed is one problem with file and line."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, name, text)

    (problem,) = caught.value.problems
    assert problem.path == f"{tmp_path / name}:{line}"
    assert "\n" not in str(problem)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n"])
def test_an_empty_yaml_file_says_nothing(tmp_path: Path, text: str) -> None:
    """A file without values is an empty configuration, not an error of its own."""
    assert read(tmp_path, "c.yaml", text) == ({}, {})


@pytest.mark.parametrize(
    ("name", "text"), [("c.yaml", "- 1\n- 2\n"), ("c.json", "[1]"), ("c.yaml", "word"), ("c.json", "3")]
)
def test_something_else_than_a_mapping_at_the_top_is_refused(tmp_path: Path, name: str, text: str) -> None:
    """A list or a scalar at the top is refused with its kind."""
    with pytest.raises(ConfigError, match=r"expected a mapping at the top, got \w+"):
        read(tmp_path, name, text)


@pytest.mark.parametrize(
    ("name", "text"), [("c.yaml", "worker: dqn"), ("c.json", '{"worker": "dqn"}'), ("c.toml", 'worker = "dqn"')]
)
def test_a_byte_order_mark_is_no_content(tmp_path: Path, name: str, text: str) -> None:
    """A file that a Windows editor saved with a byte order mark reads as without."""
    values, _ = read(tmp_path, name, b"\xef\xbb\xbf" + text.encode())

    assert values == {"worker": "dqn"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", "worker: dqn\r\nname: |\r\n  a\r\n  b\r\n"),
        ("c.toml", 'worker = "dqn"\r\nname = """a\r\nb\r\n"""\r\n'),
    ],
)
def test_windows_line_ends_are_line_ends(tmp_path: Path, name: str, text: str) -> None:
    """CRLF neither ends up in values nor moves lines."""
    values, origins = read(tmp_path, name, text)

    assert values == {"worker": "dqn", "name": "a\nb\n"}
    assert origins["name"] in ("c.yaml:2", "c.toml")


def test_unicode_survives(tmp_path: Path) -> None:
    """Names in any script arrive as they were written, in keys as well."""
    values, origins = read(tmp_path, "c.yaml", "name: Größe 漢字 🚀\nlabels: {ключ: значение}\n")

    assert values == {"name": "Größe 漢字 🚀", "labels": {"ключ": "значение"}}
    assert origins["labels.ключ"] == "c.yaml:2"


@pytest.mark.parametrize(("content", "reason"), [(b"\xff\xfe\x00w", "UTF-8"), (bytes(range(128, 256)), "UTF-8")])
def test_a_binary_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """What is not UTF-8 is refused by name and reason."""
    with pytest.raises(UsageError, match=reason) as caught:
        read(tmp_path, "c.yaml", content)

    assert "c.yaml" in str(caught.value)


@pytest.mark.parametrize("name", ["c.txt", "c", "c.yaml.bak", "c.ini"])
def test_a_foreign_suffix_is_refused(tmp_path: Path, name: str) -> None:
    """Only the four suffixes are configuration files; the refusal lists them."""
    with pytest.raises(UsageError, match=r"must end in \.yaml, \.yml, \.toml, \.json"):
        read(tmp_path, name, "worker: dqn")


@pytest.mark.parametrize("name", ["C.YAML", "c.Yml", "c.JSON"])
def test_the_suffix_may_be_in_capitals(tmp_path: Path, name: str) -> None:
    """The suffix decides in any case of letters."""
    assert read(tmp_path, name, '{"worker": "dqn"}')[0] == {"worker": "dqn"}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is refused with its path and the system's reason."""
    with pytest.raises(UsageError, match=r"nowhere\.yaml.*No such file"):
        read_config(tmp_path / "nowhere.yaml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """A folder, whatever its name, is refused."""
    (tmp_path / "c.yaml").mkdir()

    with pytest.raises(UsageError, match="directory"):
        read_config(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", "a: " + "[" * 400),
        ("c.json", "[" * 100_000),
        ("c.toml", "a = " + "[" * 5000),
        ("c.yaml", "a: &a [*a]\nb: &b {c: *b}\n"),
        ("c.yaml", "name: 2024-13-45\n"),
        ("c.yaml", f"seed: {'1' * 5000}\n"),
        ("c.json", f'{{"seed": {"1" * 5000}}}'),
        ("c.toml", f"seed = {'1' * 5000}\n"),
        ("c.yaml", "a: *nobody\n"),
        ("c.yaml", "a: 1\n---\nb: 2\n"),
        ("c.yaml", "a: \x00\n"),
        ("c.yaml", "%YAML 9.9\n---\na: 1\n"),
        ("c.yaml", "[1, 2]: 3\n"),
        ("c.yaml", "<<: 3\n"),
        ("c.json", '{"a": 1} x'),
    ],
    ids=lambda text: str(text)[:20],
)
def test_hostile_files_never_show_a_traceback(tmp_path: Path, name: str, text: str) -> None:
    """Whatever a file holds, the reader answers with values that are JSON or with an error of ours."""
    with contextlib.suppress(RlctlError):
        values, _ = read(tmp_path, name, text)
        assert json.dumps(values)


def test_aliases_cannot_fill_the_memory(tmp_path: Path) -> None:
    """Ten lines of aliases that stand for a billion values are refused at once."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]

    with pytest.raises(ConfigError, match="more than 1000000 values"):
        read(tmp_path, "c.yaml", "\n".join(lines))


def test_aliases_and_merge_keys_are_written_out(tmp_path: Path) -> None:
    """YAML's anchors work: two places that share a value are two values."""
    values, _ = read(tmp_path, "c.yaml", "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\n")

    assert values == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}


def test_yaml_tags_execute_nothing(tmp_path: Path) -> None:
    """A tag that asks a careless loader to call something yields data or an error, and calls nothing."""
    mark = tmp_path / "executed"

    with contextlib.suppress(RlctlError):
        read(tmp_path, "c.yaml", f'a: !!python/object/apply:os.system ["touch {mark}"]\n')

    assert not mark.exists()


def test_nan_and_infinity_are_read_as_such(tmp_path: Path) -> None:
    """The reader passes non-finite numbers on in all formats; it is the check that refuses them."""
    yaml, _ = read(tmp_path, "c.yaml", "a: .nan\nb: -.inf\n")
    toml, _ = read(tmp_path, "c.toml", "a = nan\nb = -inf\n")
    js, _ = read(tmp_path, "c.json", '{"a": NaN, "b": -Infinity}')

    assert all(math.isnan(values["a"]) and values["b"] == -math.inf for values in (yaml, toml, js))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("-1", -1), ("1e-4", 1e-4), ("1e6", 1e6), ("true", True), ("null", None), ("~", None), ("no", "no"),
        ("[1, 2]", [1, 2]), ("{a: b}", {"a": "b"}), ("'3'", "3"), ('"a b"', "a b"), ("", ""), (" ", " "),
        ("#1", "#1"), ("a #b", "a #b"), ("2024-13-45", "2024-13-45"), ("2024-01-02", "2024-01-02"), ("*a", "*a"),
        ("[", "["), ("a: b: c", "a: b: c"), ("@latest", "@latest"), ("1" * 5000, "1" * 5000), ("ALE/Pong-v5", "ALE/Pong-v5"),
        ("my.module:Env-v0", "my.module:Env-v0"), ("%x", "%x"), ("\x00", "\x00"), (".inf", math.inf),
    ],
)  # fmt: skip
def test_a_text_of_the_command_line_means_what_yaml_says(text: str, value: Any) -> None:
    """Numbers, true, null, lists and mappings are read; everything else is the text as it stands."""
    parsed = parse_scalar(text)

    assert (type(parsed), parsed) == (type(value), value)


@some_examples
@given(st.text())
def test_parse_scalar_never_raises(text: str) -> None:
    """Any text has a meaning that is plain data."""
    json.dumps(parse_scalar(text))


@some_examples
@given(st.text(alphabet="[]{}:,&*!|>'\"%@`#-? 0123456789eE.+_xoTtrueFalsn~\n\t", max_size=12))
def test_parse_scalar_never_raises_on_yaml_punctuation(text: str) -> None:
    """Nor does text that is made of YAML's own signs."""
    json.dumps(parse_scalar(text))


@some_examples
@given(st.integers())
def test_integers_round_trip(number: int) -> None:
    """An integer written in digits is read as that integer."""
    parsed = parse_scalar(str(number))

    assert (type(parsed), parsed) == (int, number)


@some_examples
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_round_trip(number: float) -> None:
    """A float as Python writes it is read as that float, to the last bit."""
    parsed = parse_scalar(repr(number))

    assert (type(parsed), parsed) == (float, number)
    assert math.copysign(1, parsed) == math.copysign(1, number)


@some_examples
@given(st.booleans())
def test_booleans_round_trip(value: bool) -> None:
    """`true` and `false` are booleans."""
    assert parse_scalar(str(value).lower()) is value


@some_examples
@given(st.from_regex(r"[a-zA-Z_][a-zA-Z_ /.\-]{0,20}[a-zA-Z]", fullmatch=True))
def test_words_round_trip(text: str) -> None:
    """Text without meaning in YAML stays itself."""
    if text.lower() in ("true", "false", "null"):
        return
    assert parse_scalar(text) == text


_LEAVES = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.text(max_size=8)
_KEYS = st.from_regex(r"[a-z_]{1,6}", fullmatch=True)
_TREES = st.dictionaries(
    _KEYS, st.recursive(_LEAVES, lambda inner: st.dictionaries(_KEYS, inner, max_size=3), max_leaves=8)
)


@some_examples
@given(tree=_TREES)
def test_every_leaf_of_a_file_has_an_origin(tmp_path_factory: pytest.TempPathFactory, tree: dict[str, Any]) -> None:
    """For any tree, the reader returns it unchanged and an origin with a line for each of its keys."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(json.dumps(tree), encoding="utf-8")  # JSON is YAML
    reference = path.with_suffix(".json")
    reference.write_text(json.dumps(tree), encoding="utf-8")

    values, origins = read_config(reference)
    _, lines = read_config(path)

    def paths(node: Any, prefix: str = "") -> set[str]:
        if not isinstance(node, dict):
            return set()
        return {f"{prefix}{key}" for key in node} | {p for key in node for p in paths(node[key], f"{prefix}{key}.")}

    assert values == tree
    assert set(origins) == set(lines) == paths(tree)
    assert all(origin == "any.yaml:1" for origin in lines.values())
