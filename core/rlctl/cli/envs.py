"""`rlctl envs`: which environments there are here, and what one of them is. Both are found by processes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from rlctl.cli._render import json_option, note, pairs, print_json, table
from rlctl.compatibility import EnvFacts
from rlctl.errors import NotAvailableError, UsageError, did_you_mean
from rlctl.families import FAMILIES, OTHER, family_of
from rlctl.launch.probe import list_envs, probe_env

_SPEC = ("reward_threshold", "nondeterministic", "kwargs", "entry_point")


@click.group()
def envs() -> None:
    """List environments, and show what one of them is."""


@envs.command("list")
@click.option("--family", help="Only those of this family.")
@json_option
def list_command(family: str | None, as_json: bool) -> None:
    """List the environments that are registered here, and say what to install for others."""
    names = [known.name for known in FAMILIES]
    if family is not None and family not in (*names, OTHER):
        hint = did_you_mean(family, (*names, OTHER))
        raise UsageError(f'there is no family "{family}".', hint=hint or f"There are {', '.join((*names, OTHER))}.")
    listed = list_envs()
    rows = [row for row in listed["envs"] if family in (None, row["family"])]
    if as_json:
        print_json(rows)
    else:
        table(("ENV", "FAMILY", "STEPS", "SOLVED AT", "STATUS"), map(_cells, rows))
    present = {known["name"]: known["installed"] for known in listed["families"]}
    for known in FAMILIES:
        if not present[known.name] and family in (None, known.name):
            note(f"{known.name} ({known.summary}) is not installed: pip install '{known.install}'")


def _cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    numbers = ("-" if row[name] is None else row[name] for name in ("max_episode_steps", "reward_threshold"))
    return (row["id"], row["family"], *numbers, "ready" if row["installed"] else "not installed")


@envs.command("show")
@click.argument("env_id", metavar="ID")
@json_option
def show_command(env_id: str, as_json: bool) -> None:
    """Make an environment once, and show its spaces, its spec and its family."""
    facts = probe_env({"id": env_id})
    if facts.error:
        raise NotAvailableError(facts.error, hint=facts.hint)
    data = _data(env_id, facts)
    if as_json:
        print_json(data)
    else:
        shown = {name: value for name, value in data.items() if name != "observation"}  # a tree, for programs
        pairs((name.replace("_", " "), _text(value)) for name, value in shown.items())


def _data(env_id: str, facts: EnvFacts) -> dict[str, Any]:
    spec = facts.spec or {}
    family = family_of(env_id, spec.get("entry_point"))
    return {
        "id": env_id,
        "family": OTHER if family is None else family.name,
        "action_space": facts.action_text,
        "observation_space": facts.observation_text,
        "action_kind": facts.action_space.value,
        "observation_kind": facts.observation_space.value,
        "observation": facts.observation,
        "max_episode_steps": facts.max_episode_steps,
        **{name: spec.get(name) for name in _SPEC},
        "wrappers": list(facts.wrappers),
        "render_modes": None if facts.render_modes is None else list(facts.render_modes),
        "resumes_exactly": not facts.inexact,
        "inexact": list(facts.inexact),
    }


def _text(value: Any) -> Any:
    """Return a value as people read it; what is empty is left out."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else value
