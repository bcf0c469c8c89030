"""The trainers in AGILab's app_settings.toml as configurations, one of each stage: nothing is keyed by a trainer's name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlctl import ConfigError, Conversion, ConvertedConfig, Problem
from rlctl.config.files import read_config
from rlctl.config.foreign import (
    NotTakenError,
    Reader,
    mapping,
    read_fields,
    seed,
    text,
    whole,
    without_none,
)
from rlctl.errors import did_you_mean
from rlctl_sb3.conversions.settings import PROGRESS, device_here, sound_settings
from rlctl_sb3.zoo.literals import NotLiteralError, parse_literal

_SCHEMA, _VERSION = "agilab.app_settings.v1", 1
_TRAINERS = {"PPO": "ppo", "DQN": "dqn"}
_NO_TRAINERS = {
    "PPO_manual": "is a PPO written by hand, with a loss, a number of environments and a rollout of its own, which no worker "
    "has. SB3's is trainer_PPO",
    "routing": "trains in an environment of its package, which is not registered with gymnasium. Register it, and name the "
    "module in env.imports",
    "gnn": "learns from labels, not by reinforcement",
    "ilp_stepper": "solves a linear program at each step, and trains nothing",
}
"""Methods of its worker that are no training by SB3."""

_PLACE = "a run's directory is runs/ID. `--runs-dir` says where runs are kept"
_CLUSTER = (
    "a run is one process on this machine. Where it is placed is `executor`; runs side by side are several `rlctl run`"
)
_REASONS = {
    **dict.fromkeys(("args.path", "args.data_in"), "a run reads no data: it learns from its environment"),
    **dict.fromkeys(("args.save_uri", "args.data_out"), _PLACE),
    "args.reset_target": "no run is ever replaced: `rlctl runs remove` removes one",
    "cluster": _CLUSTER,
}
_ENVIRONMENT = {"id": "LunarLander-v3", "num_envs": 8}
_HARD_CODED = (
    "LunarLander-v3, 8 of them, whatever is said: so it is written in the code there. Here `--env` names another"
)
_EPISODES_THERE = 10
_DEFAULTS_THERE = {"dqn": {"buffer_size": 100_000, "learning_starts": 1000}, "ppo": {}}
"""What its code sets where nothing is said, as far as that is not SB3's own default."""


def convert(path: Path) -> Conversion:
    """Return a configuration for each stage of the file; raises UsageError and ConfigError for a file that is none of AGILab's."""
    tree = without_none(read_config(path)[0])
    stages_at, stages = _stages(tree, path)
    readers: dict[str, Reader] = {"__meta__": _checked_meta, "args.stages": _listed, "args.args": _listed}
    _, left_out = read_fields(tree, readers, _REASONS)
    configs = [_stage(stage, number, f"{stages_at}[{number}]") for number, stage in enumerate(stages)]
    return Conversion(system="AGILab's SB3 app", configs=configs, left_out=left_out)


def _listed(stages: Any) -> None:
    """Raise NotTakenError for what is no list."""
    if not isinstance(stages, list):
        raise NotTakenError(f"expected a list of trainers, got {stages!r}")


def _checked_meta(meta: Any) -> None:
    """Raise ConfigError for a file of another schema: what it means is not known."""
    said = (meta.get("schema"), meta.get("version")) if isinstance(meta, Mapping) else (None, None)
    if said != (_SCHEMA, _VERSION):
        message = f'expected schema = "{_SCHEMA}" and version = {_VERSION}, got {meta!r}'
        raise ConfigError([Problem("__meta__", message)])


def _stages(tree: Mapping[str, Any], path: Path) -> tuple[str, list[Any]]:
    """Return (where, what) of the list of trainers, which older files call `args`."""
    args = tree.get("args", {})
    found = [key for key in ("stages", "args") if isinstance(args, Mapping) and isinstance(args.get(key), list)]
    if len(found) != 1 or not args[found[0]]:
        message = (
            "has [[args.stages]] and [[args.args]]: keep one"
            if len(found) > 1
            else "has no [[args.stages]], the trainers"
        )
        raise ConfigError([Problem(str(path), message)])
    return f"args.{found[0]}", args[found[0]]


def _stage(stage: Any, number: int, where: str) -> ConvertedConfig:
    """Return the configuration of a stage, named by its number, as several stages may have the same trainer."""
    stage = stage if isinstance(stage, Mapping) else {"name": stage}
    said, left_out = read_fields(stage, {"name": text, "args": mapping}, {})
    trainer = str(said.get("name", "")).removeprefix("trainer_")
    made = ConvertedConfig(name=f"{number + 1:02d}-{trainer.lower() or 'stage'}")
    made.left_out = [Problem(f"{where}.{problem.path}", problem.message, problem.hint) for problem in left_out]
    if trainer in _TRAINERS:
        _build(made, _TRAINERS[trainer], said.get("args", {}), f"{where}.args")
    else:
        hint = did_you_mean(trainer, _TRAINERS)
        reason = _NO_TRAINERS.get(trainer) or f'there is no trainer "{trainer}". {hint}'
        made.unusable.append(Problem(f"{where}.name", reason))
    return made


def _build(made: ConvertedConfig, algorithm: str, args: Mapping[str, Any], where: str) -> None:
    settings = dict(args)
    budget = _budget(made, settings, where)
    seed = _seed(made, settings, where)
    device, remark = device_here(settings.pop("device", "auto"))
    if remark is not None:
        made.changed.append(Problem(f"{where}.device", remark))
    made.config |= {"name": made.name, "worker": "sb3", "algo": algorithm, "env": dict(_ENVIRONMENT)}
    made.config |= {"total_timesteps": budget, "seed": seed, "device": device}
    made.changed.append(Problem("env", _HARD_CODED))
    for key in ("env", "env_id"):
        if key in settings:
            made.left_out.append(Problem(f"{where}.{key}", f"{settings.pop(key)}: {_HARD_CODED}"))
    callbacks = _callbacks(made, settings, where)
    _mend(made, algorithm, settings, where)
    sound, problems = sound_settings(settings, algorithm)
    made.left_out += [Problem(f"{where}.{problem.path}", problem.message, problem.hint) for problem in problems]
    made.config |= {"hyperparameters": sound, "callbacks": callbacks}
    if budget is not None:
        made.config["evaluation"] = {"every_steps": budget, "episodes": _EPISODES_THERE}
        made.changed.append(Problem("evaluation", f"{_EPISODES_THERE} episodes when it has ended, as there"))


def _budget(made: ConvertedConfig, settings: dict[str, Any], where: str) -> int | None:
    """Return the budget; without one it would be another training."""
    if "total_timesteps" not in settings and "total_steps" in settings:
        settings["total_timesteps"] = settings.pop("total_steps")
        made.changed.append(
            Problem(f"{where}.total_steps", "is total_timesteps; there only trainer_PPO_manual reads it")
        )
    value = settings.pop("total_timesteps", None)
    try:
        return whole(value)
    except NotTakenError as error:
        reason = "is required" if value is None else str(error)
        made.unusable.append(Problem(f"{where}.total_timesteps", reason))
        return None


def _seed(made: ConvertedConfig, settings: dict[str, Any], where: str) -> int:
    try:
        return seed(settings.pop("seed"))
    except KeyError:
        made.changed.append(
            Problem(f"{where}.seed", "is not said: 0, as of the environments there, but of the networks too")
        )
    except NotTakenError as error:
        made.left_out.append(Problem(f"{where}.seed", str(error)))
    return 0


def _callbacks(made: ConvertedConfig, settings: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the callbacks: TensorBoard's files are always written there."""
    made.changed.append(Problem(f"{where}.tensorboard_log", "tensorboard/ in the run's directory"))
    settings.pop("tensorboard_log", None)
    verbose = settings.pop("verbose", None)
    if verbose:
        made.left_out.append(Problem(f"{where}.verbose", PROGRESS))
    return {"tensorboard": {}} if verbose != 0 else {"tensorboard": {}, "progress": False}


def _mend(made: ConvertedConfig, algorithm: str, settings: dict[str, Any], where: str) -> None:
    """Say what its code makes of some settings."""
    for name, value in _DEFAULTS_THERE[algorithm].items():
        if name not in settings:
            settings[name] = value
            made.changed.append(Problem(f"{where}.{name}", f"is not said, and then {value} there"))
    if isinstance(settings.get("train_freq"), str):
        try:
            settings["train_freq"] = parse_literal(settings["train_freq"])  # "(4, 'step')", a tuple in a text
        except NotLiteralError as error:
            made.left_out.append(Problem(f"{where}.train_freq", str(error)))
            del settings["train_freq"]
    if settings.get("optimize_memory_usage") is True:
        reason = (
            "SB3 refuses it beside handle_timeout_termination, which is on; there that failure is taken for success"
        )
        made.left_out.append(Problem(f"{where}.optimize_memory_usage", reason))
        del settings["optimize_memory_usage"]
