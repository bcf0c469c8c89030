"""SB3's PPO on CartPole as its users write it: `python sb3_ppo.py TIMESTEPS SEED`. Prints all episode returns as JSON."""

import json
import sys

import torch
from stable_baselines3 import PPO

torch.set_num_threads(1)
model = PPO("MlpPolicy", "CartPole-v1", seed=int(sys.argv[2]), device="cpu", stats_window_size=10**9)
model.learn(total_timesteps=int(sys.argv[1]))
print(json.dumps([episode["r"] for episode in model.ep_info_buffer]))
