"""Evaluates the few expressions that CleanRL's scripts write as defaults, without executing any of the script."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {"int": int, "float": float, "len": len}
_LARGEST = 256


class NotLiteral(Exception):
    """The expression is not one of the few that are evaluated; the message is its text."""


def literal(node: ast.expr, path: Path) -> object:
    """Return the value of a literal, arithmetic on literals, int()/float() of one, or the script's own name.

    Raises NotLiteral for anything else.
    """
    try:
        return _value(node, path)
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise NotLiteral(ast.unparse(node)) from error


def _value(node: ast.expr, path: Path) -> Any:
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, (bool, int, float, str))):
        return node.value
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_value(node.operand, path))
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = _value(node.left, path), _value(node.right, path)
        if isinstance(node.op, (ast.Pow, ast.LShift)) and abs(right) > _LARGEST:
            raise NotLiteral(ast.unparse(node))  # 9**9**9 in somebody's script must not stop `workers list`
        if isinstance(node.op, ast.Add) or (not isinstance(left, str) and not isinstance(right, str)):
            return _BINARY[type(node.op)](left, right)
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) and node.slice.step is None:
        bounds = (node.slice.lower, node.slice.upper)
        start, stop = (None if bound is None else _value(bound, path) for bound in bounds)
        return _value(node.value, path)[start:stop]
    if isinstance(node, ast.Call) and not node.keywords:
        return _call(node, path)
    raise NotLiteral(ast.unparse(node))


def _call(node: ast.Call, path: Path) -> Any:
    if ast.unparse(node) == "os.path.basename(__file__)":
        return path.name
    values = [_value(argument, path) for argument in node.args]
    function = node.func
    if isinstance(function, ast.Name) and function.id in _FUNCTIONS and len(values) == 1:
        return _FUNCTIONS[function.id](values[0])
    # The scripts' exp_name: `.rstrip(".py")` strips letters, not a suffix, and is reproduced as it is.
    if isinstance(function, ast.Attribute) and function.attr in ("rstrip", "removesuffix", "replace"):
        text = _value(function.value, path)
        if isinstance(text, str):
            return getattr(text, function.attr)(*values)
    raise NotLiteral(ast.unparse(node))
