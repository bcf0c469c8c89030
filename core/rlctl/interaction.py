"""The protocol of `rlctl interactive` as data: its schema, requests as they are read, and how a process is to answer them."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, get_args

from attrs import frozen

from rlctl.config.check import check_values
from rlctl.config.layers import Merged
from rlctl.errors import RlctlError, did_you_mean
from rlctl.evaluations import endless_seeds
from rlctl.parameters import Kind, Parameter

VERSION = "1.0"
"""A client that says another number before the dot is refused; what is added raises the one after it."""

LINE_LIMIT = 1 << 20
"""Bytes that a request may have; a longer one is read past and answered with an error."""

FRAMES = ("none", "asked", "png", "rgb")
SCHEMA = Path(__file__).with_name("interaction.schema.json")


class RequestError(RlctlError):
    """A request that is not carried out; `code` and `request_id` are those of the error that answers it."""

    def __init__(self, code: str, message: str, *, hint: str | None = None, request_id: Any = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.request_id = request_id


@frozen
class Request:
    """A request whose fields are of the right kinds; those that were not given are missing."""

    command: str
    id: Any
    fields: Mapping[str, Any]


@frozen(kw_only=True)
class InteractionRequest:
    """How requests are to be answered: in the environment of the mapping `env`, by a policy or by chance.

    `identity` is what `init` says of the policy. Seeds that a client does not name are those of `rlctl evaluate` for a run of
    seed `run_seed` with `num_envs` environments, or count up from `seed`. `frames` is one of FRAMES, `can_render` whether the
    environment draws pictures at all. `input` and `output` are file descriptors.
    """

    env: Mapping[str, Any]
    identity: Mapping[str, Any]
    greedy: bool
    random: bool
    frames: str
    can_render: bool
    input: int
    output: int
    seed: int | None = None
    run_seed: int = 0
    num_envs: int | None = None

    def seeds(self) -> Iterator[int]:
        """Return the seeds of a session's episodes, without end."""
        if self.seed is not None:
            return itertools.count(self.seed)
        return endless_seeds(self.run_seed, purpose="evaluate", num_envs=self.num_envs)


def read_request(line: bytes) -> Request:
    """Return what a line asks for; raises RequestError, with everything that is wrong with it, for one that says no such thing."""
    try:
        said = json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RequestError(
            "bad_json", f"a line is no JSON: {reason}", hint="A request is one object on one line."
        ) from error
    if not isinstance(said, dict):
        raise RequestError("bad_request", f"a request is an object, got {json.dumps(said)[:80]}")
    request_id = said.get("id")
    if isinstance(request_id, (bool, list, dict)):
        raise RequestError("bad_request", "id: expected a string or a number")
    fields = {name: value for name, value in said.items() if name not in ("cmd", "id")}
    command, known = said.get("cmd"), _commands()
    if not isinstance(command, str) or command not in known:
        message = f"cmd: there is no {json.dumps(command)[:80]}." if "cmd" in said else "cmd: is required."
        raise RequestError("bad_request", message, hint=did_you_mean(str(command), known), request_id=request_id)
    problems = check_values(fields, known[command], command, Merged({}, {}), f'"{command}"')
    if problems:
        raise RequestError("bad_request", " ".join(map(str, problems)), request_id=request_id)
    return Request(
        command,
        request_id,
        {item.name: item.normalized(fields[item.name]) for item in known[command] if item.name in fields},
    )


def check_version(version: str | None) -> None:
    """Raise RequestError for a version that is not spoken here; nothing said is fine."""
    if version is None:
        return
    if not re.fullmatch(r"\d+\.\d+", version):
        raise RequestError("bad_request", f'init.version: expected MAJOR.MINOR, got "{version}"')
    if version.partition(".")[0] != VERSION.partition(".")[0]:
        message = f"version {version} is not spoken here, {VERSION} is."
        raise RequestError(
            "unsupported_version", message, hint=f'Ask for "{VERSION}", or install an rlctl that speaks it.'
        )


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


@functools.cache
def _commands() -> dict[str, tuple[Parameter, ...]]:
    """Return the fields of each request, as the schema has them; `cmd` and `id` are in all."""
    requests = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]["requests"]
    return {
        command: tuple(_field(name, said) for name, said in schema["properties"].items() if name not in ("cmd", "id"))
        for command, schema in requests.items()
    }


def _field(name: str, schema: Mapping[str, Any]) -> Parameter:
    said: Any = schema.get("type", get_args(Kind))
    kinds: Any = (said,) if isinstance(said, str) else tuple(said)
    return Parameter(
        name=name,
        kinds=kinds,
        minimum=schema.get("minimum"),
        maximum=schema.get("maximum"),
        choices=tuple(schema.get("enum", ())),
    )
