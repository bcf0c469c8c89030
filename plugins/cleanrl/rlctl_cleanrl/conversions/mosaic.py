"""Configurations of MOSAIC's CleanRL worker: its own JSON, or the job of MOSAIC's trainer that has it in `metadata`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

from rlctl import ConfigError, Conversion, ConvertedConfig, Problem
from rlctl.config.files import read_config
from rlctl.config.foreign import NotTakenError, Reader, flag, in_order, read_fields, whole, without_none
from rlctl.errors import did_you_mean
from rlctl_cleanrl.conversions import mosaic_fields as fields
from rlctl_cleanrl.conversions.script_settings import NOT_HERE, KnownScript, find_script
from rlctl_cleanrl.scripts import RESERVED

_NESTED = "metadata.worker.config"
_EPISODES_THERE = 5
"""Episodes of an evaluation of which nothing is said."""


def convert(path: Path) -> Conversion:
    """Return the configuration that a file describes; raises UsageError and ConfigError for one that is none of MOSAIC's."""
    tree = without_none(read_config(path)[0])
    return Conversion(system="MOSAIC's CleanRL worker", configs=[_Job(tree, path.stem).result()])


def _at(tree: Any, *keys: str) -> Any:
    """Return what is at nested keys; None where there is no such place."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


@define
class _Job:
    """Goes from the fields of a file to a configuration; `said` has what was read, by its path in the file."""

    tree: dict[str, Any]
    stem: str
    prefix: str = ""
    said: dict[str, Any] = field(factory=dict)
    made: ConvertedConfig = field(init=False)

    def result(self) -> ConvertedConfig:
        if "metadata" in self.tree:
            self.prefix = f"{_NESTED}."
        is_script = _at(self.tree, "metadata", "worker", "script") is not None
        if self.prefix and not is_script and not isinstance(_at(self.tree, *_NESTED.split(".")), Mapping):
            raise ConfigError([Problem(_NESTED, "is not there: in it a job has the configuration of its worker")])
        self.read()
        if is_script:
            reason = "runs a shell script, and what that trains cannot be known. Convert the file that it makes"
            self.made.unusable.append(Problem("metadata.worker.script", reason))
        else:
            self.mode()
        if not self.made.unusable:
            script = find_script(self.said[self.at("algo")])
            if isinstance(script, Problem):
                self.made.unusable.append(Problem(self.at(script.path), script.message, script.hint))
            else:
                self.build(script)
        self.made.left_out = in_order(self.made.left_out, self.tree)
        return self.made

    def read(self) -> None:
        """Read all fields by their tables; what of `extras` is in none of them is an argument of the script."""
        readers: dict[str, Reader] = {self.at(path): reader for path, reader in fields.CONFIG.items()}
        reasons = {self.at(f"extras.{name}"): reason for name, reason in fields.EXTRAS_REASONS.items()}
        evaluates = self.raw_extras().get("mode") == "policy_eval"
        extras = {**fields.EXTRAS, **(fields.EVALUATION if evaluates else {})}
        for name in self.raw_extras():
            if name in fields.EVALUATION and not evaluates:
                reasons[self.at(f"extras.{name}")] = fields.MEASURED
            elif name.startswith("wandb"):
                reasons[self.at(f"extras.{name}")] = fields.WANDB
            elif name not in fields.EXTRAS_REASONS:
                extras.setdefault(name, lambda value: value)
        readers |= {self.at(f"extras.{name}"): reader for name, reader in extras.items()}
        if self.prefix:
            readers, reasons = {**fields.ENVELOPE, **readers}, {**fields.ENVELOPE_REASONS, **reasons}
        self.said, left_out = read_fields(self.tree, readers, reasons)
        name = self.said.get("run_name") or self.said.get(self.at("run_id")) or self.stem
        self.made = ConvertedConfig(name=name, left_out=left_out)

    def at(self, path: str) -> str:
        """Return the path in the file of a field of the worker's configuration."""
        return f"{self.prefix}{path}"

    def raw_extras(self) -> Mapping[str, Any]:
        """Return the extras as they stand in the file."""
        extras = _at(self.tree, *self.at("extras").split("."))
        return extras if isinstance(extras, Mapping) else {}

    def take(self, path: str, source: str) -> None:
        """Put what was read from `source` at a dotted path of the configuration, if it was."""
        if source in self.said:
            self.put(path, self.said[source], source)

    def put(self, path: str, value: Any, source: str) -> None:
        *outer, last = path.split(".")
        target = self.made.config
        for key in outer:
            target = target.setdefault(key, {})
        target[last] = value
        self.made.origins[path] = source

    def leave_out(self, path: str, reason: str, hint: str | None = None) -> None:
        self.made.left_out.append(Problem(path, reason, hint))

    def change(self, path: str, reason: str) -> None:
        self.made.changed.append(Problem(path, reason))

    # ---- what is no training ---------------------------------------------------------------------------------------

    def mode(self) -> None:
        """Say why it is no training, if it is none."""
        mode, path = self.said.get(self.at("extras.mode"), "train"), self.at("extras.mode")
        if mode not in fields.MODES:
            self.unusable(path, f"there is no mode {mode!r}.", did_you_mean(str(mode), fields.MODES))
        if self.said.get(self.at("extras.curriculum_schedule")):
            hint = (
                "Train the stages one after the other, each beginning with the weights of the last: `--init-from RUN`."
            )
            reason = "a run has one environment, and there is no curriculum yet."
            self.unusable(self.at("extras.curriculum_schedule"), reason, hint)
        besides = {"policy_eval": ("extras.policy_path",), "interactive": ()}.get(str(mode), ("total_timesteps",))
        self.require("algo", "env_id", *besides)
        if mode == "interactive":
            reason = "steps an environment for a program that sends commands, and trains nothing."
            self.unusable(path, reason, None if self.made.unusable else f"Run: {self.interactive_command()}")
        if mode == "policy_eval" and not self.made.unusable:
            self.unusable(path, "policy_eval measures a policy, and trains nothing.", f"Run: {self.evaluate_command()}")

    def unusable(self, path: str, reason: str, hint: str | None = None) -> None:
        self.made.unusable.append(Problem(path, reason, hint))

    def require(self, *names: str) -> None:
        """Without these nobody knows what is meant; a wrong one is told where it would be missed."""
        for path in map(self.at, names):
            if path not in self.said:
                wrong = [problem for problem in self.made.left_out if problem.path == path]
                self.made.unusable += wrong or [Problem(path, "is required")]
                self.made.left_out = [problem for problem in self.made.left_out if problem not in wrong]

    def evaluate_command(self) -> str:
        """Return the command line that does what policy_eval does."""
        model, algo, env_id = (self.said[self.at(name)] for name in ("extras.policy_path", "algo", "env_id"))
        words = ["rlctl", "evaluate", model, "--worker", f"cleanrl/{algo}", "--env", env_id]
        settings, values = self.settings_of_evaluation(), dict(self.said)
        if "gamma" in settings:
            values.setdefault(self.at("extras.eval_gamma"), settings["gamma"][1])
        if self.at("extras.eval_batch_size") not in values:
            values.setdefault(self.at("extras.eval_episodes"), _EPISODES_THERE)
        for name, option in fields.EVALUATE_OPTIONS.items():
            value = values.get(self.at(name))
            if option in words and self.at(name) in self.said:
                self.leave_out(self.at(name), "eval_batch_size says it already, as there")
            elif value is not None and value is not False and option not in words:
                words += [option] if value is True else [option, str(value)]
        device = self.device(settings)
        return shlex.join([*words, *(("--device", device[0]) if device else ())])

    def settings_of_evaluation(self) -> dict[str, tuple[str, Any]]:
        """Return name → (path, value) of the script's arguments that an evaluation has, too; the others are left out."""
        found = {}
        for path, name, value in self.arguments():
            if name in ("gamma", "cuda") and name not in found:
                found[name] = (path, value)
            elif name not in fields.EVALUATION:
                self.leave_out(path, "a setting of a training, and none is done")
        return found

    def interactive_command(self) -> str:
        """Return the command line that does what the mode interactive does, with pictures as its clients read them."""
        model, algo, env_id = (self.said.get(self.at(name)) for name in ("extras.policy_path", "algo", "env_id"))
        words = ["rlctl", "interactive", *([str(model)] if model else ()), "--worker", f"cleanrl/{algo}"]
        seed, device = self.said.get(self.at("seed")), self.device({})
        words += ["--env", str(env_id), "--frames", "rgb", *(("--seed", str(seed)) if seed is not None else ())]
        return shlex.join([*words, *(("--device", device[0]) if device else ())])

    # ---- what is one -----------------------------------------------------------------------------------------------

    def build(self, script: KnownScript) -> None:
        self.take("name", self.at("run_id"))
        self.take("name", "run_name")
        self.put("worker", "cleanrl", self.at("algo"))
        for path, name in (
            ("algo", "algo"),
            ("env.id", "env_id"),
            ("total_timesteps", "total_timesteps"),
            ("seed", "seed"),
        ):
            self.take(path, self.at(name))
        if script.name == "ppo":
            self.change(self.at("algo"), "CleanRL's own ppo.py, as it is; there a copy is run that MOSAIC has altered")
        settings = self.settings(script)
        device = self.device(settings)
        if device is not None:
            self.put("device", *device)
        self.hyperparameters(script, settings)
        self.begin()
        self.records()
        self.limits()

    def settings(self, script: KnownScript) -> dict[str, tuple[str, Any]]:
        """Return name → (path, value) of all that is meant for the script, as it writes the names."""
        settings: dict[str, tuple[str, Any]] = {}
        for path, name, value in self.arguments():
            if value is False and name in RESERVED - {"cuda"}:
                continue  # what is not wanted is not done
            if name in settings:
                self.leave_out(path, f"{settings[name][0]} says it already")
            elif name.startswith("wandb"):
                self.leave_out(path, fields.WANDB)
            elif name in ("cuda", "num_envs") or (name not in RESERVED and script.knows(name)):
                settings[name] = (path, value)
            elif name in fields.RESERVED_REASONS:
                self.leave_out(path, fields.RESERVED_REASONS[name])
            else:
                own = () if "algo_params" in path else (*fields.EXTRAS, *fields.EXTRAS_REASONS)
                hint = did_you_mean(name, (*own, *(script.parameters or ()), "num_envs"))
                self.leave_out(path, f"is neither a field nor a setting of cleanrl/{script.name}.", hint)
        return settings

    def arguments(self) -> Iterator[tuple[str, str, Any]]:
        """Yield (path, name, value) of `algo_params` and of extras that are no field: there each becomes a flag."""
        where = self.at("extras.algo_params")
        for key, value in self.said.get(where, {}).items():
            yield f"{where}.{key}", key.replace("-", "_"), value
        for path, value in self.said.items():
            key = path.removeprefix(self.at("extras."))
            if path == self.at(f"extras.{key}") and key not in fields.EXTRAS:
                yield path, key.replace("-", "_"), value

    def device(self, settings: dict[str, tuple[str, Any]]) -> tuple[str, str] | None:
        """Return (device, path); None where nothing is said of one. `settings` loses its `cuda`."""
        flags = {self.at(f"extras.{name}"): self.said.get(self.at(f"extras.{name}")) for name in fields.GPU_FLAGS}
        path, value = settings.pop("cuda", ("", None))
        if value is not None:
            try:
                flags[path] = flag(value)
            except NotTakenError as error:
                self.leave_out(path, str(error))
        said = {path: value for path, value in flags.items() if value is not None}
        requested = self.said.get("resources.gpus.requested")
        if not said:
            return self.requested_device(requested)
        first = next(iter(said))
        for path, value in said.items():
            if value != said[first]:
                self.leave_out(path, f"{first} says otherwise")
        if requested == 0 and said[first]:
            self.change("resources.gpus.requested", f"0, and yet {first} wants one: there it is hidden from the script")
        elif requested and not said[first]:
            self.leave_out("resources.gpus.requested", f"{first} wants none")
        return ("cuda" if said[first] else "cpu"), first

    def requested_device(self, requested: int | None) -> tuple[str, str] | None:
        """Return the device that the job's resources mean."""
        if requested is None:
            return None
        path = "resources.gpus.requested"
        mandatory = self.said.get("resources.gpus.mandatory", False)
        device = "cpu" if requested == 0 else "cuda" if mandatory else "auto"
        self.change(path, f"{requested}, so device: {device}" + (". A run has one" if requested > 1 else ""))
        return device, path

    def hyperparameters(self, script: KnownScript, settings: dict[str, tuple[str, Any]]) -> None:
        path, num_envs = settings.pop("num_envs", ("", None))
        if num_envs is not None:
            try:
                self.put("env.num_envs", whole(num_envs), path)
            except NotTakenError as error:
                self.leave_out(path, str(error))
        for problem in script.wrong({name: value for name, (_, value) in settings.items()}):
            source, _ = settings.pop(problem.path)
            self.leave_out(source, problem.message, problem.hint)
        self.made.config["hyperparameters"] = {}
        for name, (source, value) in settings.items():
            self.put(f"hyperparameters.{name}", script.in_its_kind(name, value), source)
            if value is False and "algo_params" in source and script.default(name) is not False:
                self.change(source, "stays false; there it is dropped, and the script's default holds")
        if settings and script.parameters is None:
            self.change(self.at("extras.algo_params"), NOT_HERE)

    def begin(self) -> None:
        """Begin with the weights of a model, where one is meant."""
        resumes = self.said.get(self.at("extras.mode")) == "resume_training"
        named = [self.at("extras.checkpoint_path"), self.at("extras.policy_path")]
        variables = self.said.get("environment", {})
        found = {path: self.said[path] for path in named if path in self.said}
        if not resumes:
            for path in found:
                self.leave_out(path, "only the modes resume_training and policy_eval read a model")
            found = {}
        if fields.RESUME_VARIABLE in variables:
            found.setdefault(f"environment.{fields.RESUME_VARIABLE}", variables[fields.RESUME_VARIABLE])
        if found:
            source, *others = found
            self.put("init_from", str(found[source]), source)
            self.change(
                source, "begins with the weights that are in it; optimizer, schedules and generators begin anew"
            )
            for path in others:
                self.leave_out(path, f"{source} says it already")
        elif resumes:
            self.unusable(named[0], "is required: the .cleanrl_model to go on with")
        for name in variables:
            if name != fields.RESUME_VARIABLE:
                self.leave_out(f"environment.{name}", fields.VARIABLE)

    def records(self) -> None:
        """Keep what is said of the run, and its scalars, as is wanted."""
        self.take("checkpoint.every_steps", self.at("extras.checkpoint_freq"))
        enabled, folder = "metadata.artifacts.tensorboard.enabled", self.at("extras.tensorboard_dir")
        if folder in self.said:
            self.put("callbacks.tensorboard", {}, folder)
            self.change(folder, "event files are in tensorboard/ of the run's directory")
        elif self.said.get(enabled):
            self.put("callbacks.tensorboard", {}, enabled)
        self.take("labels.mosaic_run_id", self.at("run_id"))
        self.take("labels.notes", self.at("extras.notes"))

    def limits(self) -> None:
        """Stop where the schedule says so."""
        seconds, steps = "schedule.max_duration_seconds", "schedule.max_steps"
        self.take("time_limit", seconds)
        if seconds in self.said:
            self.change(seconds, "there it is checked and never enforced; here the run then stops, resumable")
        if self.said.get(steps, float("inf")) < self.said[self.at("total_timesteps")]:
            self.take("stop_at", steps)
            self.change(steps, "there it is checked and never enforced; here the run then stops, resumable")
        elif steps in self.said:
            self.leave_out(steps, "the budget ends it before")
