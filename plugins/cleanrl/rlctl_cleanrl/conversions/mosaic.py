"""Configurations of MOSAIC's CleanRL worker: its own JSON, or the job of MOSAIC's trainer that has it in `metadata`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlctl import ConfigError, Conversion, ConvertedConfig, Problem
from rlctl.config.files import read_config
from rlctl.config.foreign import NotTakenError, in_order, whole, without_none
from rlctl.errors import did_you_mean
from rlctl_cleanrl.conversions import mosaic_fields as fields
from rlctl_cleanrl.conversions.mosaic_commands import check_mode
from rlctl_cleanrl.conversions.mosaic_curriculum import read_schedule
from rlctl_cleanrl.conversions.mosaic_reading import NESTED, Reading, value_at
from rlctl_cleanrl.conversions.script_settings import NOT_HERE, KnownScript, find_script
from rlctl_cleanrl.scripts import RESERVED


def convert(path: Path) -> Conversion:
    """Return the configuration that a file describes; raises UsageError and ConfigError for one that is none of MOSAIC's."""
    tree = without_none(read_config(path)[0])
    return Conversion(system="MOSAIC's CleanRL worker", configs=[_Job(tree, path.stem).result()])


class _Job(Reading):
    """Goes from the fields of a file to a configuration."""

    def result(self) -> ConvertedConfig:
        if "metadata" in self.tree:
            self.prefix = f"{NESTED}."
        is_script = value_at(self.tree, "metadata", "worker", "script") is not None
        if self.prefix and not is_script and not isinstance(value_at(self.tree, *NESTED.split(".")), Mapping):
            raise ConfigError([Problem(NESTED, "is not there: in it a job has the configuration of its worker")])
        self.read()
        if is_script:
            reason = "runs a shell script, and what that trains cannot be known. Convert the file that it makes"
            self.made.unusable.append(Problem("metadata.worker.script", reason))
        else:
            check_mode(self)
        if not self.made.unusable:
            script = find_script(self.said[self.at("algo")])
            if isinstance(script, Problem):
                self.made.unusable.append(Problem(self.at(script.path), script.message, script.hint))
            else:
                self.build(script)
        self.made.left_out = in_order(self.made.left_out, self.tree)
        return self.made

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
        self.curriculum(script)
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

    def curriculum(self, script: KnownScript) -> None:
        """Make `env.curriculum` of a schedule; the stages then say which environments there are."""
        path = self.at("extras.curriculum_schedule")
        schedule = self.said.get(path)
        if not schedule:
            return
        made = read_schedule(schedule, path)
        self.made.unusable += made.unusable
        self.made.left_out += made.left_out
        self.made.changed += made.changed
        self.put("env.curriculum", made.stages, path)
        if made.stages and made.stages[-1].get("env_id") != self.said[self.at("env_id")]:
            del self.made.config["env"]["id"], self.made.origins["env.id"]
            self.leave_out(self.at("env_id"), "the stages name the environments; the last one is evaluated")
        if script.name != "ppo":
            self.change(self.at("algo"), "there a curriculum is trained by ppo, whatever is said here")

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
