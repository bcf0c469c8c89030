"""What rlctl knows of CleanRL's training scripts without running them: parameters, defaults, needs and command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import frozen

from rlctl.errors import NotAvailableError, UsageError
from rlctl_cleanrl.needs import missing_modules, why_unavailable

__all__ = [
    "RESERVED",
    "Parameter",
    "Script",
    "missing_modules",
    "read_script",
    "read_scripts",
    "to_argv",
    "why_unavailable",
]

RESERVED = frozenset(
    {
        "exp_name",
        "seed",
        "cuda",
        "track",
        "wandb_project_name",
        "wandb_entity",
        "capture_video",
        "env_id",
        "total_timesteps",
        "num_envs",
        "save_model",
        "upload_model",
        "hf_entity",
    }
)
"""Parameters that are no hyper-parameters, because rlctl's own configuration carries them."""


@frozen
class Parameter:
    """One argument of a script; `kind` is "integer", "number", "boolean" or "string", `name` is in snake_case."""

    name: str
    kind: str
    default: object
    doc: str
    nullable: bool
    choices: tuple[str | int, ...] = ()
    flag: str = ""


@frozen
class Script:
    """One training script, as far as it can be read; `imports` are the modules that a run of it cannot do without.

    `no_network` says why another network cannot stand for its own, None where it can; `flattens` and `needs_float32`, what
    it does with observations.
    """

    name: str
    path: Path
    style: str
    parameters: tuple[Parameter, ...]
    imports: tuple[str, ...]
    action_spaces: tuple[str, ...]
    image: bool
    fixed_num_envs: bool
    flattens: bool
    needs_float32: bool
    no_network: str | None
    saves_model: bool
    has_main_loop: bool
    default_env: str
    default_total_timesteps: int
    sha256: str

    @property
    def hyper_parameters(self) -> tuple[Parameter, ...]:
        """The parameters without the reserved ones."""
        return tuple(parameter for parameter in self.parameters if parameter.name not in RESERVED)

    def parameter(self, name: str) -> Parameter | None:
        """Return the parameter of this name, or None where the script has none that can be set."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)


def read_script(path: Path) -> Script:
    """Read one training script by its syntax tree; nothing of it is executed.

    Raises NotAvailableError where the file cannot be read or parsed, is no training script, or has an argument that
    must be given.
    """
    script = _read(path)
    if script is None:
        raise NotAvailableError(
            f"{path} is no CleanRL training script: it has no command line with env_id and total_timesteps.",
            hint="Give a script with a tyro.cli(Args) dataclass or an argparse parser, as CleanRL's are.",
        )
    return script


def read_scripts(root: Path, report: Callable[[str], None] | None = None) -> tuple[Script, ...]:
    """Read the training scripts in `<root>/cleanrl` and its folders, sorted by name; other files are passed over.

    A file that looks like a training script but cannot be read is no error: it is left out, and `report` is called
    with one sentence about it.
    """
    found: dict[str, Script] = {}
    for path in sorted([*root.glob("cleanrl/*.py"), *root.glob("cleanrl/*/*.py")], key=lambda p: (len(p.parts), p)):
        if path.parent.name.startswith((".", "_")):
            continue
        try:
            script = _read(path)
            if script is not None and script.name in found:
                raise NotAvailableError(f"{path} has the same name as {found[script.name].path}.")
        except NotAvailableError as error:
            if report is not None:
                report(error.message)
            continue
        if script is not None:
            found[script.name] = script
    return tuple(found[name] for name in sorted(found))


def _read(path: Path) -> Script | None:
    """Read one file; None where it is no training script, NotAvailableError where it is one that cannot be used."""
    import hashlib

    from rlctl_cleanrl import facts, schema

    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotAvailableError(f"{path} cannot be read: {error.strerror or error}.") from error
    tree = facts.parse(content, path)
    try:
        command_line = schema.read(tree, path)
    except RecursionError as error:
        raise NotAvailableError(f"{path} cannot be read: it is nested too deeply.") from error
    if command_line is None:
        return None
    known = {parameter.name: parameter for parameter in command_line.parameters}
    if "total_timesteps" not in known or "env_id" not in known:
        raise NotAvailableError(f"{path}: the default of total_timesteps or env_id cannot be read.")
    imports = facts.imports(tree, path)
    return Script(
        name=path.stem,
        path=path,
        style=command_line.style,
        parameters=command_line.parameters,
        imports=imports,
        action_spaces=facts.action_spaces(tree),
        image=facts.image(tree, imports),
        fixed_num_envs="num_envs" not in known or facts.asserts_one_env(tree),
        flattens=facts.flattens(tree),
        needs_float32=facts.needs_float32(tree),
        no_network=facts.why_no_network(tree),
        saves_model="save_model" in known,
        has_main_loop=facts.main_loop(tree) is not None,
        default_env=str(known["env_id"].default or ""),
        default_total_timesteps=_whole(known["total_timesteps"].default),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _whole(value: object) -> int:
    return int(value) if isinstance(value, (int, float)) else 0


def to_argv(script: Script, values: Mapping[str, object]) -> list[str]:
    """Return the arguments that give the script exactly these values: bit-exact floats, false stays false.

    Raises UsageError for a name that the script does not have, a value of the wrong kind, and a value that its
    command line has no way to say.
    """
    arguments = []
    for name, value in values.items():
        parameter = script.parameter(name)
        if parameter is None:
            raise UsageError(f"{script.name} has no parameter {name!r} (value {value!r}).")
        argument = _argument(script, parameter, value)
        if argument is not None:
            arguments.append(argument)
    return arguments


def _argument(script: Script, parameter: Parameter, value: object) -> str | None:
    """Return one argument, or None where leaving it out says the same."""
    flag, tyro = parameter.flag or f"--{parameter.name.replace('_', '-')}", script.style == "tyro"
    if value is None:
        if not parameter.nullable:
            raise UsageError(f"{script.name}: {parameter.name} cannot be None.")
        # argparse has no word for None: a nullable argument there is one whose default it is.
        return f"{flag}=None" if tyro else None
    text = _text(script, parameter, value)
    if parameter.kind == "boolean" and tyro:
        return flag if value else f"--no-{flag[2:]}"
    if tyro and parameter.kind == "string" and parameter.nullable and text == "None":
        raise UsageError(f"{script.name}: {parameter.name} cannot be the text 'None': its parser reads it as no value.")
    # One token with "=": "-1e-05" or a text that starts with a dash would be taken for an option otherwise.
    return f"{flag}={text}"


def _text(script: Script, parameter: Parameter, value: object) -> str:
    """Return the value as text that the script's parser turns into the same value again."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    right = {
        "integer": whole,
        "number": whole or isinstance(value, float),
        "boolean": isinstance(value, bool),
        "string": isinstance(value, str),
    }[parameter.kind]
    if not right:
        raise UsageError(f"{script.name}: {parameter.name} takes a value of kind {parameter.kind}, not {value!r}.")
    if parameter.choices and value not in parameter.choices:
        raise UsageError(f"{script.name}: {parameter.name} is one of {list(parameter.choices)}, not {value!r}.")
    if parameter.kind == "number" and isinstance(value, (int, float)):
        try:
            return repr(float(value))
        except OverflowError as error:
            raise UsageError(f"{script.name}: {parameter.name} is too large for a number: {value}.") from error
    return str(value)
