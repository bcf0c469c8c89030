"""Requests of `rlctl interactive` as they are read, and the schema that they are read by."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from tests.json_schema import errors

from rlctl.evaluations import evaluation_seeds
from rlctl.interaction import FRAMES, SCHEMA, VERSION, InteractionRequest, RequestError, check_version, read_request

ROOT = json.loads(SCHEMA.read_text(encoding="utf-8"))


def refusal(line: bytes) -> RequestError:
    """Return why a line is refused."""
    with pytest.raises(RequestError) as refused:
        read_request(line)
    return refused.value


@pytest.mark.parametrize(
    "said",
    [
        {"cmd": "init", "version": "1.0", "frames": "png", "id": 1},
        {"cmd": "hello"},
        {"cmd": "reset", "seed": 2**31 - 1, "max_steps": 1, "frame": True, "id": "a"},
        {"cmd": "reset", "seed": None, "max_steps": None, "frame": None, "id": None},
        {"cmd": "step", "action": {"grip": [0, 1.5], "text": "x"}},
        {"cmd": "step", "id": 1.5},
        {"cmd": "ping"},
        {"cmd": "stop"},
    ],
)
def test_what_the_schema_allows_is_read(said: dict[str, Any]) -> None:
    """Each request, with all that it may have."""
    assert list(errors(said, ROOT["$defs"]["request"], ROOT)) == []
    found = read_request(json.dumps(said).encode())
    assert {"cmd": found.command, **found.fields} == {name: value for name, value in said.items() if name != "id"}
    assert found.id == said.get("id")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"cmd": "rest"}, 'cmd: there is no "rest". Did you mean "reset"?'),
        ({}, "cmd: is required."),
        ({"cmd": ["step"]}, 'cmd: there is no ["step"].'),
        ({"cmd": "reset", "seed": -1}, "reset.seed: must be at least 0, got -1"),
        ({"cmd": "reset", "seed": 2**31}, "reset.seed: must be at most 2147483647"),
        ({"cmd": "reset", "seed": "3"}, 'reset.seed: expected an integer or null, got "3"'),
        ({"cmd": "reset", "max_step": 3}, 'reset.max_step: "reset" has no such setting. Did you mean "max_steps"?'),
        ({"cmd": "reset", "max_steps": 0}, "reset.max_steps: must be at least 1"),
        ({"cmd": "step", "frame": "png"}, "step.frame: expected true or false or null"),
        ({"cmd": "init", "frames": "gif"}, "init.frames: expected one of none, asked, png, rgb"),
        ({"cmd": "ping", "id": {}}, "id: expected a string or a number"),
        ({"cmd": "ping", "id": True}, "id: expected a string or a number"),
    ],
)
def test_what_the_schema_forbids_is_refused_in_words(said: dict[str, Any], words: str) -> None:
    """With what, where, the value and what was probably meant."""
    assert list(errors(said, ROOT["$defs"]["request"], ROOT))
    error = refusal(json.dumps(said).encode())
    assert (error.code, words in str(error)) == ("bad_request", True), str(error)


def test_all_that_is_wrong_with_a_request_is_said_at_once_and_to_its_id() -> None:
    """Two fields, one error."""
    error = refusal(b'{"cmd": "reset", "seed": -1, "max_steps": 0, "id": 9}')
    assert error.request_id == 9
    assert "reset.seed" in str(error) and "reset.max_steps" in str(error)


@pytest.mark.parametrize(
    "line",
    [b"step", b"{", b'{"cmd": "ste', b"\xff\xfe", b'{"cmd": "step", "action": NaN}', b"[" * 100_000, b"9" * 5000],
)
def test_garbage_is_an_error_and_no_crash(line: bytes) -> None:
    """Torn lines, bytes that are no text, numbers that JSON has not, and depths that no request has."""
    assert refusal(line).code in ("bad_json", "bad_request")


@pytest.mark.parametrize("line", [b"3", b"[]", b'"reset"', b"null"])
def test_a_request_is_an_object(line: bytes) -> None:
    """Other JSON is none."""
    assert "a request is an object" in str(refusal(line))


@pytest.mark.parametrize(
    ("version", "code"), [("2.0", "unsupported_version"), ("0.9", "unsupported_version"), ("1", "bad_request")]
)
def test_a_version_that_is_not_spoken_is_refused(version: str, code: str) -> None:
    """With the one that is."""
    with pytest.raises(RequestError) as refused:
        check_version(version)
    assert refused.value.code == code
    assert code == "bad_request" or VERSION in str(refused.value)


def test_a_later_minor_version_is_spoken() -> None:
    """Its client knows by the answer what it can expect; no version at all is fine, too."""
    check_version("1.7")
    check_version(None)


def test_the_schema_has_the_kinds_of_pictures_that_the_command_line_has() -> None:
    """In the request, in its other name, and in the answer."""
    definitions = ROOT["$defs"]
    for said in (definitions["requests"]["init"], definitions["requests"]["hello"], definitions["answers"]["init"]):
        assert tuple(said["properties"]["frames"]["enum"]) == FRAMES


def test_a_sessions_own_seeds_are_those_of_an_evaluation_or_count_up() -> None:
    """As many as are wanted."""
    asked: dict[str, Any] = {
        "env": {}, "identity": {}, "greedy": True, "random": False, "frames": "none", "can_render": False, "input": 0, "output": 1,
    }  # fmt: skip
    of_a_run = InteractionRequest(**asked, run_seed=7, num_envs=4).seeds()
    assert tuple(itertools.islice(of_a_run, 5)) == evaluation_seeds(7, 5, purpose="evaluate", num_envs=4)
    assert list(itertools.islice(InteractionRequest(**asked, seed=3).seeds(), 3)) == [3, 4, 5]


def test_the_schema_is_printed(fast_cli: Any) -> None:
    """Without a run or an environment, as it is in the package."""
    assert fast_cli("interactive", "--schema").json() == ROOT
