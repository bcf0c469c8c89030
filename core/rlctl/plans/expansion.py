"""Templates to members: who needs whom, no cycles, one member for each combination of a matrix, fingerprints."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from attrs import define, field

from rlctl.errors import ConfigError, Problem, did_you_mean
from rlctl.plans.model import Member, Plan, Template, fingerprint_of
from rlctl.plans.reading import LARGEST, Source, read_templates

_LONGEST_ID = 120
_SOURCE_KIND = {"run": "run", "evaluate": "run", "compare": "evaluate"}
"""What kind of member each kind uses the outcome of."""


def expand(source: Source) -> Plan:
    """Return the plan that a source says. Raises ConfigError with everything that is wrong with its shape."""
    templates, problems = read_templates(source)
    expansion = _Expansion(source, templates, problems)
    order = expansion.ordered()
    for name in order:
        expansion.expand(templates[name])
    if problems:
        raise ConfigError(problems)
    of_template = {name: tuple(expansion.of_template[name]) for name in templates}
    return Plan(id=source.id, templates=templates, members=expansion.members, of_template=of_template)


def _base(name: str) -> str:
    """Return the template of a member's id."""
    return name.partition(",")[0]


@define
class _Expansion:
    """Members as far as they are known; `problems` grows."""

    source: Source
    templates: dict[str, Template]
    problems: list[Problem]
    members: dict[str, Member] = field(factory=dict)
    of_template: dict[str, list[str]] = field(factory=dict)

    def _wrong(self, template: Template, key: str, message: str, hint: str | None = None) -> None:
        path = f"members.{template.id}.{key}"
        origin = self.source.origins.get(path) or self.source.origins.get(f"members.{template.id}")
        self.problems.append(Problem(path, message, hint, origin))

    # ---- who needs whom --------------------------------------------------------------------------------------------

    def ordered(self) -> list[str]:
        """Return the templates, each after those that it needs; those of a cycle, or with unknown needs, are left out."""
        known = self.source.tree.get("members")
        known = known if isinstance(known, Mapping) else {}
        edges: dict[str, set[str]] = {}
        for template in self.templates.values():
            edges[template.id] = set()
            for key, name in _references(template):
                if _base(name) in self.templates:
                    edges[template.id].add(_base(name))
                elif _base(name) not in known:  # one that is there, but wrong, has its own problem
                    hint = did_you_mean(name, known)
                    self._wrong(template, key, f'there is no member "{name}".', hint)
        order: list[str] = []
        waiting = dict(edges)
        while ready := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
            order += ready
            for name in ready:
                del waiting[name]
        self._refuse_cycles(waiting)
        sound: set[str] = set()
        for name in order:
            if all(_base(other) in sound for _, other in _references(self.templates[name])):
                sound.add(name)
        return [name for name in order if name in sound]

    def _refuse_cycles(self, waiting: Mapping[str, set[str]]) -> None:
        seen: set[str] = set()
        for start in waiting:
            path = [start]
            while path[-1] not in path[:-1] and path[-1] not in seen:
                following = sorted(waiting[path[-1]] & waiting.keys())
                path.append(following[0])
            if path[-1] not in seen:
                cycle = path[path.index(path[-1]) :]
                self._wrong(
                    self.templates[cycle[0]], "needs", f"a cycle: {' needs '.join(cycle)}", "Take one of them out."
                )
            seen.update(path)

    # ---- matrix ----------------------------------------------------------------------------------------------------

    def expand(self, template: Template) -> None:
        """Add the members of a template."""
        made = self.of_template.setdefault(template.id, [])
        self._require_members(template)
        for axes in self._combinations(template):
            for sources, inherited in self._sources(template, axes):
                member = self._member(template, axes, sources, inherited)
                if member.id in self.members:
                    hint = "Two values of its matrix look the same in an id."
                    self._wrong(template, "matrix", f'makes two members with the id "{member.id}".', hint)
                    return
                if len(self.members) >= LARGEST:
                    self._wrong(template, "matrix", f"makes more than {LARGEST} members")
                    return
                self.members[member.id] = member
                made.append(member.id)
        if not made:
            self._wrong(template, "matrix", "leaves no member at all")

    def _require_members(self, template: Template) -> None:
        for key, name in _references(template):
            if name not in self.members and name not in self.of_template:
                siblings = self.of_template.get(_base(name), [])
                self._wrong(template, key, f'there is no member "{name}".', did_you_mean(name, siblings))
            wanted = _SOURCE_KIND.get(template.kind)
            kind = self.templates[_base(name)].kind
            if key != "needs" and kind != wanted:
                hint = "Evaluate it first, and compare the evaluations." if template.kind == "compare" else None
                self._wrong(template, key, f'"{name}" is a member of kind {kind}, expected {wanted}', hint)

    def _combinations(self, template: Template) -> Iterator[dict[str, Any]]:
        keys = list(template.matrix)
        chosen = [dict(zip(keys, values, strict=True)) for values in itertools.product(*template.matrix.values())]
        if not keys and template.include:
            chosen = []  # the included ones are all that there is
        left_out = [dict(item) for item in template.exclude]
        for key in {key for item in left_out for key in item} - {*keys}:
            self._wrong(template, "exclude", f'"{key}" is no key of the matrix.', did_you_mean(key, keys))
        for axes in chosen:
            if not any(all(axes.get(key) == value for key, value in item.items()) for item in left_out):
                yield axes
        yield from (dict(item) for item in template.include)

    def _sources(self, template: Template, axes: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
        """Yield (sources, the axes that are theirs): a run or an evaluation has one, and fits it in all axes of both."""
        if template.kind == "compare" or not template.sources:
            yield template.sources, {}
            return
        (name,) = template.sources
        for source in (name,) if name in self.members else self.of_template.get(name, []):
            theirs = {**self.members[source].inherited, **self.members[source].axes}
            if all(theirs[key] == value for key, value in axes.items() if key in theirs):
                yield (source,), {key: value for key, value in theirs.items() if key not in axes}

    def _member(
        self, template: Template, axes: Mapping[str, Any], sources: tuple[str, ...], inherited: Mapping[str, Any]
    ) -> Member:
        member = Member(
            id=_id_of(template, {**inherited, **axes}),
            template=template,
            axes=axes,
            inherited=inherited,
            needs=tuple(dict.fromkeys((*template.needs, *sources))),
            sources=sources,
        )
        used = member.needs if template.kind == "script" else sources
        theirs = [self.members[one].fingerprint for name in used for one in self._expanded(name)]
        return attrs.evolve(member, fingerprint=fingerprint_of([member.essence(), theirs]))

    def _expanded(self, name: str) -> tuple[str, ...]:
        return (name,) if name in self.members else tuple(self.of_template.get(name, ()))


def _references(template: Template) -> Iterator[tuple[str, str]]:
    """Yield (key of the file, name) for all members that a template names."""
    source_key = "from" if template.kind == "run" else f"{template.kind}.of"
    yield from ((source_key, name) for name in template.sources)
    yield from (("needs", name) for name in template.needs)


def _id_of(template: Template, axes: Mapping[str, Any]) -> str:
    """Return the id of a combination: `ppo,seed=3`. It names folders and is typed, so it has no special signs."""
    short = [key.rpartition(".")[2] for key in axes]
    parts = []
    for key, name in zip(axes, short, strict=True):
        label = name if short.count(name) == 1 and name != "id" else key
        value = axes[key]
        text = str(value) if isinstance(value, (str, int, float)) else fingerprint_of(value)[:6]
        parts.append(f"{label}={re.sub(r'[^A-Za-z0-9_.+-]', '_', text)}")
    whole = ",".join([template.id, *parts])
    return whole if len(whole) <= _LONGEST_ID else f"{whole[:_LONGEST_ID]}-{fingerprint_of(whole)[:8]}"
