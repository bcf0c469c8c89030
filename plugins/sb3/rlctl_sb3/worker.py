"""Trains SB3's own algorithms by their own `learn`: the same seed gives what the same script by hand gives."""

from __future__ import annotations

import rlctl_sb3.lean_import  # noqa: F401 - before all other imports, as they import SB3

# isort: split
import contextlib
import functools
import importlib
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

from rlctl import Run
from rlctl.gym.curriculum import stage_of
from rlctl.torch.devices import limit_threads, resolve_device
from rlctl_sb3.algorithms import ALGORITHMS, MASKED
from rlctl_sb3.environments import make_environments
from rlctl_sb3.monitor_files import MonitorFiles
from rlctl_sb3.q_values import mean_q_value
from rlctl_sb3.replay_buffers import require_goals
from rlctl_sb3.signatures import constructor_parameters
from rlctl_sb3.state import OF_ARS, PROGRESS, Sb3State
from rlctl_sb3.training_modes import switch_modes_quickly
from rlctl_sb3.values import constructor_arguments

# SB3's tags under rlctl's names; all of them are kept under backend/ as well.
_CANONICAL = {
    "train/loss": "train/loss",
    "train/learning_rate": "train/learning_rate",
    "train/n_updates": "train/updates",
    "train/entropy_loss": "train/entropy_loss",
    "train/value_loss": "train/value_loss",
    "train/policy_gradient_loss": "train/policy_loss",
    "train/actor_loss": "train/policy_loss",
    "train/critic_loss": "train/value_loss",
    "train/approx_kl": "train/approx_kl",
    "train/clip_fraction": "train/clip_fraction",
    "train/explained_variance": "train/explained_variance",
    "train/ent_coef": "train/entropy_coefficient",
    "rollout/exploration_rate": "train/exploration_rate",
    "time/fps": "time/steps_per_second",
}


class Sb3Worker:
    """Runs one of SB3's algorithms under a callback of SB3's own kind."""

    def train(self, run: Run) -> None:
        """Build the algorithm as its users do, let it learn, and leave SB3's own backend/model.zip."""
        limit_threads(run.threads)
        switch_modes_quickly()
        name = run.info.algo
        envs = make_environments(run)
        run.follow_curriculum(functools.partial(envs.env_method, "rlctl_enter_stage"))
        require_goals(run.hyperparameters, envs.observation_space, run.info.env_id)
        known = ALGORITHMS[name]
        algorithm: type[BaseAlgorithm] = getattr(importlib.import_module(known.package), known.cls)
        arguments = constructor_arguments(
            run.hyperparameters, constructor_parameters(name), envs.observation_space, envs.action_space, known.policies
        )
        device = str(resolve_device(run.device))
        run.use_device(device)
        model = algorithm(env=envs, seed=run.seed, device=device, verbose=0, **arguments)
        model.set_logger(Logger(folder=None, output_formats=[_RunWriter(run, model)]))
        if run.total_episodes is not None:
            _lay_schedules_over_episodes(model, run)
        with_replay_buffer = run.info.config["checkpoint"]["replay_buffer"]
        if getattr(model, "replay_buffer", None) is not None and not with_replay_buffer:
            run.limit_resume("its replay buffer is not saved")
        if getattr(getattr(model, "replay_buffer", None), "copy_info_dict", False):
            run.limit_resume("the infos in its replay buffer are not saved")
        monitor = MonitorFiles(run.directory.backend, envs.num_envs, run.info.env_id)
        state = Sb3State(model, with_replay_buffer, monitor, masked=name in MASKED)
        run.attach(state)
        horizon = run.total_timesteps if run.total_timesteps is not None else 10**12
        callback = _RunCallback(run, monitor)
        if name == "ars":
            _look_between_updates(model, callback)
        with contextlib.suppress(_Stopped):
            model.learn(total_timesteps=horizon, callback=callback)
        state.save(run.directory.backend / "model.zip")
        run.save("final")  # now: environments in processes have no state when they are closed
        envs.close()


def _lay_schedules_over_episodes(model: BaseAlgorithm, run: Run) -> None:
    """With a budget in episodes SB3 does not know how far it is: its schedules then go by `run.horizon` steps."""

    def update(num_timesteps: int, _: int) -> None:
        model._current_progress_remaining = max(0.0, 1.0 - num_timesteps / run.horizon)  # noqa: SLF001 - SB3's own hook

    setattr(model, PROGRESS, update)


def _look_between_updates(model: Any, callback: _RunCallback) -> None:
    """Give ARS its safe points and its episodes: its rollout begins when it has drawn already, and shows no episodes."""
    update, finished = (getattr(model, name) for name in OF_ARS)
    callback.has_rollouts = False

    def after_a_safe_point(*arguments: Any) -> None:
        callback.safe_point()
        update(*arguments)

    def reported(returns: list[float], lengths: list[int]) -> None:
        for value, length in zip(returns, lengths, strict=True):
            callback.report(value, length)
        finished(returns, lengths)

    for name, replacement in zip(OF_ARS, (after_a_safe_point, reported), strict=True):
        setattr(model, name, replacement)


class _RunCallback(BaseCallback):
    """Reports every step and finished episode, and ends `learn` when the run is to stop.

    The beginning of a rollout is the safe point: everything is learned from what was collected, and what comes next
    depends on nothing but what `Sb3State` knows. A state is restored there as well.
    """

    def __init__(self, run: Run, monitor: MonitorFiles) -> None:
        super().__init__()
        self.run = run
        self._monitor = monitor
        self.has_rollouts = True

    def _on_rollout_start(self) -> None:
        if self.has_rollouts:
            self.safe_point()

    def safe_point(self) -> None:
        """Restore what is to be resumed; say how far it is; raises _Stopped if the run is to end."""
        self.run.restore()
        self.num_timesteps = self.model.num_timesteps
        if not self.run.advance(self.num_timesteps) and not self._ends_by_itself():
            raise _Stopped

    def _ends_by_itself(self) -> bool:
        """Return whether SB3 knows of the end: it then finishes its rollout and learns from it, as by hand."""
        return self.run.stop is not None and self.run.stop.kind == "timesteps"

    def _on_step(self) -> bool:
        run = self.run
        for index, done in enumerate(self.locals.get("dones", ())):  # for a few environments faster than numpy
            if not done:
                continue
            info = self.locals["infos"][index]
            episode = info.get("episode")
            if episode is not None:
                self.report(episode["r"], episode["l"], index, stage_of(info))
        run.advance(self.num_timesteps, safe=False)
        return True

    def report(self, total: float, length: int, env_index: int = 0, stage: int | None = None) -> None:
        """Report an episode that has ended."""
        step = self.model.num_timesteps
        episode = self.run.record_episode(total, length, env_index=env_index, step=step, stage=stage)
        self._monitor.add(env_index, total, length, episode.seconds)


class _Stopped(Exception):
    """Raised at a safe point to leave `learn`."""


class _RunWriter(KVWriter):
    """Takes what SB3 logs: each of its tags under backend/, those that rlctl has a name for under that, too.

    With it goes a Q-value, of which SB3 logs none, where there is one and something was learned since the last time.
    """

    def __init__(self, run: Run, model: BaseAlgorithm) -> None:
        self._run = run
        self._model = model

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        numbers = {tag: value for tag, value in key_values.items() if isinstance(value, (int, float, np.number))}
        values = {f"backend/{tag}": float(value) for tag, value in numbers.items()}
        values |= {_CANONICAL[tag]: float(value) for tag, value in numbers.items() if tag in _CANONICAL}
        value = mean_q_value(self._model) if "train/n_updates" in numbers else None
        if value is not None:
            values["train/q_value"] = value
        self._run.record_metrics(values, step=step)

    def close(self) -> None:
        """Nothing is held open."""
