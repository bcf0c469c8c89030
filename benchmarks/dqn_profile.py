"""Which share of our DQN's training time is neither env.step nor the arithmetic of forward, backward and Adam; one process."""

from __future__ import annotations

# ruff: noqa: SLF001 - to measure the parts one must reach them
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.timing import run_once, spread

LIMIT, AIM = 0.30, 0.15
FROM, TO = 12_000, 62_000
"""The steps between which time is taken: updates have begun, and there is as much random acting as on the average."""


class Timers:
    """Seconds spent in methods that were wrapped; what the wrapping itself costs is measured and taken off."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls = 0

    def wrap(self, holder: Any, method: str, name: str) -> None:
        """Take the time of a method of an object."""
        inner: Callable[..., Any] = getattr(holder, method)
        self.seconds.setdefault(name, 0.0)

        def timed(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            result = inner(*arguments, **named)
            self.seconds[name] += time.perf_counter() - start
            self.calls += 1
            return result

        setattr(holder, method, timed)

    def reset(self) -> None:
        """Begin to count anew."""
        self.seconds, self.calls = dict.fromkeys(self.seconds, 0.0), 0

    @staticmethod
    def cost() -> float:
        """Return the seconds that wrapping adds to one call."""

        class Nothing:
            def do(self) -> None:
                pass

        def seconds(nothing: Nothing) -> float:
            start = time.perf_counter()
            for _ in range(100_000):
                nothing.do()
            return (time.perf_counter() - start) / 100_000

        plain, wrapped = Nothing(), Nothing()
        Timers().wrap(wrapped, "do", "nothing")
        return max(0.0, seconds(wrapped) - seconds(plain))


def measure(rounds: int = 3) -> dict[str, Any]:
    """Return seconds by part and in all of each round, and the shares that are neither environment nor arithmetic."""
    found: list[dict[str, Any]] = []
    for _ in range(rounds):
        _, _, out = run_once([sys.executable, "-m", "benchmarks.dqn_profile"], Path(__file__).parents[1])
        found.append(json.loads(out.splitlines()[-1]))
    shares = [1.0 - sum(one["parts"].values()) / one["total"] for one in found]
    return {"rounds": found, "shares": shares, "limit": LIMIT, "aim": AIM}


def report(result: dict[str, Any]) -> None:
    """Print the result for people."""
    middle = sorted(result["rounds"], key=lambda one: float(one["total"]))[len(result["rounds"]) // 2]
    parts = ", ".join(f"{name} {seconds / middle['total']:.0%}" for name, seconds in middle["parts"].items())
    print(f"\nwhere the time goes with 1 environment, {1e6 * middle['total'] / (TO - FROM):.1f} us a step: {parts}")
    print(f"  everything else      {spread(result['shares'])} (limit {LIMIT:g}, aim {AIM:g})")


def main() -> None:
    """Print the seconds as JSON."""
    import torch

    from rlctl.testing import fake_run
    from rlctl_dqn.config import hyperparameters
    from rlctl_dqn.environments import SyncEnvironments
    from rlctl_dqn.fast_agent import FastAgent
    from rlctl_dqn.worker import Training

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run = fake_run(Path(folder), parameters=hyperparameters("dqn"), env="CartPole-v1", total_timesteps=TO)
        training = Training(run)
    agent, envs, timers = training.agent, training.envs, Timers()
    assert isinstance(agent, FastAgent)
    assert isinstance(envs, SyncEnvironments)
    timers.wrap(envs._envs[0], "step", "env.step")
    for workspace in (agent._one, agent._learning):
        timers.wrap(workspace, "forward", "forward")
    timers.wrap(agent._learning, "backward", "backward")
    timers.wrap(agent.optimizer, "step", "Adam")
    while training.step < FROM:
        training.iterate()
    timers.reset()
    start = time.perf_counter()
    while training.step < TO:
        training.iterate()
        run.advance(training.step)
    total = time.perf_counter() - start - timers.calls * timers.cost()
    print(json.dumps({"total": total, "parts": timers.seconds}))


if __name__ == "__main__":
    main()
