"""A `.cleanrl_model`: written by the script's own lines, as `--save-model` would, and read for its networks.

What a script saves is its own affair: the weights of one network, those of actor and critics one after the other, or weights
with the arguments beside them. So its own statements are executed, up to the one that saves: what would follow is its
evaluation, which films, and an upload.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from rlctl import RlctlError
from rlctl_cleanrl.facts import is_main_guard

_BESIDE = ("model_weights", "model_state_dict")
"""What weights are called where something stands beside them: by c51, and by MOSAIC's PPO."""
_ACTING = ("q_network", "agent", "actor")


def saving_statements(tree: ast.Module) -> list[ast.stmt]:
    """Return what a script does under `if args.save_model:` until the model is saved; nothing where it never saves one."""
    blocks = [block for block in tree.body if is_main_guard(block)]
    for statement in (inner for block in blocks for inner in getattr(block, "body", [])):
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "args.save_model":
            for count, inner in enumerate(statement.body, start=1):
                if _saves(inner):
                    return statement.body[:count]
    return []


def _saves(statement: ast.stmt) -> bool:
    """Return whether a statement is `torch.save(…)`, or the `with open(…)` in which JAX's scripts write."""
    if isinstance(statement, ast.With):
        return True
    return any(isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.save" for node in ast.walk(statement))


def write_model(path: Path, script: dict[str, Any], folder: Path) -> Path | None:
    """Write the model of a script that has ended into `folder`; returns the file, None where the script saves none.

    `script` are its globals, which stay as they are. Raises OSError or RuntimeError, torch.save's, where it cannot be written.
    """
    statements = saving_statements(ast.parse(path.read_bytes()))
    if not statements:
        return None
    own: dict[str, Any] = {}
    exec(compile(ast.Module(statements, []), str(path), "exec"), script, own)  # noqa: S102
    final = folder / f"{path.stem}.cleanrl_model"
    written = next((value for value in own.values() if str(value).endswith(final.suffix)), None)
    if written is None:
        return None  # a script of somebody's own has another name for it, and knows where it is
    # Its place is named by the second in which the process began: of a run that was resumed there would be several.
    os.replace(written, final)
    return final


def networks_in(saved: Any, networks: Mapping[str, nn.Module], path: Path) -> dict[str, Mapping[str, Any]]:
    """Return the weights of each network that a model holds, by the script's names for `networks`.

    Raises RlctlError where it holds none.
    """
    if isinstance(saved, Mapping):
        beside = [saved[name] for name in _BESIDE if isinstance(saved.get(name), Mapping)]
        states = [*beside, saved][:1]
        names = [name for name in _ACTING if name in networks][:1]
    else:
        states = list(saved) if isinstance(saved, (list, tuple)) else []
        names = [name for name in networks if "target" not in name and name != "agent"]
    names += [f"network {number}" for number in range(len(names) + 1, len(states) + 1)]
    if not names or not states or not all(isinstance(state, Mapping) for state in states):
        raise RlctlError(f"{path} holds no weights of this script's networks ({', '.join(networks) or 'none'}).")
    return {name: states[index] if index < len(states) else {} for index, name in enumerate(names)}
