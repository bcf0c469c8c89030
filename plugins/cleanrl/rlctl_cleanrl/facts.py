"""What the syntax tree of a script tells beside its parameters: main loop, needed modules, spaces, its network."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from attrs import frozen

from rlctl.errors import NotAvailableError

_TELLING = ("tensorboard", "AtariPreprocessing")
_SPACES = {"Discrete": "discrete", "Box": "box"}


def parse(content: bytes, path: Path) -> ast.Module:
    """Parse a file. Raises NotAvailableError, with the line, where this Python cannot."""
    import warnings

    try:
        # An invalid escape in somebody's script is no concern of the user who lists algorithms.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(content, filename=str(path))
    except SyntaxError as error:
        raise NotAvailableError(f"{path} cannot be parsed: line {error.lineno}: {error.msg}.") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotAvailableError(f"{path} cannot be parsed: {error}.") from error


def is_main_guard(node: ast.stmt) -> bool:
    """Tell whether this is `if __name__ == "__main__":`."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Compare)
        and isinstance(node.test.left, ast.Name)
        and node.test.left.id == "__name__"
    )


@frozen
class MainLoop:
    """Where a script trains: `for variable in range(…)`; the call spans the lines first_line to last_line."""

    variable: str
    first_line: int
    last_line: int


def main_loop(tree: ast.Module) -> MainLoop | None:
    """Return the last `for … in range(…)` directly under `if __name__ == "__main__"`, None where there is none."""
    found: MainLoop | None = None
    for block in tree.body:
        if not isinstance(block, ast.If) or "__name__" not in ast.unparse(block.test):
            continue
        for statement in block.body:
            if isinstance(statement, ast.For):
                found = _range_loop(statement) or found
    return found


def _range_loop(loop: ast.For) -> MainLoop | None:
    # Walking also finds the range inside `track(range(…))`, the progress bar of the qdagger scripts.
    for node in ast.walk(loop.iter):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
            return MainLoop(ast.unparse(loop.target), node.lineno, node.end_lineno or node.lineno)
    return None


def imports(tree: ast.Module, path: Path) -> tuple[str, ...]:
    """Return the top-level names of the modules that every run of the script imports, its own helpers' included."""
    names: set[str] = set()
    _collect(tree, path, names, {path})
    return tuple(sorted(names))


def _collect(tree: ast.Module, path: Path, names: set[str], seen: set[Path]) -> None:
    """Add what a file imports to `names`; files of the source itself are followed, each once."""
    atari = any(isinstance(node, ast.Attribute) and node.attr == "AtariPreprocessing" for node in ast.walk(tree))
    for module in [*_unconditional(tree.body), *_by_name(tree)]:
        atari = atari or module.endswith(("atari_wrappers", "AtariPreprocessing"))
        if module.startswith("torch.utils.tensorboard"):
            names.add("tensorboard")
        own = _own_file(module, path)
        if own is None:
            names.add(module.partition(".")[0])
            continue
        if own.parent != path.parent:
            names.add(module.partition(".")[0])
        if own not in seen:
            seen.add(own)
            try:
                _collect(parse(own.read_bytes(), own), own, names, seen)
            except (OSError, NotAvailableError):
                # The script itself will say what is wrong with its helper, better than a list can.
                continue
    if atari:
        # They are imported by nobody and needed by everybody: the environments, and the wrappers' resizing.
        names.update({"ale_py", "cv2"})


def _unconditional(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Yield the modules imported in every run: not those in a function, under an `if`, or with a way out."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{a.name}" for a in node.names if a.name in _TELLING)
        elif is_main_guard(node) or isinstance(node, ast.With):
            yield from _unconditional(getattr(node, "body", []))
        elif isinstance(node, ast.Try) and not node.handlers:
            yield from _unconditional(node.body)


def _by_name(tree: ast.Module) -> Iterator[str]:
    """Yield what `importlib.import_module("package.…")` imports, as far as the name is written down."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        if node.func.attr == "import_module":
            first = node.args[0]
            if isinstance(first, ast.JoinedStr) and first.values:
                first = first.values[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value[:1] not in ("", "."):
                yield first.value.rstrip(".")


def _own_file(module: str, path: Path) -> Path | None:
    """Return the source's own file that this import means: a sibling, or one below cleanrl/ or cleanrl_utils/."""
    top, _, rest = module.partition(".")
    if top in ("cleanrl", "cleanrl_utils"):
        for folder in path.parents:
            if folder.name in ("cleanrl", "cleanrl_utils"):
                below = folder.parent.joinpath(top, *rest.split("."))
                candidates = [below.with_suffix(".py"), below / "__init__.py"]
                return next((file for file in candidates if rest and file.is_file()), None)
        return None
    sibling = path.parent / f"{top}.py"
    return sibling if sibling.is_file() else None


def action_spaces(tree: ast.Module) -> tuple[str, ...]:
    """Return "discrete" and "box" as the script asserts them; nothing where it asserts nothing."""
    found: set[str] = set()
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Assert):
            for call in ast.walk(statement.test):
                if _is_space_check(call):
                    found.update(_SPACES[name] for name in _last_names(call) if name in _SPACES)
    return tuple(sorted(found, reverse=True))


def _is_space_check(call: ast.AST) -> bool:
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "isinstance"):
        return False
    return len(call.args) == 2 and ast.unparse(call.args[0]).endswith("action_space")


def _last_names(call: ast.AST) -> Iterator[str]:
    kinds = call.args[1] if isinstance(call, ast.Call) else call
    for node in kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]:
        yield ast.unparse(node).rpartition(".")[2]


def image(tree: ast.Module, imported: Iterable[str]) -> bool:
    """Guess whether the script learns from images: Atari's wrappers, envpool, procgen, or a division by 255."""
    if {"ale_py", "envpool", "procgen"} & set(imported):
        return True
    for node in ast.walk(tree):
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div):
            divisor = node.right if isinstance(node, ast.BinOp) else node.value
            if isinstance(divisor, ast.Constant) and divisor.value == 255:
                return True
    return False


def asserts_one_env(tree: ast.Module) -> bool:
    """Tell whether the script asserts that num_envs is 1."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare):
            left, right = node.test.left, node.test.comparators[0]
            one = isinstance(right, ast.Constant) and right.value == 1 and isinstance(node.test.ops[0], ast.Eq)
            if one and isinstance(left, ast.Attribute) and left.attr == "num_envs":
                return True
    return False


def flattens(tree: ast.Module) -> bool:
    """Tell whether the script itself lays observations flat, as those for dm_control do."""
    return any(isinstance(node, ast.Attribute) and node.attr == "FlattenObservation" for node in ast.walk(tree))


def needs_float32(tree: ast.Module) -> bool:
    """Tell whether observations must be float32: they are kept in a replay buffer as they are, and go to the network so.

    The scripts for continuous actions set the dtype of the space themselves.
    """
    keeps = any(
        isinstance(node, ast.Call) and ast.unparse(node.func).endswith("ReplayBuffer") for node in ast.walk(tree)
    )
    targets = [
        ast.unparse(target) for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets
    ]
    return keeps and not any(target.endswith("single_observation_space.dtype") for target in targets)


def why_no_network(tree: ast.Module) -> str | None:
    """Return why another network cannot stand for the script's own; None where it can.

    It can where the network is a class `Agent`, made of the environments alone, of which the script uses no more than
    `get_value(x)` and `get_action_and_value(x, action)`, which returns action, log-probability, entropy and value.
    """
    agent = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Agent"), None)
    if agent is None:
        return "it has no class Agent"
    methods = {node.name: node for node in agent.body if isinstance(node, ast.FunctionDef)}
    for name, takes in _AGENT.items():
        if name not in methods:
            return f"its Agent has no {name}"
        found = [argument.arg for argument in methods[name].args.args]
        if len(found) != takes:
            return f"its Agent has {name}({', '.join(found[1:])})"
    returned = [node.value for node in ast.walk(methods["get_action_and_value"]) if isinstance(node, ast.Return)]
    if not all(isinstance(value, ast.Tuple) and len(value.elts) == 4 for value in returned):
        return "its Agent has more than one value, or a memory"
    made = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Agent"]
    for call in made:
        if len(call.args) != 1 or call.keywords:
            return f"its Agent holds a part of the algorithm: {ast.unparse(call)}"
    used = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "agent"
    }
    own = (used - set(_AGENT)) & (set(methods) | _own_attributes(agent))
    return f"it uses agent.{min(own)} as well" if own else None


_AGENT = {"get_value": 2, "get_action_and_value": 3}
"""Methods of an Agent, and how many arguments they take, self included."""


def _own_attributes(cls: ast.ClassDef) -> set[str]:
    """Return the names that a class gives its instances."""
    nodes = [node for node in ast.walk(cls) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)]
    return {node.attr for node in nodes if ast.unparse(node.value) == "self"}
