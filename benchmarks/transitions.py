"""What the callback `transitions` costs a step of CartPole: the same steps with and without it, in turns, in this process.

It is CPU time that is taken, so that a machine with other things to do does not count them. Turns are a few milliseconds, as
the speed of a machine that is shared changes within seconds; the turns of a whole chunk, which is compressed and written at
its end, make a pair.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.timing import pinned, spread

STEPS = 8_192
"""Steps of a pair: a whole chunk."""
_TURN = 512
_PAIRS = 20
"""Pairs in a round."""
LIMIT_US = 5.0


def measure(rounds: int) -> dict[str, Any]:
    """Return microseconds a step without and with the callback, pair by pair, and their differences."""
    with tempfile.TemporaryDirectory() as folder, pinned():
        rows = [_pair(Path(folder) / str(index), index) for index in range(rounds * _PAIRS)]
    costs = [row["recorded"] - row["bare"] for row in rows]
    return {"rows": rows, "costs_us": costs, "cost_us": statistics.median(costs), "limit_us": LIMIT_US}


def report(result: dict[str, Any]) -> None:
    """Print the result for people."""
    print("\ntransitions of CartPole-v1, microseconds of CPU time a step")
    for name in ("bare", "recorded"):
        print(f"  {name:<10} {spread([row[name] for row in result['rows']])}")
    print(f"  difference {spread(result['costs_us'])} (limit: median {LIMIT_US:g})")


def _pair(folder: Path, seed: int) -> dict[str, float]:
    """Return microseconds a step of both sides, over one chunk; closing, which writes it, counts."""
    envs = {"bare": _env(None, seed), "recorded": _env(folder, seed)}
    seconds = dict.fromkeys(envs, 0.0)
    actions = [envs["bare"].action_space.sample() for _ in range(_TURN)]
    for turn in range(STEPS // _TURN):
        for name in reversed(envs) if turn % 2 else envs:
            seconds[name] += _stepped(envs[name], actions)
    for name, env in envs.items():
        start = time.process_time()
        env.close()
        seconds[name] += time.process_time() - start
    return {name: value / STEPS * 1e6 for name, value in seconds.items()}


def _env(folder: Path | None, seed: int) -> Any:
    import gymnasium

    from rlctl.gym.observing import observed
    from rlctl.testing import fake_run
    from rlctl.worker.observing import EnvObserver

    env: Any = gymnasium.make("CartPole-v1")
    if folder is not None:
        options = {"chunk_steps": STEPS, "flush_seconds": 10.0, "infos": []}
        entry_point = "rlctl_callbacks.recording:Transitions"
        env = observed(env, [EnvObserver("transitions", entry_point, fake_run(folder).info, options)], 0)
    env.action_space.seed(seed)
    env.reset(seed=seed)
    return env


def _stepped(env: Any, actions: Sequence[Any]) -> float:
    """Return the CPU seconds that these actions take, with the resets in between."""
    start = time.process_time()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return time.process_time() - start
