"""Trainings in this process whose steps callbacks see; and the environments by hand that they are compared with."""

from __future__ import annotations

import gymnasium
import numpy as np

from rlctl import RunInfo
from rlctl.config.check import with_defaults
from rlctl.plugins import discover
from rlctl.testing import fake_run
from rlctl.worker.observing import EnvObserver


def observer(info: RunInfo, name: str, **options) -> EnvObserver:
    """Return what a run knows of the callback `name`, with its options complete."""
    descriptor = discover().callback(name).descriptor
    return EnvObserver(name, descriptor.env_observer, info, with_defaults(options, descriptor.options))


def seen_run(root, observers=(), **arguments):
    """Return a run for `train` whose environments are seen by callbacks: (name, options) each."""
    run = fake_run(root, **arguments)
    run.info.config["checkpoint"] = {"replay_buffer": True}
    run._env_observers = [observer(run.info, name, **options) for name, options in observers]
    run._shows_steps = not observers
    return run


def dqn_run(root, *observers, num_envs=1, steps=600, **settings):
    """Train DQN on CartPole in this process, and return its run."""
    from rlctl_dqn.config import hyperparameters
    from rlctl_dqn.worker import DqnWorker

    env = {"id": "CartPole-v1", "num_envs": num_envs}
    given = {"learning_starts": 100, "buffer_size": 1000, **settings}
    run = seen_run(
        root, observers, env=env, hyperparameters=given, parameters=hyperparameters("dqn"), total_timesteps=steps
    )
    DqnWorker().train(run)
    return run


def trajectory(run):
    """Return what must be the same of two trainings of a seed."""
    return [(item.episode_return, item.length, item.step, item.env_index) for item in run.recorded_episodes]


def replayed(episodes, env_id="CartPole-v1"):
    """Yield (recorded, by hand) for the episodes of one environment: the same actions after the same seed."""
    env = gymnasium.make(env_id)
    for number, episode in enumerate(episodes):
        first, _ = env.reset(seed=episode.seed) if number == 0 else env.reset()
        steps = [env.step(action) for action in episode.actions]
        by_hand = [
            np.array([first, *(step[0] for step in steps)]),
            *(np.array([s[i] for s in steps]) for i in (1, 2, 3)),
        ]
        yield [episode.observations, episode.rewards, episode.terminations, episode.truncations], by_hand
    env.close()
