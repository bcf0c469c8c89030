"""SB3's hyper-parameters, read from the source of its constructors: no list of ours can be out of date, and no import.

Importing SB3 takes over a second, as it imports torch; parsing one of its files takes milliseconds.
"""

from __future__ import annotations

import ast
import functools
import re
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import attrs

from rlctl import NotAvailableError, Parameter
from rlctl_sb3.algorithms import ALGORITHMS, CONTRIB
from rlctl_sb3.network import NETWORK

# What a constructor takes that is not the algorithm's: rlctl's own configuration carries it, or it is no value.
_NOT_SETTINGS = {"self", "env", "seed", "device", "verbose", "tensorboard_log", "monitor_wrapper", "_init_setup_model"}
_KINDS = {
    "int": ("integer",), "float": ("number",), "bool": ("boolean",), "str": ("string",), "dict": ("object",),
    "tuple": ("array",), "list": ("array",), "None": ("null",), "Schedule": ("object",), "Callable": ("object",),
    "ActionNoise": ("object",), "type": ("string",),
}  # fmt: skip
_SCHEDULE = 'A number, or {schedule: linear, start: 1e-3, end: 0}: "start" at the first step, "end" at the last.'
_NOTES = {
    "Schedule": _SCHEDULE,
    "Callable": _SCHEDULE,
    "ActionNoise": "{use: normal or ornstein_uhlenbeck, sigma: 0.1}: noise added to actions while training.",
    "type": 'A class as "package.module:Class".',
}


AUTO = "auto"
"""The policy that suits the observations: it can be chosen when the environment is there."""
_POLICY = (
    "auto: MlpPolicy, for images of at least 36x36 CnnPolicy, for a Dict MultiInputPolicy; of recurrent_ppo the same "
    "with Lstm in the name."
)
INSTALL = {"stable_baselines3": "pip install stable-baselines3", CONTRIB: "pip install 'rlctl-sb3[contrib]'"}
"""Packages of algorithms, and how to get them."""

NORMALIZE = Parameter(
    name="normalize",
    kinds=("boolean", "object"),
    default=False,
    doc="Normalise observations and rewards by running statistics: true, or a mapping of arguments of SB3's VecNormalize, "
    "such as {norm_reward: false}. Its gamma is the algorithm's unless it says another.",
)

FRAME_STACK = Parameter(
    name="frame_stack",
    kinds=("integer",),
    default=1,
    minimum=1,
    doc="Observe so many of the last frames, by SB3's VecFrameStack; they are normalised first. 1: only the last one.",
)

VECTORIZATION = Parameter(
    name="vectorization",
    kinds=("string",),
    default="sync",
    choices=("sync", "async"),
    doc="How several environments are stepped. sync: one by one; async: each in a process of its own, for slow ones.",
)


@functools.cache
def hyperparameters(algorithm: str) -> tuple[Parameter, ...]:
    """Return what can be set of an SB3 algorithm (`ppo`, `sac`, ...) and around it; raises NotAvailableError without SB3."""
    return (*constructor_parameters(algorithm), NETWORK, NORMALIZE, FRAME_STACK, VECTORIZATION)


@functools.cache
def constructor_parameters(algorithm: str) -> tuple[Parameter, ...]:
    """Return the arguments of the algorithm's constructor; raises NotAvailableError without SB3."""
    known = ALGORITHMS[algorithm]
    return tuple(
        attrs.evolve(parameter, default=AUTO, doc=f"{parameter.doc} {_POLICY}".strip())
        if parameter.name == "policy"
        else parameter
        for parameter in parameters_of_class(known.package, known.file, known.cls)
        if parameter.name not in _NOT_SETTINGS
    )


@functools.cache
def parameters_of_class(package: str, file: str, name: str) -> tuple[Parameter, ...]:
    """Return all arguments of the constructor of a class in `package`/`file`.py, without importing it.

    Those that have no default have None. Raises NotAvailableError without the package.
    """
    tree = ast.parse((source_folder(package) / f"{file}.py").read_text(encoding="utf-8"))
    cls = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    init = next(node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    docs = _documented(ast.get_docstring(cls) or "")
    arguments = init.args.args
    defaults = [None] * (len(arguments) - len(init.args.defaults)) + list(init.args.defaults)
    return tuple(
        _parameter(argument, _literal(default) if default else None, docs.get(argument.arg, ""))
        for argument, default in zip(arguments, defaults, strict=True)
    )


def source_folder(package: str) -> Path:
    """Return the folder of an installed package, found without importing it; raises NotAvailableError without it."""
    spec = PathFinder.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise NotAvailableError(f"{package} is not installed.", hint=INSTALL[package])
    return Path(next(iter(spec.submodule_search_locations)))


def _parameter(argument: ast.arg, value: Any, doc: str) -> Parameter:
    names = _type_names(argument.annotation)
    kinds = dict.fromkeys(kind for name in names for kind in _KINDS.get(name, ()))
    if value is None:
        kinds["null"] = None
    notes = [_NOTES[name] for name in names if name in _NOTES]
    return Parameter(name=argument.arg, kinds=tuple(kinds), default=value, doc=" ".join([doc, *notes]).strip())  # type: ignore[arg-type]


def _type_names(annotation: ast.expr | None) -> list[str]:
    """Return the outermost type names of an annotation: Union[float, Schedule] gives float and Schedule."""
    if annotation is None:
        return []
    if isinstance(annotation, ast.BinOp):
        return [*_type_names(annotation.left), *_type_names(annotation.right)]
    if isinstance(annotation, ast.Subscript):
        outer = ast.unparse(annotation.value).rpartition(".")[2]
        inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        if outer == "Optional":
            return [*_type_names(annotation.slice), "None"]
        return [name for part in inner for name in _type_names(part)] if outer == "Union" else [outer]
    return [ast.unparse(annotation).rpartition(".")[2]]


def _literal(node: ast.expr) -> Any:
    value = ast.literal_eval(node)
    return list(value) if isinstance(value, tuple) else value


def _documented(docstring: str) -> dict[str, str]:
    """Return name -> text of a docstring's `:param name: text`, each on one line."""
    found = re.findall(r":param (\w+):(.*?)(?=\n\s*:|\Z)", docstring, re.DOTALL)
    return {name: re.sub(r"\s+", " ", text.split("\n\n")[0]).strip() for name, text in found}
