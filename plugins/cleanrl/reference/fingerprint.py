"""Tell whether this computer's floats are those of the recording one: digests of a fixed chain of float operations.

The kernels of torch, MKL, numpy and the C library are chosen by the CPU, and round differently. `record.py` and
`transcript.py` write the fingerprint into what they record; the tests take it of the interpreter they test with, and
demand recorded bits only where it is the same. `python fingerprint.py [numpy] [torch]` prints it.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import os
import subprocess
import sys
from typing import Any

# (inputs, hidden, hidden, outputs), batch sizes when acting and when learning, activation: as the scripts have them.
NETWORKS = [
    ((4, 64, 64, 2), (1, 4, 128), "tanh"),  # ppo on CartPole
    ((3, 64, 64, 1), (1, 64), "tanh"),  # ppo_continuous, rpo on Pendulum
    ((4, 120, 84, 2), (1, 128), "relu"),  # dqn
    ((4, 120, 84, 202), (1, 128), "relu"),  # c51
    ((3, 256, 256, 2), (1, 256), "relu"),  # actors of sac, td3 and ddpg
    ((4, 256, 256, 1), (1, 256), "relu"),  # their critics
]


def numpy_digest() -> str:
    """Digest what environments and their wrappers compute: numpy's functions and statistics, the C library's math.

    Nothing else, lest tests are skipped in vain: none of them multiplies matrices, say, whose bits vary the most.
    """
    import numpy as np

    digest = hashlib.sha256()
    random = np.random.default_rng(1)
    for shape in [(1,), (3,), (4, 3), (64, 17), (2048,)]:
        wide = random.normal(scale=3, size=shape)
        for x in (wide, wide.astype(np.float32)):
            positive = np.abs(x) + x.dtype.type(0.1)
            for function in (np.sin, np.cos, np.square):
                digest.update(function(x).tobytes())
            for value in (x.mean(0), x.var(0), x.std(), x.sum(), np.sqrt(positive), positive**1.7, x / positive):
                digest.update(np.asarray(value).tobytes())
    for value in random.uniform(-9, 9, 500).tolist():
        functions = (math.sin, math.cos, math.tan, math.exp, math.atan, math.tanh, np.sin, np.cos)
        numbers = [float(function(value)) for function in functions]
        digest.update(np.array([*numbers, math.log(abs(value)), math.pow(abs(value), 1.7)]).tobytes())
    return digest.hexdigest()


def torch_digest() -> str:
    """Digest what agents compute: drawing, acting and Adam steps of the scripts' networks in float32 on one thread."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(1)
    digest = hashlib.sha256()

    def add(*tensors: Any) -> None:
        for tensor in tensors:
            digest.update(tensor.detach().contiguous().numpy().tobytes())

    for sizes, batches, name in NETWORKS:
        layers: list[Any] = []
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.Tanh() if name == "tanh" else nn.ReLU()]
        if name == "tanh":
            for layer in layers[::2]:
                nn.init.orthogonal_(layer.weight, math.sqrt(2))
        network = nn.Sequential(*layers[:-1])
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, eps=1e-5)
        for batch in [*batches, batches[-1], batches[-1]]:
            x = torch.randn(batch, sizes[0])
            y = network(x)
            spread = y.std() if y.numel() > 1 else torch.ones(())
            scaled = (y - y.mean()) / (spread + 1e-8)
            normal = torch.distributions.Normal(y, torch.exp(torch.tanh(y) - 1))
            action = normal.rsample()
            drawn = torch.distributions.Categorical(logits=y).sample()
            entropy = -(torch.softmax(y, 1) * torch.log_softmax(y, 1)).sum(1)
            add(x, y, scaled, action, drawn, entropy, torch.sigmoid(y), torch.cos(y), torch.log(y * y + 1e-6))
            squared = nn.functional.mse_loss(torch.tanh(action), torch.zeros_like(y))
            optimizer.zero_grad()
            (
                squared + scaled.square().mean() - 0.01 * entropy.mean() - normal.log_prob(y * 0.5).sum(1).mean()
            ).backward()
            norm = nn.utils.clip_grad_norm_(network.parameters(), 0.5)
            optimizer.step()
            add(norm, *network.parameters())
    return digest.hexdigest()


@functools.cache
def fingerprint(*parts: str) -> dict[str, str]:
    """Return the digests of `numpy` and `torch`, or of the one asked for, computed in a process of their own.

    What is tested may have changed this process's kernels or threads; a changed fingerprint would hide it.
    """
    command = [sys.executable, "-W", "ignore", __file__, *parts]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    found: dict[str, str] = json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
    return found


def difference(recorded: dict[str, str]) -> str | None:
    """Say in what this computer's floats differ from the recording one's; None if they do not."""
    here = fingerprint(*recorded)
    other = [
        f"{part} {here[part][:8]} instead of {recorded[part][:8]}" for part in recorded if here[part] != recorded[part]
    ]
    return f"this CPU computes other bits than the recording one (fingerprint of {', '.join(other)})" if other else None


if __name__ == "__main__":
    digests = {"numpy": numpy_digest, "torch": torch_digest}
    print(json.dumps({part: digests[part]() for part in sys.argv[1:] or digests}))
