"""SB3 as its users write it: `python sb3_script.py ALGORITHM ENV TIMESTEPS SEED`. Prints all episode returns as JSON."""

import json
import sys

import stable_baselines3
import torch

algorithm, env, steps, seed = sys.argv[1:]
torch.set_num_threads(1)
kind = getattr(stable_baselines3, algorithm.upper())
model = kind("MlpPolicy", env, seed=int(seed), device="cpu", stats_window_size=10**9)
model.learn(total_timesteps=int(steps))
print(json.dumps([episode["r"] for episode in model.ep_info_buffer]))
