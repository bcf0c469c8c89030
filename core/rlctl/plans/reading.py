"""A plan's file, or its tree of values, to templates: every problem of shape at once, each with its place."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from rlctl.config.check import check_values
from rlctl.config.files import read_config
from rlctl.config.layers import Layer, Merged
from rlctl.descriptors import parameters_of
from rlctl.errors import ConfigError, Problem
from rlctl.launch.evaluate import EvaluationOptions
from rlctl.parameters import Kind, Parameter
from rlctl.plans.model import Resources, Template

KINDS = ("run", "evaluate", "compare", "script")
LARGEST = 100_000
"""More members than anybody can mean; a slip of the pen in a range makes billions."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_RANGE = re.compile(r"\s*(-?\d+)\s*\.\.\s*(-?\d+)\s*")


def _parameter(name: str, kinds: tuple[Kind, ...], doc: str, **more: Any) -> Parameter:
    return Parameter(name=name, kinds=kinds, doc=doc, **more)


PLAN = (
    _parameter("name", ("string",), "The plan's id; by default the name of its file."),
    _parameter("defaults", ("object",), "What holds for every run, unless the run says otherwise."),
    _parameter("members", ("object",), "The members: id → what it does.", required=True),
)
MEMBER = (
    _parameter("run", ("object",), "Train: a configuration as of `rlctl run`."),
    _parameter("evaluate", ("object",), "Evaluate the runs that `of` names."),
    _parameter("compare", ("object",), "Compare the evaluations that `of` names, over their seeds."),
    _parameter("script", ("string", "array"), "Run a program: its words, or one line that is split into words."),
    _parameter("from", ("string",), "Of a run: begin with the weights of that run's member."),
    _parameter("checkpoint", ("string",), "With `from`: latest, best, or the step of one.", default="latest"),
    _parameter("needs", ("array",), "Members that must be finished first."),
    _parameter("matrix", ("object",), "One member for each combination: key of the configuration → its values."),
    _parameter("include", ("array",), "Further combinations."),
    _parameter("exclude", ("array",), "Combinations that are left out: those with all of these values."),
    _parameter("resources", ("object",), "What it takes while it runs: cpus, gpus, memory_mb."),
    _parameter("retries", ("integer",), "Tries more when it fails.", default=0, minimum=0, maximum=1000),
    _parameter("time_limit", ("number", "null"), "Seconds after which it is stopped; a run then can be resumed.",
               exclusive_minimum=0),
    _parameter("group", ("string",), "The label `group` of its runs; by default the member's id."),
)  # fmt: skip
_NOT_EVALUATED = ("trust", "time_limit", "env")
EVALUATE = (
    _parameter("of", ("string",), "The run, or the runs of a matrix.", required=True),
    _parameter("checkpoint", ("string",), "latest, best, or the step of one.", default="latest"),
    _parameter("env", ("object",), "What differs from the training's environment."),
    *(item for item in parameters_of(EvaluationOptions) if item.name not in _NOT_EVALUATED),
)
COMPARE = (
    _parameter("of", ("array",), "The evaluations.", required=True),
    _parameter("confidence", ("number",), "Of the intervals.", default=0.95, minimum=0.5, maximum=0.999),
)


@frozen
class Source:
    """A plan as it is said: its id, its tree of values, and where each of them stands."""

    id: str
    tree: Mapping[str, Any]
    origins: Mapping[str, str]


def read_source(path: Path) -> Source:
    """Return what a file says. Raises UsageError or ConfigError when it cannot be read or has no usable name."""
    tree, origins = read_config(path)
    name = tree.get("name", path.stem)
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise ConfigError(
            [Problem("name", f"expected letters, digits, . _ or -, got {name!r}", origin=origins.get("name"))]
        )
    return Source(name, tree, origins)


def read_templates(source: Source) -> tuple[dict[str, Template], list[Problem]]:
    """Return the templates that could be read, in the order of the file, and all that is wrong with the others."""
    merged = Merged(dict(source.tree), dict(source.origins))
    problems = _placed(check_values(merged.values, PLAN, "", merged, "a plan"))
    templates: dict[str, Template] = {}
    members = merged.values.get("members")
    if isinstance(members, Mapping) and not members:
        problems.append(Problem("members", "a plan needs at least one member", origin=merged.origin("members")))
    for name, values in (members if isinstance(members, Mapping) else {}).items():
        reader = _Reader(source, merged, name)
        template = reader.read(values)
        problems += reader.problems
        if template is not None:
            templates[name] = template
    return templates, problems


def _placed(problems: list[Problem]) -> list[Problem]:
    return [Problem(item.path.lstrip("."), item.message, item.hint, item.origin) for item in problems]


@frozen
class _Reader:
    """Reads one member of the file."""

    source: Source
    merged: Merged
    name: str
    problems: list[Problem] = field(factory=list)

    def read(self, values: Any) -> Template | None:
        """Return the template, or None where it is too wrong to go on with."""
        if not _ID.fullmatch(self.name):
            self._wrong("", "an id has letters, digits, . _ and - only, and 80 of them at most")
        if not isinstance(values, Mapping):
            self._wrong("", f"expected a mapping, got {values!r}")
            return None
        before = len(self.problems)
        self._check(values, MEMBER, "")
        kinds = [kind for kind in KINDS if kind in values]
        if len(kinds) != 1:
            said = f"it has {' and '.join(kinds)}" if kinds else "it has none"
            self._wrong("", f"a member has exactly one of {', '.join(KINDS)}; {said}")
        if len(self.problems) > before:
            return None
        self._check_kind(kinds[0], values)
        matrix = dict(self._matrix(values.get("matrix", {})))
        return self._template(kinds[0], values, matrix) if len(self.problems) == before else None

    def _template(self, kind: str, values: Mapping[str, Any], matrix: dict[str, list[Any]]) -> Template:
        content = values[kind]
        named = values.get("from") if kind == "run" else content.get("of") if kind in ("evaluate", "compare") else None
        return Template(
            id=self.name,
            kind=kind,
            values=content,
            layers=self._layers() if kind == "run" else (),
            sources=() if named is None else (named,) if isinstance(named, str) else tuple(named),
            checkpoint=values.get("checkpoint", "latest"),
            needs=tuple(values.get("needs", ())),
            matrix=matrix,
            include=tuple(values.get("include", ())),
            exclude=tuple(values.get("exclude", ())),
            resources=Resources(**{name: int(value) for name, value in values.get("resources", {}).items()}),
            retries=int(values.get("retries", 0)),
            time_limit=values.get("time_limit"),
            group=values.get("group"),
        )

    def _layers(self) -> tuple[Layer, ...]:
        return tuple(
            Layer(f"plan {self.source.id}", tree, self._origins_below(path))
            for path, tree in (("defaults.", self.source.tree.get("defaults", {})),
                               (f"members.{self.name}.run.", self.source.tree["members"][self.name]["run"]))
        )  # fmt: skip

    def _origins_below(self, prefix: str) -> dict[str, str]:
        cut = len(prefix)
        return {path[cut:]: origin for path, origin in self.source.origins.items() if path.startswith(prefix)}

    # ---- checks ----------------------------------------------------------------------------------------------------

    def _wrong(self, path: str, message: str, hint: str | None = None) -> None:
        where = f"members.{self.name}" + (f".{path}" if path else "")
        self.problems.append(Problem(where, message, hint, self.merged.origin(where)))

    def _check(self, values: Mapping[str, Any], known: tuple[Parameter, ...], path: str) -> None:
        where = f"members.{self.name}" + (f".{path}" if path else "")
        self.problems.extend(check_values(values, known, where, self.merged, f'member "{self.name}"'))

    def _check_kind(self, kind: str, values: Mapping[str, Any]) -> None:
        content = values[kind]
        self._check(values.get("resources", {}), parameters_of(Resources), "resources")
        self._check_ids("needs", values.get("needs", []))
        for key in ("from", "checkpoint") if kind != "run" else ():
            if key in values:
                self._wrong(key, f"is for a run, this is {kind}", 'Say "of".' if key == "from" else None)
        if kind == "run":
            self._check_run(content, values)
        elif kind == "evaluate":
            self._check(content, EVALUATE, "evaluate")
        elif kind == "compare":
            self._check(content, COMPARE, "compare")
            self._check_ids("compare.of", content.get("of", []))
            if "matrix" in values or "include" in values:
                self._wrong("matrix", "a comparison has none: it groups what it compares by itself")
        elif not words_of(content):
            self._wrong("script", "is empty")

    def _check_run(self, config: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        for key in ("time_limit", "stop_at"):
            if config.get(key) is not None:
                self._wrong(f"run.{key}", "a member goes on to its end.", "Use time_limit, beside run.")
        if "checkpoint" in values and "from" not in values:
            self._wrong("checkpoint", "has no effect without from")

    def _check_ids(self, key: str, listed: Any) -> None:
        if isinstance(listed, list) and not all(isinstance(item, str) for item in listed):
            self._wrong(key, f"expected a list of ids, got {listed!r}")

    def _matrix(self, matrix: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
        total = 1
        for key, said in matrix.items():
            values = expanded_range(said) if isinstance(said, str) else said
            if not isinstance(values, (list, range)) or not values:
                self._wrong(f"matrix.{key}", f"expected a list of values or a range such as 0..4, got {said!r}")
                continue
            total *= len(values)
            if total > LARGEST:
                self._wrong(f"matrix.{key}", f"makes more than {LARGEST} members")
                return
            yield key, list(values)


def words_of(script: str | list[Any]) -> list[str]:
    """Return the words of a script's command; no shell reads them."""
    return shlex.split(script) if isinstance(script, str) else [str(word) for word in script]


def expanded_range(text: str) -> range | None:
    """Return the numbers that `FIRST..LAST` means, both included; None if it is no such text."""
    found = _RANGE.fullmatch(text)
    return range(int(found[1]), int(found[2]) + 1) if found else None
