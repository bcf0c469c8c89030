"""One value that a user may set, as data: its kinds, its range, its default; and what is wrong with one that was given."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

import attrs
from attrs import frozen

Kind = Literal["integer", "number", "boolean", "string", "array", "object", "null"]
"""The JSON kinds a parameter's value may have; an integer is also accepted where a number is expected."""


@frozen(kw_only=True)
class Parameter:
    """One value that a user may set: a hyper-parameter, a callback's option, or a field of the run's configuration.

    The one source for validation, `workers show`, JSON Schema and the configuration reference.
    `minimum`/`maximum` are inclusive; `exclusive_minimum` is not.
    """

    name: str
    kinds: tuple[Kind, ...]
    default: Any = None
    doc: str = ""
    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    required: bool = False

    def problem_with(self, value: Any) -> str | None:
        """Return what is wrong with `value` in words, or None when it is acceptable."""
        if not any(_is_kind(value, kind) for kind in self.kinds):
            return f"expected {_kinds_in_words(self.kinds)}, got {_quote(value)}"
        if value is None:
            return None
        if self.choices and value not in self.choices:
            return f"expected one of {', '.join(map(str, self.choices))}, got {_quote(value)}"
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._range_problem(value)
        return None

    def _range_problem(self, value: float) -> str | None:
        if self.minimum is not None and not value >= self.minimum:
            return f"must be at least {self.minimum:g}, got {value}"
        if self.exclusive_minimum is not None and not value > self.exclusive_minimum:
            return f"must be greater than {self.exclusive_minimum:g}, got {value}"
        if self.maximum is not None and not value <= self.maximum:
            return f"must be at most {self.maximum:.12g}, got {value}"
        return None

    def normalized(self, value: Any) -> Any:
        """Return a valid `value` in its declared kind: 1e6 for an integer becomes 1000000, nothing else changes."""
        if "number" in self.kinds or isinstance(value, bool) or not isinstance(value, float):
            return value
        return int(value) if "integer" in self.kinds and value.is_integer() else value


def _is_kind(value: Any, kind: Kind) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    checks: dict[str, bool] = {
        # 1e6 is how people write a million, and YAML and TOML read it as a float: lossless, so accepted.
        "integer": isinstance(value, int) or (isinstance(value, float) and value.is_integer()),
        "number": isinstance(value, (int, float)),
        "string": isinstance(value, str),
        "array": isinstance(value, (list, tuple)),
        "object": isinstance(value, Mapping),
        "null": value is None,
    }
    return checks.get(kind, False)


def _kinds_in_words(kinds: tuple[Kind, ...]) -> str:
    words = {"integer": "an integer", "array": "a list", "object": "a mapping", "boolean": "true or false"}
    return " or ".join(words.get(kind, "null" if kind == "null" else f"a {kind}") for kind in kinds)


def _quote(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def parameters_of(cls: type) -> tuple[Parameter, ...]:
    """Return the parameters of an attrs class: kinds from its annotations, the rest from `field(metadata=...)`.

    Metadata keys: doc, minimum, exclusive_minimum, maximum, choices. Raises TypeError for an annotation that has no
    JSON kind, so that a plugin's mistake shows in its own tests.
    """
    hints = typing.get_type_hints(cls)
    made = []
    for item in attrs.fields(cls):
        default = item.default.factory() if isinstance(item.default, attrs.Factory) else item.default  # type: ignore[arg-type]
        required = default is attrs.NOTHING
        made.append(
            Parameter(
                name=item.name,
                kinds=_kinds_of(hints[item.name]),
                default=None if required else default,
                required=required,
                **{key: value for key, value in item.metadata.items() if key in _METADATA},
            )
        )
    return tuple(made)


_METADATA = {"doc", "minimum", "exclusive_minimum", "maximum", "choices"}
_KIND_OF_TYPE: dict[Any, Kind] = {
    int: "integer", float: "number", bool: "boolean", str: "string", type(None): "null",
    list: "array", tuple: "array", dict: "object", Mapping: "object",
}  # fmt: skip


def _kinds_of(hint: Any) -> tuple[Kind, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(kind for part in typing.get_args(hint) for kind in _kinds_of(part))
    plain = typing.get_origin(hint) or hint
    if plain in _KIND_OF_TYPE:
        return (_KIND_OF_TYPE[plain],)
    if attrs.has(plain):
        return ("object",)
    raise TypeError(f"{hint!r} has no JSON kind; use int, float, bool, str, list, dict or a union of them")
