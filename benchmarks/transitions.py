"""What the callback `transitions` costs a step of CartPole: the same steps with and without it, in turns, in this process.

It is CPU time that is taken, so that a machine with other things to do does not count them. Turns are short, a chunk each, as
the speed of a machine that is shared changes within seconds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import pinned, spread

STEPS = 8_192
"""Steps of a turn: a whole chunk, which is compressed and written within it."""
_TURNS = 20
"""Pairs of turns in a round."""
LIMIT_US = 5.0


def measure(rounds: int) -> dict[str, Any]:
    """Return microseconds a step without and with the callback, pair by pair, and their differences."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, pinned():
        for index in range(rounds * _TURNS):
            place = Path(folder) / str(index)
            sides = {"bare": None, "recorded": place}
            order = reversed(sides) if index % 2 else sides
            seconds = {name: _seconds(sides[name]) for name in order}
            rows.append({name: seconds[name] / STEPS * 1e6 for name in sides})
    costs = [row["recorded"] - row["bare"] for row in rows]
    return {"rows": rows, "costs_us": costs, "cost_us": statistics.median(costs), "limit_us": LIMIT_US}


def report(result: dict[str, Any]) -> None:
    """Print the result for people."""
    print("\ntransitions of CartPole-v1, microseconds of CPU time a step")
    for name in ("bare", "recorded"):
        print(f"  {name:<10} {spread([row[name] for row in result['rows']])}")
    print(f"  difference {spread(result['costs_us'])} (limit: median {LIMIT_US:g})")


def _seconds(folder: Path | None) -> float:
    """Return the CPU seconds that the steps take, those in which chunks are written included."""
    import gymnasium

    from rlctl.gym.observing import observed
    from rlctl.testing import fake_run
    from rlctl.worker.observing import EnvObserver

    env: Any = gymnasium.make("CartPole-v1")
    if folder is not None:
        options = {"chunk_steps": 8192, "flush_seconds": 10.0, "infos": []}
        entry_point = "rlctl_callbacks.recording:Transitions"
        env = observed(env, [EnvObserver("transitions", entry_point, fake_run(folder).info, options)], 0)
    env.action_space.seed(1)
    actions = [env.action_space.sample() for _ in range(STEPS)]
    env.reset(seed=1)
    start = time.process_time()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    env.close()
    return time.process_time() - start
