"""Converters of other systems' files: how a plugin declares one, and what it returns; data only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import define, field, frozen

from rlctl.descriptors import API_VERSION
from rlctl.errors import Problem


@frozen(kw_only=True)
class ConverterDescriptor:
    """A way to make configurations of another system's file, `rlctl config convert --from NAME` and `rlctl run --from-NAME`.

    `convert` ("module:function") is called in the host with the Path that the user named, imports nothing heavy, executes
    nothing of the file, and returns an `rlctl.Conversion`; it raises an RlctlError for a file that it cannot read.
    """

    name: str
    summary: str
    convert: str
    api_version: int = API_VERSION


@define(kw_only=True)
class ConvertedConfig:
    """One configuration that was made of a foreign file, or why it could not be.

    `name` is that of its file, unique in its source; `origins` may say of dotted paths of `config` which field of the source
    they are from. The paths of the problems are the source's: `changed` says which fields were taken in another form,
    `left_out` which were not taken, each with the reason; `unusable` what makes it no training.
    """

    name: str
    config: dict[str, Any] = field(factory=dict)
    origins: dict[str, str] = field(factory=dict)
    changed: list[Problem] = field(factory=list)
    left_out: list[Problem] = field(factory=list)
    unusable: list[Problem] = field(factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return what a program wants to know; `config` is null where it is unusable."""
        listed = {name: listing(getattr(self, name)) for name in ("changed", "left_out", "unusable")}
        return {"name": self.name, "config": None if self.unusable else self.config, **listed}


@define(kw_only=True)
class Conversion:
    """What a converter made of a file: configurations in the file's order, and fields that are of none of them.

    `system` names where the file is from, for people.
    """

    system: str
    configs: list[ConvertedConfig]
    left_out: list[Problem] = field(factory=list)


def listing(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Return problems with a foreign file as data."""
    return [{"field": problem.path, "reason": problem.message, "hint": problem.hint} for problem in problems]
