"""The training loop, top to bottom."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from rlctl import Run
from rlctl.gym.environments import make_env
from rlctl.torch.devices import limit_threads, resolve_device
from rlctl_dqn.agent import DqnAgent
from rlctl_dqn.config import DqnHyperparameters
from rlctl_dqn.replay_buffer import ReplayBuffer

METRICS_EVERY = 100
"""Updates from one report of the loss to the next; reading it more often would wait for a GPU."""


class DqnWorker:
    """Trains one DQN agent in `num_envs` environments, with the same updates per step for any number of them."""

    def train(self, run: Run) -> None:
        """Act, store, learn, until the run says stop; then leave the weights in backend/q_network.safetensors."""
        settings = DqnHyperparameters(**run.hyperparameters)
        device = resolve_device(run.device)
        limit_threads(run.threads)
        torch.manual_seed(run.seed)
        generator = np.random.default_rng(run.seed)
        envs = _Environments(run)
        agent = DqnAgent(envs.observation_size, envs.num_actions, settings, device, run.horizon)
        buffer = ReplayBuffer(settings.buffer_size, envs.observation_size, device)

        step, updates = 0, 0
        while run.advance(step):
            actions = agent.act(envs.observations, step, generator)
            before, step = step, step + len(envs)
            envs.step(actions, buffer, step)
            if step <= settings.learning_starts:
                continue
            for _ in range(step // settings.train_frequency - before // settings.train_frequency):
                learned = agent.update(buffer.sample(settings.batch_size, generator))
                updates += 1
                if updates % METRICS_EVERY == 0:
                    schedule = {"train/exploration_rate": agent.epsilon(step), "train/updates": updates}
                    run.record_metrics({name: value.item() for name, value in learned.items()} | schedule, step=step)
            if step // settings.target_update_frequency > before // settings.target_update_frequency:
                agent.update_target()

        weights = {name: tensor.cpu().contiguous() for name, tensor in agent.online.state_dict().items()}
        save_file(weights, run.directory.backend / "q_network.safetensors")
        envs.close()


class _Environments:
    """The training environments side by side; an ended one is reset at once, and no transition crosses a reset."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._envs: list[gymnasium.Env[Any, Any]] = [make_env(run.env) for _ in range(run.env.get("num_envs") or 1)]
        self._start = int(self._envs[0].action_space.start)  # type: ignore[attr-defined]
        self.num_actions = int(self._envs[0].action_space.n)  # type: ignore[attr-defined]
        (self.observation_size,) = self._envs[0].observation_space.shape or (0,)
        first = [env.reset(seed=run.seed + index)[0] for index, env in enumerate(self._envs)]
        self.observations: NDArray[np.float32] = np.stack(first).astype(np.float32)
        self._returns = [0.0] * len(self)
        self._lengths = [0] * len(self)

    def __len__(self) -> int:
        return len(self._envs)

    def step(self, actions: NDArray[np.int64], buffer: ReplayBuffer, step: int) -> None:
        """Take one action in each environment, store the transitions, report episodes that ended at `step`."""
        for index, env in enumerate(self._envs):
            action = int(actions[index])
            observation, reward, terminated, truncated, _ = env.step(action + self._start)
            buffer.add(self.observations[index], action, float(reward), observation, terminated)
            self._returns[index] += float(reward)
            self._lengths[index] += 1
            if terminated or truncated:
                self._run.record_episode(self._returns[index], self._lengths[index], env_index=index, step=step)
                self._returns[index], self._lengths[index] = 0.0, 0
                observation, _ = env.reset()
            self.observations[index] = observation

    def close(self) -> None:
        for env in self._envs:
            env.close()
