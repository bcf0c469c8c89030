"""Makes a run of a training that another program did: in one step, so that a failing import leaves nothing."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from rlctl import __version__
from rlctl.config.check import structure, with_defaults
from rlctl.config.layers import Layer, merge, origins_of
from rlctl.errors import ConfigError, Problem, RlctlError
from rlctl.evaluations import Evaluation
from rlctl.events import Result, json_safe
from rlctl.runs.checkpoints import sha256_of
from rlctl.runs.directory import RunDirectory, create, files_of, host_name, new_run_id
from rlctl.runs.files import write_json, write_lines
from rlctl.runs.manifest import redacted
from rlctl_sb3.signatures import hyperparameters
from rlctl_sb3.zoo.folders import Training
from rlctl_sb3.zoo.records import last_mean, read_evaluations

_INDISPENSABLE = ("worker", "algo", "env")
_PROGRAMS = {"zoo": "rl-zoo3", "sb3": "a script of Stable-Baselines3"}


@frozen
class Imported:
    """A run that was made of a folder."""

    directory: RunDirectory
    training: Training
    evaluations: tuple[Evaluation, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what a program wants to know."""
        training = self.training
        return {
            "run_id": self.directory.run_id,
            "directory": str(self.directory.path),
            "source": str(training.folder),
            "algo": training.config["algo"],
            "env": training.config["env"]["id"],
            "episodes": len(training.monitors.episodes),
            "evaluations": len(self.evaluations),
            "model": str(self.directory.backend / "model.zip") if training.model else None,
            "left_out": [{"field": item.path, "reason": item.message, "hint": item.hint} for item in training.left_out],
        }


def make_run(training: Training, root: Path, name: str | None) -> Imported:
    """Make the run below `root`. Raises ConfigError, RlctlError or RunDirectoryError, and then there is none."""
    evaluations: list[Evaluation] = []
    if training.evaluations is not None:
        evaluations = read_evaluations(training.evaluations, training.monitors.episodes)
    result = _result(training, evaluations)
    config, origins = _configuration(training, name, result.step)
    run_id = new_run_id()
    files = {
        "config.json": {"config": config, "origins": origins},
        "manifest.json": _manifest(training, config),
        "status.json": _status(result),
        "result.json": attrs.asdict(result),
    }

    def fill(directory: RunDirectory) -> None:
        _write_records(directory, training, evaluations)
        _write_events(directory, run_id, result)
        _copy(training, directory.backend)

    directory = create(root, run_id, files, fill)
    directory.release_reserve()
    write_json(directory.analytics, files_of(directory))
    return Imported(directory, training, tuple(evaluations))


def _configuration(training: Training, name: str | None, steps: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Return (config, origins) of config.json: what is known, and defaults for the rest."""
    said = {"total_timesteps": max(1, steps), **training.config, "callbacks": {"jsonl": {}}}
    said |= {"name": name} if name else {}
    merged = merge([Layer(_PROGRAMS[training.kind], said)])
    config, problems = structure(merged)
    for problem in problems:  # such as a seed that rlctl does not take: the training is over, it is only not repeated
        head = problem.path.partition(".")[0]
        if head not in _INDISPENSABLE and said.pop(head, None) is not None:
            training.left_out.append(Problem(head, problem.message, problem.hint))
    if problems:
        merged = merge([Layer(_PROGRAMS[training.kind], {"total_timesteps": max(1, steps), **said})])
        config, problems = structure(merged)
    if config is None or problems:
        raise ConfigError(problems)
    completed = with_defaults(config.hyperparameters, hyperparameters(str(config.algo)))
    tree = attrs.asdict(attrs.evolve(config, hyperparameters=completed))
    return tree, origins_of(tree, merged)


def _result(training: Training, evaluations: list[Evaluation]) -> Result:
    episodes = training.monitors.episodes
    steps = [episodes[-1].step if episodes else 0, training.facts.step if training.facts else 0]
    best = next((item for item in reversed(evaluations) if item.best), None)
    mean = last_mean(episodes)
    return Result(
        status="finished",
        reason=f"trained by {_PROGRAMS[training.kind]}, imported from {training.folder}",
        step=max(steps),
        episodes=len(episodes),
        seconds=round(episodes[-1].seconds, 3) if episodes else 0.0,
        return_mean=mean if mean is not None and math.isfinite(mean) else None,
        stopped_by="returned",
        best_step=best.step if best else None,
        best_return=best.return_mean if best else None,
    )


def _status(result: Result) -> dict[str, Any]:
    names = ("step", "episodes", "seconds", "return_mean")
    known = {name: getattr(result, name) for name in names}
    return {"state": result.status, **known, "eta_seconds": None, "updated_at": time.time(), "host": host_name()}


def _manifest(training: Training, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return manifest.json: of the training what its files say, and nothing of the machine that imports it."""
    versions = dict(training.facts.versions) if training.facts else {}
    models = {"latest": "backend/model.zip"} if training.model else {}
    if training.best is not None:
        models["best"] = "backend/best_model.zip"
    return {
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": redacted(sys.argv),
        "working_directory": str(Path.cwd()),
        "rlctl": __version__,
        "python": {"version": versions.pop("Python", None), "executable": None},
        "platform": versions.pop("OS", None),
        "hardware": None,
        "packages": versions,
        "git": None,
        "environment": {},
        "seed": config["seed"],
        "worker": {"name": "sb3", "upstream": "stable-baselines3"},
        "callbacks": {},
        "env": None,
        "spaces": None,
        "horizon": config["total_timesteps"],
        "relay": [],
        "parent": None,
        "imported": {
            "from": _PROGRAMS[training.kind],
            "folder": str(training.folder.resolve()),
            "models": models,
            "files": {name: {"path": str(path), "sha256": sha256_of(path)} for name, path in training.kept.items()},
            "left_out": [{"field": item.path, "reason": item.message} for item in training.left_out],
        },
    }


def _write_records(directory: RunDirectory, training: Training, evaluations: list[Evaluation]) -> None:
    write_lines(directory.episodes, [json_safe(episode.to_json()) for episode in training.monitors.episodes])
    if evaluations:
        write_lines(directory.evaluations, [evaluation.to_json() for evaluation in evaluations])


def _write_events(directory: RunDirectory, run_id: str, result: Result) -> None:
    now = time.time()
    write_lines(
        directory.events,
        [
            {"seq": 0, "time": now, "type": "run_created", "run_id": run_id},
            {"seq": 1, "time": now, "type": "run_ended", "status": result.status, "reason": result.reason},
        ],
    )


def _copy(training: Training, backend: Path) -> None:
    for name, path in training.kept.items():
        try:
            shutil.copyfile(path, backend / name)
        except OSError as error:
            raise RlctlError(f"cannot copy {path}: {error.strerror or error}.") from error
