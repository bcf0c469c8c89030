"""Runs one of CleanRL's scripts, as it is, with the run's configuration as its command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
import torch

from rlctl import Run
from rlctl.torch.data import read_data
from rlctl.torch.devices import limit_threads, resolve_device
from rlctl_cleanrl.agents import NETWORK
from rlctl_cleanrl.index import split_algorithm
from rlctl_cleanrl.launcher import find_main_loop, run_script
from rlctl_cleanrl.making import ConfiguredEnvironments, Watched
from rlctl_cleanrl.models import write_model
from rlctl_cleanrl.networks import network_class
from rlctl_cleanrl.observations import needs_of
from rlctl_cleanrl.scripts import Script, to_argv
from rlctl_cleanrl.sources import Source, load_scripts
from rlctl_cleanrl.state import ScriptState

# CleanRL's tags under rlctl's names; all of them are kept under backend/ as well.
_CANONICAL = {
    "charts/learning_rate": "train/learning_rate",
    "charts/SPS": "time/steps_per_second",
    "charts/epsilon": "train/exploration_rate",
    "losses/td_loss": "train/loss",
    "losses/loss": "train/loss",
    "losses/qf_loss": "train/value_loss",
    "losses/q_values": "train/q_value",
    "losses/qf1_values": "train/q_value",
    "losses/value_loss": "train/value_loss",
    "losses/policy_loss": "train/policy_loss",
    "losses/actor_loss": "train/policy_loss",
    "losses/entropy": "train/entropy",
    "losses/approx_kl": "train/approx_kl",
    "losses/clipfrac": "train/clip_fraction",
    "losses/explained_variance": "train/explained_variance",
    "losses/alpha": "train/entropy_coefficient",
}


class CleanrlWorker:
    """Executes a script in this process; progress and stopping go through its main loop, scalars through its writer."""

    def train(self, run: Run) -> None:
        """Run the script to its end, or to the end of the iteration in which the run is to stop."""
        source = Source(**{**run.source, "path": Path(run.source["path"])})
        wanted = split_algorithm(run.info.algo)[1]
        script = next(script for script in load_scripts(source) if script.name == wanted)
        limit_threads(run.threads)
        if script.parameter("cuda"):
            run.use_device(script_device(run.device))
        network = run.hyperparameters.get("network")
        agent = None if network is None else network_class(network)
        watched = Watched(run.env_observers, _num_envs(run, script))
        environments = ConfiguredEnvironments(run, needs_of(attrs.asdict(script), network), watched)
        environments.install()
        # Scripts write their runs/, models and videos below the current folder.
        os.chdir(run.directory.backend)
        observer = _Observer(run, script, environments)
        ended = run_script(
            script.path,
            to_argv(script, arguments(run, script)),
            on_iteration=observer.iteration,
            on_scalar=observer.scalar,
            on_episode=observer.episode,
            on_end=observer.end,
            extra_path=source.path,
            skip_iterations=observer.skipped,
            agent=agent,
        )
        observer.flush()
        try:
            write_model(script.path, ended, run.directory.backend)
        except (OSError, RuntimeError) as error:  # the latter by torch.save; the checkpoint has all that is in it
            run.declare("model_not_written", f"{script.name}.cleanrl_model is not written: {error}", error=str(error))


def arguments(run: Run, script: Script) -> dict[str, Any]:
    """Return the script's arguments: its hyper-parameters and what rlctl's own configuration says under other names."""
    values = {
        **{name: value for name, value in run.hyperparameters.items() if name != NETWORK.name},
        "env_id": run.info.env_id,
        "seed": run.seed,
        "total_timesteps": run.horizon,
    }
    if script.parameter("cuda"):
        values["cuda"] = script_device(run.device).type == "cuda"
    if run.env.get("num_envs") is not None and script.parameter("num_envs"):
        values["num_envs"] = run.env["num_envs"]
    return values


def _num_envs(run: Run, script: Script) -> int:
    """Return in how many environments the script trains."""
    known = script.parameter("num_envs")
    if known is None or not isinstance(known.default, int):
        return 1
    return int(run.env.get("num_envs") or known.default)


def script_device(name: str) -> torch.device:
    """Return the device for a script: scripts know `cuda` and `cpu`, and plain `cuda` is made to mean `cuda:N` in them.

    Raises NotAvailableError for one that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = resolve_device(name)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device


class _Observer:
    """Turns what a script does into what a run reports."""

    def __init__(self, run: Run, script: Script, environments: ConfiguredEnvironments) -> None:
        self._run = run
        self._name = script.name
        self._environments = environments
        # Where the loop's variable is global_step, it is the number of the step; others count steps taken.
        loop = find_main_loop(script.path.read_text(encoding="utf-8"))
        self._offset = 1 if loop.variable == "global_step" else 0
        self._pending: dict[str, float] = {}
        self._pending_step = 0
        self._state = ScriptState(run.info.config["checkpoint"]["replay_buffer"])
        run.attach(self._state)
        self.skipped = 0 if run.resume_path is None else int(read_data(run.resume_path, "loop")["iterations"])
        self._state.iterations = self.skipped - 1

    def iteration(self, script: dict[str, Any]) -> bool:
        """Report the steps taken before an iteration; returns whether to begin it. A state is saved and restored here."""
        self.flush()
        self._state.iterations += 1
        if not self._state.script:
            self._environments.begin(self._name)
            self._state.script = script
            for reason in self._state.limits():
                self._run.limit_resume(reason)
            self._run.restore()
        step = script.get("global_step")
        return self._run.advance(0 if step is None else int(step) + self._offset)

    def end(self) -> None:
        """Save the state in which the loop ended; what the script does after it, evaluating say, is no training."""
        self._run.save("final")

    def episode(self, episode_return: float, length: int, env_index: int, global_step: int) -> None:
        """Report a finished episode of one of the script's environments."""
        step, stage = global_step + self._offset, self._state.stage_of(env_index)
        self._run.record_episode(episode_return, length, env_index=env_index, step=step, stage=stage)

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Collect a scalar; those of one step become one record."""
        name = f"backend/{tag}"
        if step != self._pending_step or name in self._pending:
            self.flush()
        self._pending_step = step
        self._pending[name] = value
        if tag in _CANONICAL:
            self._pending[_CANONICAL[tag]] = value

    def flush(self) -> None:
        """Report what has been collected."""
        if self._pending:
            self._run.record_metrics(self._pending, step=self._pending_step)
            self._pending = {}
