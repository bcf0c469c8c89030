"""Output: a plain table for people, JSON for programs. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

json_option: Callable[..., Any] = click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")


def note(line: str) -> None:
    """Tell the user something that is not data."""
    click.echo(f"rlctl: {line}", err=True)


def print_json(data: Any) -> None:
    """Print data as JSON on stdout; NaN and infinities as null, which is what JSON has for them."""
    plain = not str(sys.stdout.encoding or "utf-8").lower().startswith("utf")
    click.echo(json.dumps(_legal(data), indent=2, default=str, ensure_ascii=plain))


def _legal(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _legal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_legal(item) for item in value]
    return value


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "Nothing to list.") -> None:
    """Print left-aligned columns; the last one may run on. Without rows, `empty` goes to stderr."""
    # Whole columns: a call for each cell of ten thousand rows takes as long as reading them.
    columns = list(map(_lines, zip(*rows, strict=True)))
    if not columns:
        note(empty)
        return
    columns = [[header, *column] for header, column in zip(headers, columns, strict=True)]
    for column in columns[:-1]:
        width = max(map(len, column))
        column[:] = [text.ljust(width) for text in column]
    texts = ["  ".join(line).rstrip() for line in zip(*columns, strict=True)]
    click.echo("\n".join([bold(texts[0]), *texts[1:]]))


def _lines(values: Iterable[object]) -> list[str]:
    """Return each value as one line."""
    texts = list(map(str, values))
    return texts if "".join(texts).isprintable() else list(map(one_line, texts))


def pairs(rows: Iterable[tuple[str, object]]) -> None:
    """Print "name  value" lines, aligned."""
    kept = [(name, one_line(value)) for name, value in rows if value not in (None, "", {}, [])]
    width = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        click.echo(f"{name.ljust(width)}  {value}")


def one_line(value: object) -> str:
    """Return text without what would break a line or move the cursor: a run's name may hold anything."""
    text = str(value)
    return text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)


def bold(text: str) -> str:
    """Return text in bold where the output is a terminal that wants colours."""
    wants = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return click.style(text, bold=True) if wants else text


def number(value: float | None, digits: int = 1) -> str:
    """Return a number for people, `-` for none."""
    return "-" if value is None else f"{value:,.{digits}f}".replace(",", " ")


def best_in_words(result: Mapping[str, Any]) -> str | None:
    """Return what the best evaluation of a result was, None without one."""
    if result.get("best_step") is None:
        return None
    return f"return {number(result['best_return'], 2)} in the evaluation at step {number(result['best_step'], 0)}"
