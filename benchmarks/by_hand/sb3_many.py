"""SB3 in a process that goes on: `python sb3_many.py ALGORITHM ENV TIMESTEPS`. Trains for each seed on stdin, prints seconds."""

import json
import sys
import time

import stable_baselines3
import torch

algorithm, env, steps = sys.argv[1:]
torch.set_num_threads(1)
kind = getattr(stable_baselines3, algorithm.upper())
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    kind("MlpPolicy", env, seed=int(line), device="cpu").learn(total_timesteps=int(steps))
    took = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps(took), flush=True)
