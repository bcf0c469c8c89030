"""Configurations as YAML files: how values and comments are written, and files, all of them or none."""

from __future__ import annotations

import io
import os
import tempfile
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rlctl.errors import ConfigError, Problem, RlctlError

_WIDTH = 120
_SHORT = 90


def as_yaml(config: Mapping[str, Any], comments: Iterable[str]) -> str:
    """Return a configuration as a file: comments, which no text leaves, then the values, short mappings on one line each."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    yaml = YAML()
    yaml.width = _WIDTH
    tree = CommentedMap({name: _styled(item) for name, item in config.items()})
    if isinstance(config.get("hyperparameters"), Mapping):
        tree["hyperparameters"].fa.set_block_style()
    stream = io.StringIO()
    yaml.dump(tree, stream)
    return "".join(f"# {_one_line(line)}".rstrip() + "\n" for line in comments) + stream.getvalue()


def _styled(value: Any) -> Any:
    """Return mappings and lists such that those that are short are written on one line."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if not isinstance(value, (Mapping, list)):
        return value
    tree: Any = CommentedSeq(map(_styled, value))
    if isinstance(value, Mapping):
        tree = CommentedMap({key: _styled(item) for key, item in value.items()})
    if len(str(value)) <= _SHORT:
        tree.fa.set_flow_style()
    return tree


def section(heading: str, problems: Iterable[Problem]) -> list[str]:
    """Return problems as lines of text below a heading, after an empty line; nothing if there are none."""
    lines = [
        line
        for problem in problems
        for line in textwrap.wrap(
            _one_line(str(problem)),
            _WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]
    return ["", heading, *lines] if lines else []


def _one_line(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)


def write_files(files: Iterable[tuple[Path, str]]) -> None:
    """Write all files or none; raises ConfigError where two are one, or one of another content is there already."""
    texts: dict[Path, str] = {}
    problems = []
    for path, text in files:
        if path in texts:
            problems.append(Problem(str(path), "two configurations would have this file"))
        elif _is_other(path, text):
            problems.append(Problem(str(path), "exists already.", "Remove it, or say another --output."))
        texts[path] = text
    if problems:
        raise ConfigError(problems)
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, text)
        except OSError as error:
            raise RlctlError(f'cannot write to "{path.parent}": {error.strerror or error}.') from error


def _is_other(path: Path, text: str) -> bool:
    """Return whether something of another content is there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace") != text
    except FileNotFoundError:
        return False
    except OSError:
        return True  # a folder, or what cannot be read


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
