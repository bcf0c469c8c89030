"""A file of the zoo's hyper-parameters into configurations of rlctl: which entries, under which names, each with its source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

from rlctl.config.writing import as_yaml, section, write_files
from rlctl.conversions import listing
from rlctl.errors import ConfigError, Problem, UsageError, did_you_mean
from rlctl_sb3.zoo.algorithms import name_here, problem_with_algorithm
from rlctl_sb3.zoo.settings import translate
from rlctl_sb3.zoo.yaml_data import read_yaml

_SECTIONS = ("default", "atari")
"""Entries that are no environment's: the zoo falls back on them."""


@define
class Preset:
    """One entry: the file that was made of it, or why none was."""

    entry: str
    env: str
    path: Path | None = None
    left_out: list[Problem] = field(factory=list)
    unusable: list[Problem] = field(factory=list)
    is_section: bool = False
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what a program wants to know."""
        listed = {"left_out": listing(self.left_out), "unusable": listing(self.unusable)}
        return {"entry": self.entry, "env": self.env, "file": str(self.path) if self.path else None, **listed}


def import_presets(source: Path, wanted: Iterable[str], algorithm: str | None, output: Path) -> list[Preset]:
    """Write a configuration to `output` for each entry of `source`, or for those that are `wanted` (`ENV` or `ENV=ENTRY`).

    Raises ConfigError for a file, an algorithm or an entry that cannot be meant, before anything is written.
    """
    name = algorithm or source.stem
    problem = problem_with_algorithm(name, "--algo" if algorithm else f"the name of {source}")
    problems = [problem] if problem else []
    try:
        entries = read_yaml(source)
        chosen = _chosen(entries, tuple(wanted))
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from error
    except UsageError as error:
        if problems:
            raise ConfigError([*problems, Problem(str(source), error.message)]) from error
        raise
    if problems:
        raise ConfigError(problems)
    name = name_here(name)
    presets = [_preset(entry, env, entries[entry], name, source, output) for env, entry in chosen]
    if not tuple(wanted):
        presets += [_section(entry) for entry in entries if entry in _SECTIONS]
    write_files((preset.path, preset.text) for preset in presets if preset.path is not None)
    return presets


def _chosen(entries: Mapping[str, Any], wanted: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return (environment, entry) of what is wanted; everything but sections by default."""
    if not wanted:
        return [(entry, entry) for entry in entries if entry not in _SECTIONS]
    chosen, problems = [], []
    for text in dict.fromkeys(wanted):
        env, _, entry = text.partition("=")
        entry = entry or ("atari" if env not in entries and _is_atari(env) and "atari" in entries else env)
        if env in _SECTIONS:
            problems.append(Problem("--env", f'"{env}" is a section for many environments.', f"Say --env ENV={env}."))
        elif entry in entries:
            chosen.append((env, entry))
        else:
            hint = did_you_mean(entry, entries)
            if "default" in entries:
                hint = f"{hint or ''} Or take the section for all others: --env {env}=default.".strip()
            problems.append(Problem("--env", f'there is no entry "{entry}".', hint))
    if problems:
        raise ConfigError(problems)
    return chosen


def _is_atari(env: str) -> bool:
    return env.startswith("ALE/") or "NoFrameskip" in env


def _section(entry: str) -> Preset:
    reason = f"is a section for many environments; for one of them: --env ENV={entry}"
    return Preset(entry, "", unusable=[Problem(entry, reason)], is_section=True)


def _preset(entry: str, env: str, fields: Any, algorithm: str, source: Path, output: Path) -> Preset:
    if not isinstance(fields, Mapping):
        return Preset(entry, env, unusable=[Problem(entry, f"expected a mapping of settings, got {fields!r}")])
    made = translate(fields, algorithm, env)
    if made.unusable:
        return Preset(entry, env, left_out=made.left_out, unusable=made.unusable)
    name = re.sub(r"[^\w.-]", "-", env)  # such as ALE/Pong-v5
    path = output / f"{algorithm}-{name}.yaml"
    text = _text(made.config, made.left_out, f'{source}, entry "{entry}"')
    return Preset(entry, env, path, made.left_out, text=text)


def _text(config: Mapping[str, Any], left_out: list[Problem], origin: str) -> str:
    """Return a configuration as a file: a comment of where it is from, what is not in it, and the values."""
    return as_yaml(config, [f"From {origin} of rl-zoo3", *section("Not taken over:", left_out)])
