"""Experiments of Indra-RL-Lab's training pipeline as configurations: one YAML file, or the folder `config` of its later runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import define, field

from rlctl import Conversion, ConvertedConfig, Problem
from rlctl.config.files import read_config
from rlctl.config.foreign import (
    Reader,
    flag,
    in_order,
    mapping,
    natural,
    read_fields,
    seed,
    text,
    whole,
    without_none,
)
from rlctl.errors import UsageError, did_you_mean
from rlctl.evaluations import training_seeds
from rlctl_sb3.algorithms import ALGORITHMS
from rlctl_sb3.conversions.architecture import FIELD_OF, network_of
from rlctl_sb3.conversions.settings import PROGRESS, device_here, sound_settings

_FILES = {
    "environment": "environment_config.yml",
    "training": "training_config.yml",
    "algorithm": "algorithm_config.yml",
}
"""What a later run has in its folder `config`: section → file."""

_STEPS, _SEED, _EVALUATION = "training.training.total_timesteps", "training.training.seed", "training.training.eval"
_READERS: dict[str, Reader] = {
    "experiment.name": text,
    "environment.id": text,
    "environment.monitor": flag,
    "n_environments": whole,
    "training.algorithm": text,
    "training.pretrained_model": lambda value: value if isinstance(value, dict) else text(value),
    "training.algorithm_parameters": mapping,
    "training.architecture": mapping,
    _STEPS: whole,
    _SEED: seed,
    "training.training.device": text,
    "training.training.log_points": whole,
    "training.training.verbose": natural,
    f"{_EVALUATION}.seed": seed,
    f"{_EVALUATION}.num_episodes": whole,
    f"{_EVALUATION}.num_evals": whole,
    "training.evaluation.eval_freq": whole,
    "training.evaluation.eval_episodes": whole,
    "algorithm": mapping,
}
_LATER = {
    "training.experiment_name": "experiment.name",
    "environment.n_environments": "n_environments",
    "environment.seed": _SEED,
    "training.pretrained_model_path": "training.pretrained_model",
    "training.total_timesteps": _STEPS,
    "training.seed": _SEED,
    "training.device": "training.training.device",
    "training.verbose": "training.training.verbose",
    "training.logging.verbose": "training.training.verbose",
    "training.logging.log_points": "training.training.log_points",
    "training.logging.n_checkpoints": "training.training.log_points",
}
"""Fields of later revisions → what they were called before."""

_FILM = "a training is not filmed. Film its policy: `rlctl record RUN --steps N`"
_PICTURES = "a training draws nothing; `rlctl play` and `rlctl record` ask for pictures by themselves"
_WANDB = "there is no callback for Weights & Biases; `--callback tensorboard` writes event files"
_EPISODES = "no code there reads it. How many episodes an evaluation has is evaluation.episodes"
_POLICY = "which policy is shown is said when it is: `rlctl play RUN:CHECKPOINT`"
_SIMULATOR = (
    "rlctl starts no simulator and speaks no ROS. An environment that does is registered with gymnasium by a module that "
    "env.imports names"
)
_REASONS = {
    "environment.env_config": "no code there reads it. Arguments of an environment are env.kwargs",
    **dict.fromkeys(("environment.render_mode", "environment.render.render_mode"), _PICTURES),
    **dict.fromkeys(
        (
            "environment.video_wrapper",
            "environment.use_video_wrapper",
            "environment.video_trigger",
            "environment.video_length",
            "environment.render.use_video_wrapper",
            "environment.render.video_trigger",
            "environment.render.video_length",
        ),
        _FILM,
    ),
    **dict.fromkeys(("ros", "unity", "environment.unity"), _SIMULATOR),
    **dict.fromkeys(("training.use_wandb", "training.logging.use_wandb"), _WANDB),
    **dict.fromkeys(("training.logging.wandb_project", "training.logging.wandb_entity"), _WANDB),
    **dict.fromkeys(("training.training.num_envs", "training.num_envs"),
                    "there it only divides the steps between saves: one environment is made. Here env.num_envs is how many"),
    "training.training.is_atari": "env.id says which game it is, and nothing more has to be said",
    "training.training.state_stack": "the agent sees one observation at a time; hyperparameters.frame_stack stacks so many",
    **dict.fromkeys(("evaluation.num_episodes", "training.evaluation.num_episodes"), _EPISODES),
    **dict.fromkeys(("evaluation.save_gif", "training.evaluation.save_gif"), "`rlctl record RUN --output FILE.gif`"),
    **dict.fromkeys(("play", "deployment"), _POLICY),
}  # fmt: skip
_DEFAULTS_THERE = {"ddpg": {"learning_rate": 1e-4}}
"""What its code sets where nothing is said, as far as that is not SB3's own default."""


def convert(path: Path) -> Conversion:
    """Return the configuration that a YAML file, or a folder of three, describes; raises UsageError and ConfigError."""
    tree = without_none(_folder(path) if path.is_dir() else read_config(path)[0])
    return Conversion(system="Indra-RL-Lab", configs=[_Experiment(tree, path.stem).result()])


def _folder(path: Path) -> dict[str, Any]:
    missing = [name for name in _FILES.values() if not (path / name).is_file()]
    if missing:
        raise UsageError(f'"{path}" is no folder of a run\'s settings: it has no {", ".join(missing)}.')
    return {section: read_config(path / name)[0] for section, name in _FILES.items()}


@define
class _Experiment:
    """Goes from the fields of an experiment to a configuration."""

    tree: dict[str, Any]
    stem: str
    made: ConvertedConfig = field(init=False)
    said: dict[str, Any] = field(factory=dict)
    paths: dict[str, str] = field(factory=dict)

    def result(self) -> ConvertedConfig:
        readers = {**_READERS, **{path: _READERS[before] for path, before in _LATER.items()}}
        found, left_out = read_fields(self.tree, readers, _REASONS)
        self.made = ConvertedConfig(name=self.stem, left_out=left_out)
        for path, value in found.items():
            before = _LATER.get(path, path)
            if before in self.said:
                self.leave_out(path, f"{self.paths[before]} says it already")
            else:
                self.said[before], self.paths[before] = value, path
        self.require("environment.id", "training.algorithm", _STEPS)
        algorithm = self.algorithm()
        if algorithm is not None and not self.made.unusable:
            self.build(algorithm)
        self.made.left_out = in_order(self.made.left_out, self.tree)
        return self.made

    def require(self, *paths: str) -> None:
        """Without these it would be another training than the one that is described."""
        for path in paths:
            if path in self.said:
                continue
            known = (path, *(later for later, before in _LATER.items() if before == path))
            wrong = [problem for problem in self.made.left_out if problem.path in known]
            self.made.unusable += wrong or [Problem(path, "is required")]
            self.made.left_out = [problem for problem in self.made.left_out if problem not in wrong]

    def algorithm(self) -> str | None:
        name = str(self.said.get("training.algorithm", "")).lower()
        if name and name not in ALGORITHMS:
            problem = Problem(
                self.paths["training.algorithm"], f'the worker sb3 has no "{name}".', did_you_mean(name, ALGORITHMS)
            )
            self.made.unusable.append(problem)
        return name or None

    def leave_out(self, path: str, reason: str) -> None:
        self.made.left_out.append(Problem(path, reason))

    def change(self, path: str, reason: str) -> None:
        """Note it under the path that the file has."""
        self.made.changed.append(Problem(self.paths.get(path, path), reason))

    def build(self, algorithm: str) -> None:
        num_envs = self.said.get("n_environments", 1)
        config = self.made.config
        if "experiment.name" in self.said:
            self.made.name = config["name"] = self.said["experiment.name"]
        env = {"id": self.said["environment.id"], "num_envs": num_envs}
        config |= {"worker": "sb3", "algo": algorithm, "env": env, "total_timesteps": self.said[_STEPS]}
        if "environment.monitor" in self.said:
            self.leave_out("environment.monitor", "episodes are recorded in any case, in episodes.jsonl")
        config["seed"] = self.seed()
        config["device"] = self.device()
        self.begin()
        self.settings(algorithm)
        self.show_progress()
        self.save()
        self.evaluate(num_envs)

    def seed(self) -> int:
        if _SEED not in self.said:
            self.change(_SEED, "is not said, so there no run can be repeated. Here the seed is 1")
        seed: int = self.said.get(_SEED, 1)
        return seed

    def device(self) -> str:
        path = "training.training.device"
        device, remark = device_here(self.said.get(path, "auto"))
        if remark is not None:
            self.change(path, remark)
        return device

    def begin(self) -> None:
        """Begin with the weights of another model."""
        path = "training.pretrained_model"
        model = self.said.get(path)
        if isinstance(model, dict):
            used = model.get("use_pretrained_model") and all(
                model.get(key) for key in ("experiment_name", "checkpoint")
            )
            folder = f"experiments/{self.said['environment.id']}/{model.get('experiment_name')}/checkpoints"
            model = f"{folder}/{model['checkpoint']}" if used else None
        if model is not None:
            file = model if Path(model).suffix else f"{model}.zip"
            self.made.config["init_from"] = file
            self.change(
                path, f"begins with the weights of {file}; there the optimizer goes on, too, here it begins anew"
            )

    def settings(self, algorithm: str) -> None:
        path, architecture = "training.algorithm_parameters", self.said.get("training.architecture")
        given = dict(self.said.get(path, {}))
        if "algorithm" in self.said:  # a later run: one file, whose learning rate is never what it says
            path, given = "algorithm", dict(self.said["algorithm"])
            architecture = given.pop("policy_kwargs", None)
            self.change(
                "algorithm.learning_rate", "there it falls exponentially to 1e-5 in any case; here it stays as it is"
            )
        for name, value in _DEFAULTS_THERE.get(algorithm, {}).items():
            if name not in given:
                self.change(f"{path}.{name}", f"is not said, and then {value} there")
                given[name] = value
        where = self.paths.get("training.architecture", "algorithm.policy_kwargs")
        if architecture is not None:
            given["network"], changed, left_out = network_of(architecture, algorithm, where)
            self.made.changed += changed
            self.made.left_out += left_out
        sound, problems = sound_settings(given, algorithm)
        for problem in problems:
            part = problem.path.partition("network.")[2].partition(".")[0]
            source = f"{where}.{FIELD_OF.get(part, part)}" if part else f"{path}.{problem.path}"
            self.made.left_out.append(Problem(source, problem.message, problem.hint))
        self.made.config["hyperparameters"] = sound

    def show_progress(self) -> None:
        path = "training.training.verbose"
        if self.said.get(path) == 0:
            self.made.config["callbacks"] = {"progress": False}
        elif path in self.said:
            self.leave_out(self.paths[path], PROGRESS)

    def save(self) -> None:
        path = "training.training.log_points"
        if path in self.said:
            every = max(1, int(self.said[_STEPS] // self.said[path]))
            self.made.config["checkpoint"] = {"every_steps": every}
            reason = f"that is every {every} steps. There each save replaces the one before; here checkpoint.keep_last are kept"
            self.change(path, reason)

    def evaluate(self, num_envs: int) -> None:
        """Evaluate as is wanted; of the fields of the seed's revision no code there reads any."""
        every = self.interval(num_envs)
        episodes, seed = f"{_EVALUATION}.num_episodes", f"{_EVALUATION}.seed"
        if every is None:
            for path in (episodes, seed, "training.evaluation.eval_episodes"):
                if path in self.said:
                    self.leave_out(path, f"has no effect without {_EVALUATION}.num_evals")
            return
        evaluation = self.made.config["evaluation"] = {"every_steps": every}
        for path in (episodes, "training.evaluation.eval_episodes"):
            if path in self.said:
                evaluation["episodes"] = self.said[path]
        if seed in self.said:
            wanted = range(self.said[seed], self.said[seed] + evaluation.get("episodes", 10))
            taken = training_seeds(self.made.config["seed"], num_envs)
            if max(taken.start, wanted.start) < min(taken.stop, wanted.stop):
                self.leave_out(seed, "its episodes would be those of the training; others are chosen by themselves")
            else:
                evaluation["seed"] = self.said[seed]

    def interval(self, num_envs: int) -> int | None:
        """Return the steps between evaluations, None for no evaluation."""
        count, frequency = f"{_EVALUATION}.num_evals", "training.evaluation.eval_freq"
        if count in self.said:
            every = max(1, int(self.said[_STEPS] // self.said[count]))
            self.change(count, f"that is every {every} steps. There no code reads it, and nothing is evaluated")
            return every
        if frequency in self.said:
            every = int(self.said[frequency] * num_envs)
            self.change(frequency, f"counts calls of {num_envs} environments there, and steps, {every}, here")
            return every
        return None
