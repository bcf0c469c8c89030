"""Evaluates the policy of a run's checkpoint, or of a library's own file, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from rlctl.config.layers import Layer
from rlctl.config.schema import EarlyStoppingConfig, EvaluationConfig
from rlctl.descriptors import Mode
from rlctl.errors import CheckpointError, RlctlError, UsageError
from rlctl.evaluations import MAX_NUM_ENVS, Evaluation, EvaluationRequest, evaluation_seeds
from rlctl.launch.parent import find_checkpoint
from rlctl.launch.prepare import Prepared, prepare
from rlctl.launch.resume import drifted
from rlctl.launch.start import host_manifest, task_for
from rlctl.plugins import discover
from rlctl.runs.checkpoints import Checkpoint, sha256_of
from rlctl.runs.directory import RunDirectory, create
from rlctl.runs.files import append_line, read_json
from rlctl.runs.store import RunStore, default_root

Report = Callable[[str], None]
_PROCESS = "rlctl.gym.evaluation_process"


@frozen(kw_only=True)
class EvaluationOptions:
    """How to evaluate. `seed` None: seeds that follow from the run's, and that neither its training nor its choice of the
    best has seen; otherwise the first one, counting up. `env` holds what differs from the training's environment.
    """

    episodes: int = 20
    seed: int | None = None
    stochastic: bool = False
    video: bool = False
    env: Mapping[str, Any] = {}
    gamma: float | None = None
    num_envs: int | None = None
    time_limit: float | None = None
    repeat: int = 1
    device: str | None = None
    trust: bool = False


@frozen
class Evaluated:
    """What was evaluated, and what was found: one evaluation for each repetition."""

    what: str
    path: Path
    step: int
    evaluations: tuple[Evaluation, ...]

    @property
    def returns(self) -> list[float]:
        """The returns of all episodes of all repetitions."""
        return [value for evaluation in self.evaluations for value in evaluation.returns]


@frozen
class _Target:
    """The policy: a bundle of a run, or a file; and the configuration that builds its training."""

    what: str
    path: Path
    sha256: str
    step: int
    episodes: int
    config: Mapping[str, Any]
    directory: RunDirectory | None = None
    checkpoint: Checkpoint | None = None


def evaluate(
    target: str | Path,
    *,
    checkpoint: str = "latest",
    config: Mapping[str, Any] | None = None,
    options: EvaluationOptions | None = None,
    runs_dir: str | Path | None = None,
    report: Report | None = None,
) -> Evaluated:
    """Evaluate a run's checkpoint (`latest`, `best` or a step), or a file such as SB3's zip with the `config` it needs.

    Nothing of the run is changed but its evaluations_after.jsonl, which gets a line for each evaluation. Raises ConfigError,
    UsageError, CheckpointError, NotAvailableError, and RlctlError with the process's words when it fails.
    """
    options = options or EvaluationOptions()
    report = report or (lambda line: print(f"rlctl: {line}", file=sys.stderr, flush=True))
    found = _find(str(target), checkpoint, config, Path(runs_dir or default_root()))
    if options.trust and found.checkpoint is not None:
        raise UsageError("--trust is for a library's own file; a run knows what it is.")
    prepared = prepare([Layer(found.what, dict(found.config)), *_overrides(options)], discover(), report)
    prepared.require_sound()
    _require_evaluation(prepared)
    if found.checkpoint is not None:
        for name, how in drifted(found.checkpoint.data, prepared):
            if not name.startswith("env."):  # another environment is what was asked for
                report(f"note: {name} {how}")
    evaluations = _in_a_process(found, prepared, _requests(options, prepared, found), options.trust)
    if found.directory is not None:
        for evaluation in evaluations:
            # Relative, so that a run can be moved with its films.
            videos = [os.path.relpath(path, found.directory.path) for path in evaluation.videos]
            line = {**evaluation.to_json(), "env": prepared.effective()["env"], "videos": videos}
            append_line(found.directory.path / "evaluations_after.jsonl", line, durable=True)
    return Evaluated(found.what, found.path, found.step, tuple(evaluations))


def _find(target: str, reference: str, config: Mapping[str, Any] | None, root: Path) -> _Target:
    path = Path(target)
    if path.is_file():
        if not config or "worker" not in config:
            raise UsageError(
                f"{target} is a file: say what it is.", hint="--worker, --algo and --env say what made it."
            )
        return _Target(path.name, path.resolve(), sha256_of(path), 0, 0, config)
    directory = RunStore(root).find(target)
    own = (read_json(directory.config) or {}).get("config")
    if own is None:
        raise CheckpointError(f"{directory.config} cannot be read.")
    config = {name: value for name, value in own.items() if name != "callbacks"}
    what = f"run {directory.run_id}"
    models = ((read_json(directory.manifest) or {}).get("imported") or {}).get("models")
    if models is not None:
        path = (directory.path / _imported_model(models, reference, what)).resolve()
        ended = read_json(directory.result) or {}
        return _Target(
            what, path, sha256_of(path), int(ended.get("step", 0)), int(ended.get("episodes", 0)), config, directory
        )
    _, bundle = find_checkpoint(f"{target}:{reference}", root)
    path, episodes = bundle.path.resolve(), int(bundle.data["episodes"])
    return _Target(what, path, bundle.sha256(), bundle.step, episodes, config, directory, bundle)


def _imported_model(models: Mapping[str, str], reference: str, what: str) -> str:
    """Return the library's own file that stands for a checkpoint of a run that another program has trained."""
    if reference not in models:
        listed = ", ".join(models) or "none"
        raise CheckpointError(
            f'{what} was imported, and there is no model "{reference}" of it.', hint=f"There is: {listed}."
        )
    return models[reference]


def _overrides(options: EvaluationOptions) -> list[Layer]:
    """Return what an evaluation needs of a configuration: no callbacks, one training environment, nothing saved."""
    quiet: dict[str, Any] = {
        "callbacks": {"jsonl": False, "progress": False},
        "env": {"num_envs": 1},
        "evaluation": attrs.asdict(EvaluationConfig()),
        "early_stopping": attrs.asdict(EarlyStoppingConfig()),
        "init_from": None,
        "trust": False,
        "stop_at": None,
        "time_limit": None,
    }  # fmt: skip
    said: dict[str, Any] = {"env": dict(options.env)}
    if options.device is not None:
        said["device"] = options.device
    return [Layer("evaluate", quiet), Layer("command line", said)]


def _require_evaluation(prepared: Prepared) -> None:
    assert prepared.worker is not None
    descriptor = prepared.worker.descriptor
    if Mode.EVALUATE not in descriptor.modes:
        raise UsageError(f'worker "{descriptor.name}" cannot lend its policy (modes: {_names(descriptor.modes)}).')


def _names(modes: tuple[Mode, ...]) -> str:
    return ", ".join(mode.value for mode in modes)


def _requests(options: EvaluationOptions, prepared: Prepared, found: _Target) -> list[EvaluationRequest]:
    config = prepared.effective()
    count = options.episodes * options.repeat
    if options.seed is None:
        seeds = evaluation_seeds(config["seed"], count, purpose="evaluate", num_envs=_num_envs(found.config))
    else:
        seeds = tuple(range(options.seed, options.seed + count))
    trained_gamma = config["hyperparameters"].get("gamma")
    gamma = options.gamma if options.gamma is not None else trained_gamma
    num_envs = options.num_envs or (1 if options.video else min(options.episodes, MAX_NUM_ENVS))
    folder = (found.directory.path if found.directory else Path.cwd()) / "videos" / f"evaluation-{found.step:012d}"
    return [
        EvaluationRequest(
            env=config["env"],
            seeds=seeds[index * options.episodes : (index + 1) * options.episodes],
            num_envs=num_envs,
            greedy=not options.stochastic,
            gamma=gamma,
            trained_gamma=trained_gamma,
            time_limit=options.time_limit,
            video=str(folder) if options.video else None,
        )
        for index in range(options.repeat)
    ]


def _num_envs(config: Mapping[str, Any]) -> int | None:
    env = config.get("env")
    return env.get("num_envs") if isinstance(env, Mapping) else None


def _in_a_process(
    found: _Target, prepared: Prepared, requests: list[EvaluationRequest], trust: bool
) -> list[Evaluation]:
    """Evaluate in the worker's Python, in a directory that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="rlctl-evaluate-") as folder:
        files = {
            "config.json": {"config": prepared.effective()},
            "manifest.json": host_manifest(prepared, []),
            "evaluation-request.json": {
                "path": str(found.path),
                "trust": trust,
                "step": found.step,
                "episodes": found.episodes,
                "checkpoint": found.sha256,
                "requests": [attrs.asdict(request) for request in requests],
            },
        }
        directory = create(Path(folder), "evaluation", files)
        task = task_for(directory, prepared.effective())
        with directory.log.open("wb") as log:
            command = [sys.executable, "-m", _PROCESS, str(directory.path)]
            environment = {**os.environ, **task.environment, "SDL_VIDEODRIVER": "dummy"}
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, check=False
            ).returncode
        answer = read_json(directory.path / "evaluation-answer.json")
        if answer is None:
            raise RlctlError(f"the evaluation's process ended with code {code}:\n{directory.log_tail()}")
    if "error" in answer:
        raise RlctlError(answer["error"], hint=answer["hint"])
    return [Evaluation.from_json(line) for line in answer["evaluations"]]
