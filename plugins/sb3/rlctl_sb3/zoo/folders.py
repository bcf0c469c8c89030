"""What lies in the folder of a training by rl-zoo3 or by a script of SB3: which file is what, and what is known of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

from rlctl.errors import ConfigError, Problem, UsageError
from rlctl_sb3.zoo.algorithms import IN_THE_ZOO, name_here, problem_with_algorithm
from rlctl_sb3.zoo.models import ModelFacts, read_model, settings_of
from rlctl_sb3.zoo.records import Monitors, read_monitors
from rlctl_sb3.zoo.settings import UnusableError, data_of, translate
from rlctl_sb3.zoo.yaml_data import Foreign, read_yaml

_BEST = "best_model.zip"
_STEPS = re.compile(r"_(\d+)_steps$")


@define
class Training:
    """A training that another program did: its configuration as far as it is known, its records, its files."""

    folder: Path
    kind: str
    config: dict[str, Any]
    monitors: Monitors
    facts: ModelFacts | None
    model: Path | None
    best: Path | None
    evaluations: Path | None
    statistics: Path | None
    kept: dict[str, Path] = field(factory=dict)
    """Name below backend/ → file that is copied there."""
    left_out: list[Problem] = field(factory=list)


def read_zoo_folder(folder: Path) -> Training:
    """Return the training of a folder such as `logs/ppo/CartPole-v1_1`. Raises UsageError, ConfigError or RlctlError."""
    _require_folder(folder)
    inner = sorted(path.parent for path in folder.glob("*/config.yml"))
    if len(inner) != 1:
        found = "several config.yml" if inner else "no config.yml in a folder below it"
        raise UsageError(f'"{folder}" is no training of rl-zoo3: there is {found}.', hint=_offer(folder))
    name = inner[0].name
    config = read_yaml(inner[0] / "config.yml")
    arguments = read_yaml(inner[0] / "args.yml") if (inner[0] / "args.yml").exists() else {}
    files = _files(folder, folder / f"{name}.zip", inner[0] / "vecnormalize.pkl")
    monitors, facts = read_monitors(files["monitors"]), _facts(files["model"])
    algo = _said(arguments, "algo") or (folder.parent.name if folder.parent.name in IN_THE_ZOO else None)
    algo = algo or (facts.algorithm if facts else None)
    env = _said(arguments, "env") or monitors.env_id or name
    _require(algo, env, str(folder))
    made = translate(config, name_here(str(algo)), env)
    values = _with_arguments(made.config, arguments)
    training = _training(folder, "zoo", values, monitors, facts, files)
    training.left_out = [*made.unusable, *made.left_out]
    texts = ("config.yml", "args.yml", "command.txt")
    training.kept |= {text: inner[0] / text for text in texts if (inner[0] / text).is_file()}
    return training


def read_sb3_folder(folder: Path, env: str | None, algo: str | None) -> Training:
    """Return the training of a folder with monitor files, zips and evaluations.npz, as a script of SB3 leaves it."""
    _require_folder(folder)
    statistics = sorted([*folder.glob("vec*normalize*.pkl"), *folder.glob("*/vec*normalize*.pkl")])
    files = _files(folder, None, statistics[0] if statistics else None)
    if not (files["monitors"] or files["model"]):
        raise UsageError(f'"{folder}" is no training of SB3: no monitor.csv and no model.', hint=_offer(folder))
    monitors, facts = read_monitors(files["monitors"]), _facts(files["model"])
    detected = facts.algorithm if facts else None
    env = env or monitors.env_id
    _require(algo or detected, env, str(folder))
    assert env is not None
    name = name_here(str(algo or detected))
    if detected and {name, name_here(detected)} not in ({name}, {"td3", "ddpg"}):  # those two look alike
        raise UsageError(f'--algo: "{algo}", but the model {files["model"]} is one of {detected}.')
    settings, unknown = settings_of(facts, name) if facts else ({}, [])
    made = translate(settings, name, env)
    config = made.config
    config["env"] = {"id": env, "num_envs": (facts and facts.num_envs) or monitors.num_envs or 1}
    if files["statistics"] is not None:
        config.setdefault("hyperparameters", {})["normalize"] = True
        message = "is taken as true: arguments of VecNormalize are in a pickle, which is not opened"
        unknown = [*unknown, Problem("normalize", message)]
    if facts is not None and facts.seed is not None:
        config["seed"] = facts.seed
    training = _training(folder, "sb3", config, monitors, facts, files)
    left_out = [problem for problem in made.left_out if problem.path != "n_timesteps"]
    training.left_out = [*unknown, *made.unusable, *left_out]
    return training


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f'there is no folder "{folder}".')


def _offer(folder: Path) -> str | None:
    """Return the nearest folders below that look like a training, as a hint."""
    below = [path.parent for pattern in ("*/*monitor.csv", "*/*/*monitor.csv") for path in sorted(folder.glob(pattern))]
    names = list(dict.fromkeys(map(str, below)))
    return f"There is: {', '.join(names[:5])}." if names else None


def _files(folder: Path, model: Path | None, statistics: Path | None) -> dict[str, Any]:
    """Return which file is what; a model that has no name of its own is the newest of those that there are."""
    best = folder / _BEST
    others = [path for path in folder.glob("*.zip") if path != best]
    chosen = model if model is not None and model.is_file() else max(others, key=_newness, default=None)
    return {
        "monitors": _nearest(folder, "*monitor.csv"),
        "evaluations": next(iter(_nearest(folder, "evaluations.npz")), None),
        "model": chosen or next(iter(_nearest(folder, _BEST)), None),
        "best": next(iter(_nearest(folder, _BEST)), None),
        "statistics": statistics if statistics is not None and statistics.is_file() else None,
    }


def _nearest(folder: Path, pattern: str) -> list[Path]:
    """Return the files of that name in the folder, else in the one folder below that has such."""
    here = sorted(folder.glob(pattern))
    below = [] if here else sorted(folder.glob(f"*/{pattern}"))
    parents = sorted({str(path.parent) for path in below})
    if len(parents) > 1:
        raise UsageError(f'"{folder}" has {pattern} of several trainings.', hint=f"Say one of: {', '.join(parents)}.")
    return here or below


def _newness(path: Path) -> tuple[bool, int, float]:
    """Sort what was saved at the end after checkpoints, and these by their step."""
    found = _STEPS.search(path.stem)
    return (found is None, int(found.group(1)) if found else 0, path.stat().st_mtime)


def _facts(model: Path | None) -> ModelFacts | None:
    return read_model(model) if model is not None else None


def _said(arguments: Mapping[str, Any], name: str) -> str | None:
    value = arguments.get(name)
    return str(value) if value and not isinstance(value, Foreign) else None


def _require(algo: str | None, env: str | None, where: str) -> None:
    """Raise ConfigError with what is not known, or cannot be had."""
    problems = []
    if algo is None:
        message, hint = (
            "the algorithm cannot be told from its files.",
            f"Say it: rlctl import sb3 FOLDER --algo {IN_THE_ZOO[0]}",
        )
        problems.append(Problem(where, message, hint))
    elif problem := problem_with_algorithm(algo, where):
        problems.append(problem)
    if env is None:
        hint = "Say it: rlctl import sb3 FOLDER --env ID"
        problems.append(Problem(where, "the environment cannot be told from its files.", hint))
    if problems:
        raise ConfigError(problems)


def _with_arguments(config: dict[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with what the zoo's command line said."""
    steps, seed, env_kwargs = (arguments.get(name) for name in ("n_timesteps", "seed", "env_kwargs"))
    if isinstance(steps, int) and steps > 0:
        config["total_timesteps"] = steps
    if isinstance(seed, int) and seed >= 0:
        config["seed"] = seed
    env = config["env"]
    config["env"] = dict(env) if isinstance(env, Mapping) else {"id": env}
    if isinstance(env_kwargs, Mapping) and env_kwargs:
        try:
            config["env"]["kwargs"] = data_of(env_kwargs)
        except UnusableError as error:
            raise ConfigError([Problem("args.yml: env_kwargs", str(error))]) from error
    return config


def _training(
    folder: Path,
    kind: str,
    config: dict[str, Any],
    monitors: Monitors,
    facts: ModelFacts | None,
    files: Mapping[str, Any],
) -> Training:
    named = {"model.zip": files["model"], _BEST: files["best"], "vecnormalize.pkl": files["statistics"],
             "evaluations.npz": files["evaluations"]}  # fmt: skip
    kept = {name: path for name, path in named.items() if path is not None}
    kept |= {path.name: path for path in files["monitors"]}
    return Training(
        folder,
        kind,
        config,
        monitors,
        facts,
        files["model"],
        files["best"],
        files["evaluations"],
        files["statistics"],
        kept,
    )
