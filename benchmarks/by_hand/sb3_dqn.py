"""SB3's DQN on CartPole with CleanRL's hyper-parameters: `python sb3_dqn.py TIMESTEPS SEED NUM_ENVS`."""

import sys

import torch
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env

steps, seed, num_envs = map(int, sys.argv[1:])
torch.set_num_threads(1)
# SB3 counts train_freq in steps of all environments together. One update for ten steps of one environment are with eight
# four updates for five steps of all: 4 / (5 * 8) = 1 / 10. The interval of the target is divided by SB3 itself.
train_freq, gradient_steps = {1: (10, 1), 8: (5, 4)}[num_envs]
model = DQN(
    "MlpPolicy",
    make_vec_env("CartPole-v1", n_envs=num_envs, seed=seed),
    learning_rate=2.5e-4,
    buffer_size=10_000,
    learning_starts=10_000,
    batch_size=128,
    gamma=0.99,
    train_freq=train_freq,
    gradient_steps=gradient_steps,
    target_update_interval=500,
    exploration_fraction=0.5,
    exploration_final_eps=0.05,
    max_grad_norm=1e9,  # CleanRL has no clipping; SB3's cannot be turned off
    policy_kwargs={"net_arch": [120, 84]},
    seed=seed,
    device="cpu",
)
model.learn(total_timesteps=steps)
