"""What one update costs our plain PyTorch agent, against SB3's of the same network, loss and clipping; sampling included."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from benchmarks.dqn_memory import filled_buffer
from benchmarks.timing import run_once, spread

LIMIT, AIM = 1.3, 2.5
_HELD = 1_000


@frozen
class Network:
    """A network and its observations; `peer` is whether SB3 has the same one. `updates` take some tenths of a second."""

    shape: tuple[int, ...]
    dtype: str
    batch_size: int
    updates: int
    settings: dict[str, Any] = field(factory=dict)
    peer: bool = True

    def observations(self) -> list[NDArray[Any]]:
        """Return as many random ones as both buffers hold."""
        generator, top = np.random.default_rng(1), 256 if self.dtype == "uint8" else 1
        return [(generator.random(self.shape) * top).astype(self.dtype) for _ in range(_HELD)]


NETWORKS = {
    "MLP 120-84, batch 128": Network((4,), "float32", 128, 200),
    "the same, dueling": Network((4,), "float32", 128, 200, {"dueling": True}, peer=False),
    "NatureCNN of (4, 84, 84) uint8, batch 32": Network((4, 84, 84), "uint8", 32, 10),
}


def measure(rounds: int) -> dict[str, Any]:
    """Return the wall and CPU seconds per update of each network and side, one of each for a round."""
    _, _, out = run_once([sys.executable, "-m", "benchmarks.dqn_updates", str(rounds)], Path(__file__).parents[1])
    return {"rounds": rounds, "seconds": json.loads(out.splitlines()[-1]), "limit": LIMIT, "aim": AIM}


def report(result: dict[str, Any]) -> None:
    """Print the result for people."""
    print(f"\nan update of path=reference against SB3's, {result['rounds']} interleaved rounds: how many times as fast")
    for name, sides in result["seconds"].items():
        ratios = {
            clock: [theirs / mine for mine, theirs in zip(sides["ours"][clock], sides["peer"][clock], strict=True)]
            for clock in ("wall", "cpu")
        }
        milliseconds = statistics.median(sides["ours"]["wall"]) * 1e3
        bounds = f"limit {LIMIT:g}, aim {AIM:g}" if NETWORKS[name].peer else "SB3 has none: against its plain one"
        print(
            f"  {name:<40} {milliseconds:6.2f} ms  wall {spread(ratios['wall'])}, CPU {spread(ratios['cpu'])} ({bounds})"
        )


def _ours(network: Network) -> Callable[[], None]:
    """Return a function that samples and updates our agent. It clips and has the Huber loss, as SB3's always do."""
    import torch

    from rlctl_dqn.agent import DqnAgent
    from rlctl_dqn.config import DqnHyperparameters

    both: dict[str, Any] = {
        "path": "reference",
        "loss": "huber",
        "max_grad_norm": 10.0,
        "batch_size": network.batch_size,
    }
    settings = DqnHyperparameters(**both, **network.settings)
    agent = DqnAgent(network.shape, 2, settings, torch.device("cpu"), 1, dtype=network.dtype)
    buffer, generator = filled_buffer(network.observations(), _HELD), np.random.default_rng(1)

    def update() -> None:
        agent.learn(buffer, buffer.draw(generator.random(network.batch_size)))

    return update


def _sb3(network: Network) -> Callable[[], None]:
    """Return a function that samples and updates SB3's agent."""
    from stable_baselines3 import DQN
    from stable_baselines3.common.envs import FakeImageEnv
    from stable_baselines3.common.logger import Logger

    arguments: dict[str, Any] = {"buffer_size": _HELD, "seed": 1, "device": "cpu", "learning_rate": 2.5e-4}
    if network.dtype == "uint8":
        frames, height, width = network.shape
        images = FakeImageEnv(2, height, width, frames, discrete=True, channel_first=True)
        model = DQN("CnnPolicy", images, **arguments)
    else:
        model = DQN("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [120, 84]}, **arguments)
    model.set_logger(Logger(None, []))
    observations, buffer = network.observations(), model.replay_buffer
    assert buffer is not None
    for index, observation in enumerate(observations):
        before = observations[index - 1]
        buffer.add(before[None], observation[None], np.array([index % 2]), np.ones(1), np.zeros(1), [{}])
    return lambda: model.train(gradient_steps=1, batch_size=network.batch_size)


def _seconds(update: Callable[[], None], count: int) -> dict[str, float]:
    """Return the wall and CPU seconds of one of `count` updates."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        update()
    return {"wall": (time.perf_counter() - wall) / count, "cpu": (time.process_time() - cpu) / count}


def main(words: Sequence[str]) -> None:
    """Print the seconds per update as JSON; both sides of a network take turns."""
    import torch

    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name, network in NETWORKS.items():
        sides = {"ours": _ours(network), "peer": _sb3(network)}
        for update in sides.values():
            _seconds(update, max(3, network.updates // 5))
        rounds = [
            {side: _seconds(update, network.updates) for side, update in sides.items()} for _ in range(int(words[0]))
        ]
        found[name] = {
            side: {clock: [row[side][clock] for row in rounds] for clock in ("wall", "cpu")} for side in sides
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
