"""The training loop, top to bottom, and the state that it saves and resumes."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rlctl import RlctlError, Run
from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.torch.data import read_data, write_data, write_tensors
from rlctl.torch.devices import limit_threads, resolve_device
from rlctl.torch.random_state import preserved_random_states, random_states, seed_everything, set_random_states
from rlctl.torch.weights import take_weights
from rlctl_dqn.agent import Agent, DqnAgent
from rlctl_dqn.config import DqnHyperparameters
from rlctl_dqn.diagnostics import diagnose
from rlctl_dqn.draws import Uniforms
from rlctl_dqn.environments import BLOCK
from rlctl_dqn.fast_agent import FastAgent, caches_targets, why_not_fast
from rlctl_dqn.policy import DqnPolicy
from rlctl_dqn.prioritized import PrioritizedReplayBuffer
from rlctl_dqn.replay_buffer import ReplayBuffer
from rlctl_dqn.vector_environments import make_environments

METRICS_EVERY = 100
"""Updates from one report of the loss to the next; to read it, and whether it is finite, is to wait for a GPU."""


class DqnWorker:
    """Trains one DQN agent in `num_envs` environments, with the same updates per step for any number of them."""

    def train(self, run: Run) -> None:
        """Act, store, learn, until the run says stop; then leave the weights in backend/q_network.safetensors."""
        limit_threads(run.threads)
        training = Training(run)
        if not run.info.config["checkpoint"]["replay_buffer"]:
            run.limit_resume("its replay buffer is not saved")
        run.attach(training)
        run.restore()
        while run.advance(training.step):
            training.iterate()
        save_file(training.weights(), run.directory.backend / "q_network.safetensors")
        run.save("final")  # now: environments in processes have no state when they are closed
        training.envs.close()


class Training:
    """Everything that one training is: agent, buffer, environments, generator and counts."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.settings = DqnHyperparameters(**run.hyperparameters)
        device = resolve_device(run.device)
        run.use_device(device)
        seed_everything(run.seed)
        settings = self.settings
        checked, one_by_one = settings.on_nan != "ignore", settings.n_step > 1
        self.envs = make_environments(run, settings.vectorization, checked=checked, one_by_one=one_by_one)
        run.follow_curriculum(self.envs.enter_stage)
        exploring, replaying = np.random.SeedSequence(run.seed).spawn(2)
        self._exploring = Uniforms(exploring, 2 * len(self.envs))
        self._replaying = Uniforms(replaying, settings.batch_size)
        layout = self.envs.layout
        agent = self._kind_of_agent(device, layout.dtype)
        self.agent = agent(layout.shape, self.envs.num_actions, settings, device, run.horizon, dtype=layout.dtype)
        self._device = device
        self.step = 0
        self.updates = 0
        self._block = BLOCK * len(self.envs)
        self._limits = [limit for limit in (run.total_timesteps, run.info.config.get("stop_at")) if limit is not None]
        self._exploration_step: int | None = None
        self._has_skipped = False

    def _kind_of_agent(self, device: torch.device, dtype: str) -> type[Agent]:
        """Return the agent that `path` asks for; raises RlctlError if that is the fast one and it cannot do the rest."""
        reason = why_not_fast(self.settings, device, dtype, self.envs.says_what_is_allowed)
        if self.settings.path == "fast" and reason is not None:
            raise RlctlError(f"hyperparameters.path: the fast path does not do {reason}.", hint="Leave it at auto.")
        if self.settings.path == "reference" or reason is not None:
            why = "as asked for" if self.settings.path == "reference" else f"as the fast one does not do {reason}"
            print(f"rlctl: path: reference, {why}", file=sys.stderr, flush=True)
            return DqnAgent
        print("rlctl: path: fast", file=sys.stderr, flush=True)
        return FastAgent

    @functools.cached_property
    def buffer(self) -> ReplayBuffer:
        """The replay buffer; made when it is first needed, as an evaluation needs none."""
        settings, envs, device = self.settings, self.envs, self._device
        arguments: dict[str, Any] = {
            "dtype": envs.layout.dtype, "frames": envs.layout.frames,
            "n_step": settings.n_step, "gamma": settings.gamma,
            "masked_actions": envs.num_actions if envs.says_what_is_allowed else None,
            "caches_targets": isinstance(self.agent, FastAgent) and caches_targets(settings),
        }  # fmt: skip
        kind: type[ReplayBuffer] = ReplayBuffer
        if settings.prioritized:
            kind = PrioritizedReplayBuffer
            arguments |= {"exponent": settings.priority_exponent, "epsilon": settings.priority_epsilon}
        buffer = kind(settings.buffer_size, envs.layout.shape, device, **arguments)
        if device.type != "cpu":
            print(f"rlctl: replay: in {buffer.place} memory", file=sys.stderr, flush=True)
        return buffer

    def iterate(self) -> None:
        """Take some steps, up to where something falls due, and the updates that do."""
        settings, before = self.settings, self.step
        self.step = step = self.envs.play(self._act, self.buffer, before, self._next_due(before))
        if self.envs.nonfinite:
            self._not_finite("; ".join(words for _, words in self.envs.nonfinite), self.envs.nonfinite[0][0])
        if step <= settings.learning_starts or not self.buffer.size:
            return
        due = step // settings.train_frequency - before // settings.train_frequency
        for _ in range(due * settings.gradient_steps):
            self._update(step)
        if step // settings.target_update_frequency > before // settings.target_update_frequency:
            self.agent.update_target()
            self.buffer.storage.forget_targets()

    def _act(self, observations: NDArray[Any], step: int) -> list[int]:
        masks = self.envs.masks if self.envs.says_what_is_allowed else None
        return self.agent.act(observations, step, self._exploring.row(), masks)

    def _next_due(self, step: int) -> int:
        """Return the step up to which nothing has to be done but acting: no update, no budget used up, no limit reached."""
        settings, due = self.settings, step + self._block
        for every in (settings.train_frequency, settings.target_update_frequency):
            due = min(due, step - step % every + every)
        for limit in self._limits:
            if step < limit < due:
                due = limit
        return due

    def _update(self, step: int) -> None:
        buffer, settings = self.buffer, self.settings
        importance = self.agent.importance(step) if settings.prioritized else 0.0
        drawn = buffer.draw(self._replaying.row(), importance)
        learned = self.agent.learn(buffer, drawn)
        if not learned.is_finite:
            self._not_finite(f"the loss is {float(learned.loss)}", step)
            return
        if settings.prioritized:
            buffer.set_priorities(drawn.rows, learned.errors_here())
        self.updates += 1
        if self.updates % METRICS_EVERY == 0:
            if count := self.agent.left_out():
                self._not_finite(f"of the last {METRICS_EVERY} updates {count} had a loss that is not finite", step)
            schedule = {"train/exploration_rate": self.agent.epsilon(step), "train/updates": self.updates}
            self._run.record_metrics({**learned.metrics(), **schedule}, step=step)
        every = settings.diagnostics_every
        if every is not None and self.updates % every == 0:
            self._run.record_metrics(diagnose(self.agent, buffer.batch(drawn)), step=step)

    def _not_finite(self, what: str, step: int) -> None:
        """End the run, or say once that something is left out; raises RlctlError."""
        if self.settings.on_nan == "skip":
            if not self._has_skipped:
                print(f"rlctl: step {step}: {what}; it is left out (on_nan: skip)", file=sys.stderr, flush=True)
            self._has_skipped = True
            return
        saved = CheckpointFolder(self._run.directory.path / "checkpoints").all()
        last = f"The last checkpoint: step {saved[-1].step}, {saved[-1].path}." if saved else "There is no checkpoint."
        raise RlctlError(f"step {step}: {what}.", hint=f"{last} hyperparameters.on_nan=skip leaves it out.")

    # ---- what is lent ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def policy(self, seed: int) -> Iterator[DqnPolicy]:
        """Lend the policy, as `rlctl.worker.protocol.Resumable` says."""
        with preserved_random_states(seed):
            step = self.step if self._exploration_step is None else self._exploration_step
            yield DqnPolicy(self.agent, self.envs.layout, self.envs.first_action, step, seed)

    # ---- what is saved ---------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the online network's parameters."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.agent.online.state_dict().items()}

    def write_state(self, folder: Path) -> None:
        """Write the whole training into files."""
        write_tensors(folder / "weights.safetensors", self.weights())
        write_data(folder, "optimizer", self.agent.optimizer.state_dict())
        write_data(folder, "target", dict(self.agent.target.state_dict()))
        draws = {"exploring": self._exploring.state(), "replaying": self._replaying.state()}
        write_data(folder, "random", {**random_states(), **draws})
        write_data(folder, "environments", self.envs.state())
        write_data(folder, "counts", {"step": self.step, "updates": self.updates})
        if self._run.info.config["checkpoint"]["replay_buffer"]:
            write_data(folder, "replay", self.buffer.state())

    def read_state(self, folder: Path) -> None:
        """Become what was written; without a replay buffer in it, the training goes on with an empty one."""
        self.agent.online.load_state_dict(load_file(folder / "weights.safetensors"))
        self.agent.target.load_state_dict(read_data(folder, "target"))
        self.agent.optimizer.load_state_dict(read_data(folder, "optimizer"))
        counts: dict[str, Any] = read_data(folder, "counts")
        self.step, self.updates = counts["step"], counts["updates"]
        if (folder / "replay.json").exists():
            self.buffer.set_state(read_data(folder, "replay"))
        self.envs.set_state(read_data(folder, "environments"))
        random = read_data(folder, "random")
        self._exploring.set_state(random.pop("exploring"))
        self._replaying.set_state(random.pop("replaying"))
        set_random_states(random)

    def read_weights(self, folder: Path) -> None:
        """Take the online network of a checkpoint; the target network begins as its copy."""
        self._take(load_file(folder / "weights.safetensors"), folder)
        self._exploration_step = read_data(folder, "counts")["step"]

    def read_artefact(self, path: Path, trust: bool) -> None:
        """Take the network of a `q_network.safetensors`, which every run leaves in backend/."""
        try:
            tensors = load_file(path)
        except SafetensorError as error:
            raise RlctlError(f"{path} is no safetensors file: {error}") from error
        self._take(tensors, path)
        self._exploration_step = self._run.horizon

    def _take(self, tensors: dict[str, torch.Tensor], source: Path) -> None:
        named = {f"online/{name}": tensor for name, tensor in tensors.items()}
        take_weights({"online": self.agent.online}, named, source)
        self.agent.target.load_state_dict(self.agent.online.state_dict())
