"""How fast our DQN trains, against its peers: steps per second on CartPole-v1 on one core, start-up left out.

Each side is run with a small and a large budget, both beyond the first update; the difference of the two is training alone.
Exploration falls over half of each budget, so its mean share is the same in both, but for the first 10,000 steps of SB3 and
Tianshou, which are all random. Sides take turns, in the order of TURNS, and ratios are taken within a round. A faster side
has a larger budget, so that all are measured over seconds.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks import dqn_memory, dqn_profile, dqn_sides, dqn_updates
from benchmarks.dqn_sides import SMALL, Side
from benchmarks.timing import pinned, run_once, spread

NO_LEANRL = "not measured: give --leanrl a checkout of pytorch-labs/LeanRL"


@frozen
class Case:
    """Two sides, and how many times as fast ours is to be: at least `limit`, better `aim`."""

    ours: str
    peer: str
    limit: float
    aim: float


CASES = (
    Case("rlctl", "CleanRL", 5, 6),
    Case("rlctl", "SB3", 6.5, 8),
    Case("rlctl", "LeanRL", 5, 6),
    Case("rlctl", "Tianshou", 18, 22),
    Case("rlctl, 16 envs", "CleanRL", 6.5, 9),
    Case("rlctl, 16 envs", "SB3, 8 envs", 6, 8.5),
    Case("rlctl, 64 envs", "CleanRL", 9, 12),
    Case("rlctl, every step", "CleanRL, every step", 4.8, 6.5),
    Case("rlctl, 16 envs, every step", "CleanRL, every step", 5.5, 8),
    Case("rlctl, every step, batch 64", "CleanRL, every step, batch 64", 6, 8),
    Case("rlctl, 16 envs, every step, batch 64", "CleanRL, every step, batch 64", 7.5, 11),
    Case("rlctl c51, PyTorch, every step", "CleanRL c51.py, every step", 1.3, 2.5),
)

TURNS = (
    ("Tianshou", "SB3", "rlctl", "LeanRL", "CleanRL", "rlctl, 64 envs", "rlctl, 16 envs", "SB3, 8 envs"),
    ("rlctl, every step", "CleanRL, every step", "rlctl, 16 envs, every step"),
    ("rlctl, every step, batch 64", "CleanRL, every step, batch 64", "rlctl, 16 envs, every step, batch 64"),
    ("rlctl c51, PyTorch, every step", "CleanRL c51.py, every step"),
)
"""The order of a round: who is compared stands close together, as the machine's speed changes within minutes."""


def measure(rounds: int, reference: str, tianshou: str, leanrl: str | None, shrink: int) -> dict[str, Any]:
    """Return seconds and steps per second of each side and round, the ratios, updates alone, and the buffer's memory."""
    checkout = None if leanrl is None else Path(leanrl)
    sides = {
        **dqn_sides.ours(),
        **dqn_sides.cleanrl(reference),
        **dqn_sides.sb3(),
        **({} if checkout is None else dqn_sides.leanrl(reference, checkout)),
        **dqn_sides.tianshou(tianshou),
    }
    peers = dqn_sides.peers_versions(reference, tianshou, checkout)
    rows: list[dict[str, Any]] = []
    with pinned() as core:
        for number in range(rounds):
            print(f"dqn: round {number + 1} of {rounds}, {len(sides)} sides", flush=True)
            turns = [name for group in TURNS for name in group if name in sides]
            rows.append({name: _one(sides[name], number + 1, shrink) for name in turns})
        alone = {
            "updates": dqn_updates.measure(max(11, rounds)),
            "profile": dqn_profile.measure(),
            "memory": dqn_memory.measure(),
        }
    figures = {"rows": rows, "cases": [_figures(case, rows) for case in CASES], **alone}
    return {"rounds": rounds, "core": core, "shrink": shrink, "peers": peers, **figures}


def _one(side: Side, seed: int, shrink: int) -> dict[str, Any]:
    """Return both budgets with their seconds, and steps per second between them."""
    budgets = (SMALL, SMALL + (side.large - SMALL) // shrink)
    seconds: list[dict[str, float]] = []
    for budget in budgets:
        filled = [word.format(steps=budget, seed=seed) for word in side.command]
        with tempfile.TemporaryDirectory() as folder:
            wall, cpu, _ = run_once(filled, Path(folder), side.environment)
        seconds.append({"wall": wall, "cpu": cpu})
    speed = {clock: (budgets[1] - budgets[0]) / (seconds[1][clock] - seconds[0][clock]) for clock in ("wall", "cpu")}
    return {"budgets": budgets, "seconds": seconds, "steps_per_second": speed}


def _figures(case: Case, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a case with the speed of both and their ratio, by clock and round; without them where the peer is missing."""
    figures: dict[str, Any] = {"ours": case.ours, "peer": case.peer, "limit": case.limit, "aim": case.aim}
    if case.peer not in rows[0]:
        return figures
    for clock in ("wall", "cpu"):
        ours = [row[case.ours]["steps_per_second"][clock] for row in rows]
        theirs = [row[case.peer]["steps_per_second"][clock] for row in rows]
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        figures[clock] = {"ours": ours, "peer": theirs, "ratios": ratios, "ratio": statistics.median(ratios)}
    return figures


def report(result: Mapping[str, Any]) -> None:
    """Print the result for people."""
    where = "cores as the system likes" if result["core"] is None else f"core {result['core']}"
    kernels = os.environ.get("OPENBLAS_CORETYPE")
    print(
        f"\ndqn on CartPole-v1, steps/s of training, {result['rounds']} interleaved rounds on {where}"
        + (f", OPENBLAS_CORETYPE={kernels}" if kernels else "")
        + (f"; budgets divided by {result['shrink']}: too short to count" if result["shrink"] > 1 else "")
    )
    print("  one core, one thread; an update of batch 128 for ten steps, unless said otherwise")
    print(f"  {'ours':<37} {'steps/s':>7}  {'peer':<29} {'steps/s':>7}  {'ratio, wall':<26} {'CPU':<26} limit   aim")
    for case in result["cases"]:
        print(_line(case))
    print(
        f"  wall seconds for each CPU second, over all runs: {_waiting(result['rows']):.2f}; far above 1, only CPU counts"
    )
    dqn_updates.report(result["updates"])
    dqn_profile.report(result["profile"])
    dqn_memory.report(result["memory"])


def _waiting(rows: list[dict[str, Any]]) -> float:
    """Return wall over CPU seconds: a process on one core has no reason to wait but a busy machine."""
    seconds = [budget for row in rows for side in row.values() for budget in side["seconds"]]
    return float(sum(budget["wall"] for budget in seconds) / sum(budget["cpu"] for budget in seconds))


def _line(case: Mapping[str, Any]) -> str:
    if "wall" not in case:
        return f"  {case['ours']:<37} {'':>7}  {case['peer']:<29} {NO_LEANRL} (limit {case['limit']:g}, aim {case['aim']:g})"
    wall, cpu = case["wall"], case["cpu"]
    speeds = [f"{statistics.median(wall[side]):.0f}" for side in ("ours", "peer")]
    return (
        f"  {case['ours']:<37} {speeds[0]:>7}  {case['peer']:<29} {speeds[1]:>7}  {spread(wall['ratios']):<26} "
        f"{spread(cpu['ratios']):<26} {case['limit']:>5g} {case['aim']:>5g}"
    )
