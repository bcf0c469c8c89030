"""An update is that of Stable-Baselines3's DQN: the same weights after hundreds of the same batches."""

import numpy as np
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from tests.plugins.dqn.making import CPU, parameters

from rlctl_dqn.agent import DqnAgent
from rlctl_dqn.config import DqnHyperparameters
from rlctl_dqn.storage import Batch


class Batches:
    """Stands where SB3 has its replay buffer, and gives it the batch that is laid there."""

    def __init__(self):
        self.next = None

    def sample(self, _, env=None):
        return self.next


def batch_of(drawn, size=64):
    """A random batch of CartPole's shapes: observations, actions, next observations, dones, rewards, as SB3 has them."""
    seen = torch.as_tensor(drawn.normal(size=(2, size, 4)), dtype=torch.float32)
    dones = torch.as_tensor(drawn.random((size, 1)) < 0.2, dtype=torch.float32)
    rewards = torch.as_tensor(10.0 * drawn.normal(size=(size, 1)), dtype=torch.float32)
    return ReplayBufferSamples(seen[0], torch.as_tensor(drawn.integers(0, 2, (size, 1))), seen[1], dones, rewards)


def test_an_update_is_that_of_sb3():
    """With Huber's loss and clipped gradients, as SB3 cannot do without, and a target that follows now and then."""
    theirs = DQN("MlpPolicy", "CartPole-v1", seed=1, device="cpu", learning_rate=1e-3, max_grad_norm=1.0)
    theirs.set_logger(Logger(None, []))
    theirs.replay_buffer = Batches()
    settings = DqnHyperparameters(learning_rate=1e-3, hidden_sizes=[64, 64], loss="huber", max_grad_norm=1.0)
    ours = DqnAgent(4, 2, settings, CPU, 1000)
    tensors = theirs.q_net.state_dict().values()
    ours.online.load_state_dict(dict(zip(ours.online.state_dict(), tensors, strict=True)))
    drawn = np.random.default_rng(0)
    for index in range(300):
        if index % 50 == 0:
            ours.update_target()
            theirs.q_net_target.load_state_dict(theirs.q_net.state_dict())
        theirs.replay_buffer.next = batch = batch_of(drawn)
        theirs.train(gradient_steps=1, batch_size=64)
        bootstrap = 0.99 * (1.0 - batch.dones[:, 0])
        ours.update(Batch(batch.observations, batch.actions, batch.rewards[:, 0], batch.next_observations, bootstrap))

    assert np.abs(parameters(ours.online) - parameters(theirs.q_net)).max() < 1e-6
