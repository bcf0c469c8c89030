"""What a replay buffer of a million CartPole transitions takes, over the bytes of what is in it; by itself in a process."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import run_once

if TYPE_CHECKING:
    from rlctl_dqn.replay_buffer import ReplayBuffer

LIMIT, AIM = 1.3, 1.1
TRANSITIONS = 1_000_000
BYTES = 4 * 4 + 4 * 4 + 8 + 4 + 4
"""Of a transition: two observations of four float32, an int64 action, a float32 reward, a float32 for its end."""


def filled_buffer(observations: Sequence[NDArray[Any]], count: int) -> ReplayBuffer:
    """Return our replay buffer, full with `count` transitions from each of the observations to the next, over and over."""
    import torch

    from rlctl_dqn.replay_buffer import ReplayBuffer

    buffer = ReplayBuffer(
        count, observations[0].shape, torch.device("cpu"), dtype=observations[0].dtype.name, gamma=0.99
    )
    for index in range(count):
        observation, following = observations[index % len(observations)], observations[(index + 1) % len(observations)]
        buffer.add(observation, index % 2, 1.0, following, terminated=False)
    return buffer


def measure() -> dict[str, Any]:
    """Return the bytes of memory before the buffer and at the peak, and their difference over the contents."""
    _, _, out = run_once([sys.executable, "-m", "benchmarks.dqn_memory"], Path(__file__).parents[1])
    found: dict[str, Any] = json.loads(out)
    return {**found, "ratio": (found["peak"] - found["before"]) / (TRANSITIONS * BYTES), "limit": LIMIT, "aim": AIM}


def report(result: dict[str, Any]) -> None:
    """Print the result for people."""
    print(f"\nmemory of {TRANSITIONS:,} transitions of CartPole-v1 in the replay buffer")
    print(
        f"  at the peak          {(result['peak'] - result['before']) / 1e6:.1f} MB more than before it, "
        f"{result['ratio']:.3f} times its contents (limit {LIMIT:g}, aim {AIM:g})"
    )


def _resident(field: str) -> int:
    """Return the bytes that this process holds, VmRSS, or held at most, VmHWM; elsewhere than on Linux always the latter.

    Linux hands the peak of `getrusage` down to what a process starts, and this one's parent may have been large.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> None:
    """Print the bytes before and at the peak as JSON."""
    observations = [np.ones(4, np.float32)]
    filled_buffer(observations, 10)  # what is imported and made once is none of the buffer's memory
    before = _resident("VmRSS")
    buffer = filled_buffer(observations, TRANSITIONS)
    print(json.dumps({"transitions": buffer.size, "before": before, "peak": _resident("VmHWM")}))


if __name__ == "__main__":
    main()
