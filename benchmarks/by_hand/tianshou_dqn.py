"""Tianshou's DQN on CartPole with CleanRL's hyper-parameters: `python tianshou_dqn.py TIMESTEPS SEED`.

Written as the examples of its documentation are, with its procedural interface; no test environments, no progress bar.
"""

import sys

import gymnasium
import numpy as np
import torch
from tianshou.algorithm import DQN
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams
from tianshou.utils.net.common import Net

LEARNING_STARTS = 10_000
steps, seed = map(int, sys.argv[1:])
torch.set_num_threads(1)
np.random.seed(seed)  # noqa: NPY002 - what Tianshou explores with
torch.manual_seed(seed)
envs = DummyVectorEnv([lambda: gymnasium.make("CartPole-v1")])
envs.seed(seed)
observations, actions = envs.observation_space[0], envs.action_space[0]
model = Net(state_shape=observations.shape, action_shape=actions.n, hidden_sizes=[120, 84])
policy = DiscreteQLearningPolicy(model=model, action_space=actions, observation_space=observations)
algorithm = DQN(
    policy=policy,
    optim=AdamOptimizerFactory(lr=2.5e-4),
    gamma=0.99,
    target_update_freq=50,  # counted in updates: 500 steps
    is_double=False,
)
collector = Collector(algorithm, envs, VectorReplayBuffer(10_000, 1), exploration_noise=True)


def explore(_epoch: int, step: int) -> None:
    """Set the exploration of the coming steps: from 1 to 0.05 over half of the budget."""
    policy.set_eps_training(max(0.05, 1.0 - 0.95 * (LEARNING_STARTS + step) / (0.5 * steps)))


collector.reset()
collector.collect(n_step=LEARNING_STARTS, random=True)
algorithm.run_training(
    OffPolicyTrainerParams(
        training_collector=collector,
        max_epochs=1,
        epoch_num_steps=steps - LEARNING_STARTS,
        collection_step_num_env_steps=10,
        update_step_num_gradient_steps_per_sample=0.1,
        batch_size=128,
        training_fn=explore,
        verbose=False,
        show_progress=False,
    )
)
