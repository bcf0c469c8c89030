"""What the callback `transitions` costs a step of CartPole: the same steps with and without it, in turns, in this process.

It is CPU time that is taken, so that a machine with other things to do does not count them.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import spread

STEPS = 50_000
LIMIT_US = 5.0


def measure(rounds: int) -> dict[str, Any]:
    """Return microseconds a step without and with the callback, round by round, and their differences."""
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / str(index) for index in range(rounds)]
        rows = [{"bare": _seconds(None), "recorded": _seconds(place)} for place in places]
    rows = [{name: seconds / STEPS * 1e6 for name, seconds in row.items()} for row in rows]
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
