"""What `rlctl run` costs over the same training by hand, per unit of training time and once per run.

Each side is run with a small and a large budget. The difference of the two is training alone; the small one is mostly
start-up. Sides take turns, and ratios are taken within a round.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks.timing import run_once, spread
from rlctl.runs.files import read_lines

LIMIT = 1.03
_RLCTL = str(Path(sys.executable).with_name("rlctl"))
_BY_HAND = Path(__file__).parent / "by_hand"


@frozen
class Case:
    """One training, by hand and by rlctl: commands with {steps} and {seed} to fill in."""

    name: str
    by_hand: tuple[str, ...]
    rlctl: tuple[str, ...]
    small: int
    large: int
    seed: int = 1


def sb3_cases() -> list[Case]:
    """Return SB3's PPO and DQN on CartPole, as they are by default."""
    options = ("-n", "{steps}", "-s", "{seed}", "--device", "cpu", "--run-id", "{steps}")
    return [
        Case(
            f"sb3/{algo} on CartPole-v1",
            (sys.executable, str(_BY_HAND / "sb3_script.py"), algo, "CartPole-v1", "{steps}", "{seed}"),
            (_RLCTL, "run", f"sb3/{algo}", "CartPole-v1", *options),
            small,
            large,
        )
        for algo, small, large in (("ppo", 2_048, 63_488), ("dqn", 2_000, 42_000))
    ]


def cleanrl_cases(reference_python: str) -> list[Case]:
    """Return CleanRL's scripts; by hand they run bare, in an environment with gymnasium 0.29.1."""
    from rlctl_cleanrl.sources import ensure

    source = ensure(None, print).path
    cases = []
    for algo, env, small, large, extra in (
        ("ppo", "CartPole-v1", 5_120, 66_560, {}),
        ("dqn", "CartPole-v1", 2_000, 62_000, {"learning_starts": 1_000}),
    ):
        script = str(source / "cleanrl" / f"{algo}.py")
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in extra.items()]
        by_hand = (
            reference_python, str(_BY_HAND / "cleanrl_script.py"), script, "--env-id", env,
            "--seed", "{seed}", "--total-timesteps", "{steps}", "--cuda", "False", *flags,
        )  # fmt: skip
        sets = [word for name, value in extra.items() for word in ("--set", f"hyperparameters.{name}={value}")]
        options = ("-n", "{steps}", "-s", "{seed}", "--device", "cpu", "--run-id", "{steps}", *sets)
        cases.append(
            Case(f"cleanrl/{algo} on {env}", by_hand, (_RLCTL, "run", f"cleanrl/{algo}", env, *options), small, large)
        )
    return cases


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Return wall and CPU seconds per side, budget and round, the ratios, and whether all episode returns are equal."""
    rows: list[dict[str, Any]] = []
    same = True
    for _ in range(rounds):
        row: dict[str, Any] = {}
        returns: dict[str, Any] = {}
        for budget in (case.small, case.large):
            for side, command in (("by_hand", case.by_hand), ("rlctl", case.rlctl)):
                filled = [word.format(steps=budget, seed=case.seed) for word in command]
                with tempfile.TemporaryDirectory() as folder:
                    wall, cpu, out = run_once(filled, Path(folder))
                    returns[side] = _returns(side, out, Path(folder), budget)
                row[f"{side}_{budget}"] = {"wall": wall, "cpu": cpu}
            same = same and _equal(returns["by_hand"], returns["rlctl"])
        rows.append(row)
    return {"case": case.name, "rounds": rounds, "same_returns": same, "limit": LIMIT, **_figures(case, rows)}


def _returns(side: str, out: str, folder: Path, budget: int) -> list[float]:
    if side == "by_hand":
        return [float(value) for value in json.loads(out.splitlines()[-1])]
    return [line["return"] for line in read_lines(folder / "runs" / str(budget) / "episodes.jsonl")]


def _equal(by_hand: list[float], ours: list[float]) -> bool:
    """Return whether what was logged by hand is what we recorded; scripts log one episode a step, we every one."""
    remaining = iter(ours)
    return bool(by_hand) and all(any(value == mine for mine in remaining) for value in by_hand)


def _figures(case: Case, rows: list[dict[str, Any]]) -> dict[str, Any]:
    figures: dict[str, Any] = {"rows": rows}
    for clock in ("wall", "cpu"):
        training = {
            side: [row[f"{side}_{case.large}"][clock] - row[f"{side}_{case.small}"][clock] for row in rows]
            for side in ("by_hand", "rlctl")
        }
        ratios = [ours / theirs for ours, theirs in zip(training["rlctl"], training["by_hand"], strict=True)]
        starts = [row[f"rlctl_{case.small}"][clock] - row[f"by_hand_{case.small}"][clock] for row in rows]
        figures[clock] = {
            "training_by_hand": training["by_hand"],
            "ratios": ratios,
            "ratio": statistics.median(ratios),
            "extra_start_seconds": statistics.median(starts),
        }
    return figures


def report(result: dict[str, Any]) -> None:
    """Print the result for people."""
    print(f"\n{result['case']}: rlctl against by hand, {result['rounds']} interleaved rounds")
    for clock in ("wall", "cpu"):
        figures = result[clock]
        print(
            f"  {clock:<4} training takes {spread(figures['ratios'])} times as long (limit {result['limit']}; "
            f"{statistics.median(figures['training_by_hand']):.1f} s by hand), start-up {figures['extra_start_seconds']:+.2f} s"
        )
    print(f"  episode returns equal to the last bit: {'yes' if result['same_returns'] else 'NO'}")
