"""`env.wrappers` as data: what each entry says, and what is wrong with its form. Light: nothing is imported for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from rlctl.errors import Problem, did_you_mean

_DOTTED = re.compile(r"[\w.]+:[\w.]+")
_KEYS = ("use", "kwargs")


@frozen
class WrapperEntry:
    """One entry: where it stands, as `env.wrappers[0]`, what it names, and the arguments for that."""

    path: str
    use: str
    kwargs: Mapping[str, Any]


def wrapper_entries(env: Mapping[str, Any]) -> list[WrapperEntry]:
    """Return the wrappers of an environment's configuration, the innermost first; `wrapper_problems` must have none."""
    entries = []
    for index, said in enumerate(env.get("wrappers") or ()):
        use, kwargs = (said, {}) if isinstance(said, str) else (said["use"], said.get("kwargs") or {})
        entries.append(WrapperEntry(f"env.wrappers[{index}]", use, kwargs))
    return entries


def wrapper_problems(wrappers: list[Any], where: str = "env.wrappers") -> Iterator[Problem]:
    """Yield everything in a list of wrappers, which stands at `where`, that has not the form of one."""
    for index, said in enumerate(wrappers):
        path = f"{where}[{index}]"
        if isinstance(said, str):
            yield from _name_problems(path, said)
        elif not isinstance(said, Mapping):
            expected = 'expected "package.module:Class" or {use: "package.module:Class", kwargs: {...}}'
            yield Problem(path, f"{expected}, got {said!r}")
        else:
            yield from _mapping_problems(path, said)


def _mapping_problems(path: str, said: Mapping[str, Any]) -> Iterator[Problem]:
    for key in said:
        if key not in _KEYS:
            yield Problem(f"{path}.{key}", "unknown key.", did_you_mean(key, _KEYS))
    kwargs = said.get("kwargs")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        yield Problem(f"{path}.kwargs", f"expected a mapping, got {kwargs!r}")
    if "use" not in said:
        yield Problem(f"{path}.use", "is required")
    else:
        yield from _name_problems(f"{path}.use", said["use"])


def _name_problems(path: str, name: Any) -> Iterator[Problem]:
    if not isinstance(name, str) or not _DOTTED.fullmatch(name):
        yield Problem(path, f'expected a wrapper as "package.module:Class", got {name!r}')
