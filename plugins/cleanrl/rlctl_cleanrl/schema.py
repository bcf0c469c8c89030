"""Reads the command line of a script (argparse or a tyro dataclass) from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

from rlctl.errors import NotAvailableError
from rlctl_cleanrl.facts import is_main_guard
from rlctl_cleanrl.literals import NotLiteral, literal
from rlctl_cleanrl.scripts import Parameter

_KINDS = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
_TRUTH = {"y": True, "yes": True, "t": True, "true": True, "on": True, "1": True} | {
    "n": False,
    "no": False,
    "f": False,
    "false": False,
    "off": False,
    "0": False,
}


class Hidden(Exception):
    """This argument cannot be offered: its kind or its default is not written down plainly."""


class Required(Exception):
    """This argument has no default; its name is the message."""


@frozen
class CommandLine:
    """How a script takes its arguments ("argparse" or "tyro"), and those that can be set."""

    style: str
    parameters: tuple[Parameter, ...]


def read(tree: ast.Module, path: Path) -> CommandLine | None:
    """Return the command line of a training script, None where the file is none.

    Raises NotAvailableError where an argument must be given, since rlctl starts every script from its defaults.
    """
    args_class = _tyro_class(tree)
    named: list[tuple[str, Parameter | Exception]]
    if args_class is not None:
        named, style = [_field(*field, path) for field in _fields(args_class, tree)], "tyro"
    else:
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _called(n) == "add_argument"]
        # ast.walk goes level by level; the order of the source is the order of the documentation.
        named = [_argument(call, path) for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset))]
        style = "argparse"
    if not {"env_id", "total_timesteps"} <= {name for name, _ in named}:
        return None
    required = [name for name, value in named if isinstance(value, Required)]
    if required:
        raise NotAvailableError(f"{path}: {', '.join(required)} has no default, so it cannot be run from its defaults.")
    computed = _assigned(tree.body, _holders(tree))
    unique = {name: value for name, value in named if isinstance(value, Parameter) and name not in computed}
    return CommandLine(style, tuple(unique.values()))


def _called(call: ast.Call) -> str:
    function = call.func
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _tyro_class(tree: ast.Module) -> ast.ClassDef | None:
    """Return the class that the script hands to tyro.cli, if it does so and the class is in the script."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) == "cli" and node.args:
            return _class(tree, ast.unparse(node.args[0]))
    return None


def _class(tree: ast.Module, name: str) -> ast.ClassDef | None:
    return next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)


def _fields(cls: ast.ClassDef, tree: ast.Module) -> list[tuple[ast.AnnAssign, str]]:
    """Return the dataclass's fields, those of its bases first, each with the text below it."""
    found: dict[str, tuple[ast.AnnAssign, str]] = {}
    for base in reversed(cls.bases):
        parent = _class(tree, ast.unparse(base))
        if parent is not None and parent is not cls:
            found.update((ast.unparse(node.target), (node, doc)) for node, doc in _fields(parent, tree))
    for node, below in zip(cls.body, [*cls.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation):
            constant = below.value if isinstance(below, ast.Expr) else None
            doc = constant.value if isinstance(constant, ast.Constant) else ""
            found[ast.unparse(node.target)] = (node, doc if isinstance(doc, str) else "")
    return list(found.values())


def _field(node: ast.AnnAssign, doc: str, path: Path) -> tuple[str, Parameter | Exception]:
    name = ast.unparse(node.target)
    try:
        kind, choices, optional = _annotation(node.annotation)
        default = _coerce(kind, literal(_field_default(node, name), path))
        if kind == "boolean" and (optional or default is None):
            raise Hidden(name)  # tyro gives such a field another syntax than --x/--no-x
        nullable = optional or default is None
        return name, Parameter(name, kind, default, " ".join(doc.split()), nullable, choices)
    except (Hidden, Required, NotLiteral) as reason:
        return name, reason


def _field_default(node: ast.AnnAssign, name: str) -> ast.expr:
    if node.value is None:
        raise Required(name)
    if isinstance(node.value, ast.Call) and _called(node.value) == "field":
        given = {keyword.arg: keyword.value for keyword in node.value.keywords}
        if "default" in given:
            return given["default"]
        raise Hidden(name) if "default_factory" in given else Required(name)
    return node.value


def _annotation(node: ast.expr) -> tuple[str, tuple[str | int, ...], bool]:
    """Return the kind, the choices, and whether None is allowed."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
        try:
            node = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError) as error:
            raise Hidden(text) from error
    if isinstance(node, ast.Name) and node.id in _KINDS:
        return _KINDS[node.id], (), False
    options: list[ast.expr] = []
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        options = [node.left, node.right]
    elif isinstance(node, ast.Subscript):
        of = ast.unparse(node.value).rpartition(".")[2]
        inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if of == "Literal":
            choices = _choices(inside)
            return ("string" if isinstance(choices[0], str) else "integer"), choices, False
        options = {"Optional": [*inside, ast.Constant(None)], "Union": inside}.get(of, [])
    some = [option for option in options if not (isinstance(option, ast.Constant) and option.value is None)]
    if len(options) == 2 and len(some) == 1:
        kind, choices, _ = _annotation(some[0])
        return kind, choices, True
    raise Hidden(ast.unparse(node))


def _choices(nodes: Iterable[ast.expr]) -> tuple[str | int, ...]:
    values = [node.value for node in nodes if isinstance(node, ast.Constant)]
    for kind in (str, int):
        if values and all(type(value) is kind for value in values):
            return tuple(value for value in values if isinstance(value, (str, int)))
    raise Hidden("choices")


def _argument(call: ast.Call, path: Path) -> tuple[str, Parameter | Exception]:
    """Read one add_argument; only those that take one value (or none for True) can be offered."""
    given = {keyword.arg or "**": keyword.value for keyword in call.keywords}
    names = [node.value for node in call.args if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    flag = next((name for name in names if name.startswith("--")), "")
    name = flag[2:].replace("-", "_") or (names[0].lstrip("-") if names else "")
    try:
        name = str(literal(given["dest"], path)) if "dest" in given else name
        nargs = given.get("nargs")
        if "required" in given or (not flag and names and not names[0].startswith("-")):
            raise Required(name)
        if not flag or {"**", "action"} & set(given) or (nargs and ast.unparse(nargs) != "'?'"):
            raise Hidden(name)
        kind = _type(given["type"]) if "type" in given else "string"
        allowed = given.get("choices")
        choices = _choices(allowed.elts) if isinstance(allowed, (ast.List, ast.Tuple, ast.Set)) else ()
        default = _coerce(kind, literal(given.get("default", ast.Constant(None)), path))
        text = literal(given.get("help", ast.Constant("")), path)
    except (Hidden, Required, NotLiteral) as reason:
        return name, reason
    doc = " ".join(str(text or "").replace("%%", "%").split())
    return name, Parameter(name, kind, default, doc, default is None, choices, flag)


def _type(node: ast.expr) -> str:
    if "strtobool" in ast.unparse(node):
        return "boolean"
    # argparse's type=bool makes True of every text, "False" included: there is nothing honest to offer.
    if isinstance(node, ast.Name) and node.id in _KINDS and node.id != "bool":
        return _KINDS[node.id]
    raise Hidden(ast.unparse(node))


def _coerce(kind: str, value: object) -> object:
    """Return the default as a value of its kind: `learning_starts: int = 25e3` is the integer 25000."""
    if value is None or (kind == "string" and isinstance(value, str)):
        return value
    if kind == "boolean" and str(value).lower() in _TRUTH:
        return _TRUTH[str(value).lower()]
    if kind in ("integer", "number") and isinstance(value, (int, float, str)):
        try:
            number = float(value)
            if kind == "number":
                return number
            if not isinstance(value, float) or number.is_integer():
                return int(value)
        except (ValueError, OverflowError) as error:
            raise Hidden(str(value)) from error
    raise Hidden(str(value))


def _holders(tree: ast.Module) -> set[str]:
    """Return the names that the parsed arguments are bound to."""
    names = {"args"}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)):
            continue
        if _called(node.value) in ("parse_args", "cli"):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return names


def _assigned(body: Iterable[ast.stmt], holders: set[str]) -> set[str]:
    """Return the arguments that the script overwrites whatever was given: computed at run time, nothing to set.

    One that is only adjusted (`args.x = min(args.x, …)`) or filled in under a condition remains an argument.
    """
    names: set[str] = set()
    for node in body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Attribute) and ast.unparse(target.value) in holders:
                    read = {ast.unparse(part) for part in ast.walk(node.value) if isinstance(part, ast.Attribute)}
                    names |= {target.attr} if ast.unparse(target) not in read else set()
        elif isinstance(node, ast.If) and not is_main_guard(node):
            names |= _assigned(node.body, holders) & _assigned(node.orelse, holders)
        elif isinstance(node, (ast.If, ast.With, ast.Try, ast.FunctionDef)):
            names |= _assigned(node.body, holders)
    return names
