"""Python literals in texts, as the zoo's files have them: `dict(net_arch=[64, 64], activation_fn=nn.Tanh)`.

The zoo evaluates such texts. Here they are parsed, and only what stands for data is accepted: numbers, texts, lists, tuples,
dictionaries, `dict(...)`, and names of an allow-list. Nothing is ever executed.
"""

from __future__ import annotations

import ast
import math
import warnings
from typing import Any

_LONGEST = 10_000
_DEEPEST = 50
_ACTIVATIONS = {"ReLU": "relu", "Tanh": "tanh", "ELU": "elu", "SiLU": "silu"}
_MORE_ACTIVATIONS = (
    "CELU", "GELU", "Hardswish", "Hardtanh", "Identity", "LeakyReLU", "Mish", "PReLU", "ReLU6", "SELU", "Sigmoid",
    "Softplus", "Softsign",
)  # fmt: skip
_OPTIMIZERS = ("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD")
_OTHERS = {
    "RMSpropTFLike": "stable_baselines3.common.sb2_compat.rmsprop_tf_like:RMSpropTFLike",
    "HerReplayBuffer": "stable_baselines3:HerReplayBuffer",
    "NatureCNN": "stable_baselines3.common.torch_layers:NatureCNN",
    "FlattenExtractor": "stable_baselines3.common.torch_layers:FlattenExtractor",
    "CombinedExtractor": "stable_baselines3.common.torch_layers:CombinedExtractor",
}


def _known_names() -> dict[str, str]:
    activations = {**_ACTIVATIONS, **{name: f"torch.nn:{name}" for name in _MORE_ACTIVATIONS}}
    names = dict(_OTHERS)
    for name, meaning in activations.items():
        written = ("nn", "th.nn", "torch.nn", "torch.nn.modules.activation", "torch.nn.modules.linear")
        names |= {f"{prefix}.{name}": meaning for prefix in written}
    for name in _OPTIMIZERS:
        prefixes = ("optim", "th.optim", "torch.optim", f"torch.optim.{name.lower()}")
        names |= {f"{prefix}.{name}": f"torch.optim:{name}" for prefix in prefixes}
    for meaning in _OTHERS.values():
        names[meaning.replace(":", ".")] = meaning
    return names


NAMES = _known_names()
"""Names that may stand in a text, and how a configuration of rlctl says them."""


class NotLiteralError(ValueError):
    """A text that is more than data; the message says which part of it."""


def parse_literal(text: str) -> Any:
    """Return the data that a Python expression stands for, tuples as lists; raises NotLiteralError for anything else."""
    if len(text) > _LONGEST:
        raise NotLiteralError(f"it is {len(text)} characters long, more than {_LONGEST}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's opinion of odd escapes in a stranger's text
            tree = ast.parse(text.strip(), mode="eval")
        return _value(tree.body, 0)
    except SyntaxError as error:
        raise NotLiteralError(f"it is no Python expression: {error.msg}") from error
    except (RecursionError, MemoryError) as error:
        raise NotLiteralError("it is nested too deeply") from error
    except NotLiteralError:
        raise
    except ValueError as error:  # a null character, an integer of thousands of digits
        raise NotLiteralError(f"it is no Python expression: {error}") from error


def _value(node: ast.expr, depth: int) -> Any:
    if depth > _DEEPEST:
        raise NotLiteralError("it is nested too deeply")
    if isinstance(node, ast.Constant):
        return _constant(node)
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item, depth + 1) for item in node.elts]
    if isinstance(node, ast.Dict):
        return _mapping(node, depth)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        return _signed(node, depth)
    if isinstance(node, ast.Call):
        return _call(node, depth)
    if isinstance(node, (ast.Name, ast.Attribute)):
        return _name(node)
    raise _refused(node)


def _constant(node: ast.Constant) -> Any:
    value = node.value
    if not (value is None or isinstance(value, (bool, int, float, str))):
        raise _refused(node)
    if isinstance(value, float) and not math.isfinite(value):
        raise NotLiteralError(f"`{_shown(node)}` is no finite number")
    return value


def _mapping(node: ast.Dict, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in zip(node.keys, node.values, strict=True):
        if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
            raise NotLiteralError(f"a key must be a text, and `{_shown(key) if key else '**'}` is none")
        _put(found, key.value, _value(item, depth + 1))
    return found


def _signed(node: ast.UnaryOp, depth: int) -> Any:
    value = _value(node.operand, depth + 1)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _refused(node)
    return -value if isinstance(node.op, ast.USub) else value


def _call(node: ast.Call, depth: int) -> Any:
    """Return what `dict(a=1)`, `list([1])` or `tuple([1])` means; no other call is one of data."""
    function = node.func.id if isinstance(node.func, ast.Name) else None
    if function == "dict" and not node.args:
        found: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise _refused(node)
            _put(found, keyword.arg, _value(keyword.value, depth + 1))
        return found
    if function in ("list", "tuple") and not node.keywords and len(node.args) <= 1:
        value = _value(node.args[0], depth + 1) if node.args else []
        if isinstance(value, list):
            return value
    raise _refused(node)


def _put(found: dict[str, Any], key: str, value: Any) -> None:
    if key in found:
        raise NotLiteralError(f'the key "{key}" stands there twice')
    found[key] = value


def _name(node: ast.expr) -> str:
    name = _shown(node)
    if name not in NAMES:
        raise NotLiteralError(f"`{name}` is no name that is known to be harmless")
    return NAMES[name]


def _refused(node: ast.expr) -> NotLiteralError:
    return NotLiteralError(f"`{_shown(node)}` is no literal, and nothing is executed")


def _shown(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 80 else text[:77] + "..."
