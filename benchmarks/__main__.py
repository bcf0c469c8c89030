"""`make bench`: measures, prints, and keeps the raw numbers in benchmarks/results/."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import checkpoints, dqn_speed, logging, overhead, plans, startup, stores, transitions, warm
from benchmarks.reference import reference_python, tianshou_python

_RESULTS = Path(__file__).parent / "results"
_REPOSITORY = Path(__file__).parent.parent
_REFERENCE, _TIANSHOU = _REPOSITORY / ".venv-reference", _REPOSITORY / ".venv-tianshou"
_SECTIONS = (
    "startup",
    "checkpoints",
    "logging",
    "transitions",
    "plans",
    "stores",
    "pairs",
    "warm",
    "sb3",
    "cleanrl",
    "dqn",
)
_PACKAGES = ("rlctl", "torch", "gymnasium", "stable-baselines3", "numpy")


def main() -> None:
    """Run the chosen measurements and append them to the history."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=list(_SECTIONS), help=", ".join(_SECTIONS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reference", help="a Python with gymnasium 0.29.1, instead of making .venv-reference")
    parser.add_argument("--tianshou", help="dqn: a Python with Tianshou 2.0.0, instead of making .venv-tianshou")
    parser.add_argument("--leanrl", help="dqn: a checkout of pytorch-labs/LeanRL; without it, that peer is left out")
    parser.add_argument(
        "--shrink",
        type=int,
        default=1,
        help="dqn, logging, plans, stores, pairs, warm: divide the budgets, to see quickly that it works",
    )
    parser.add_argument("--no-history", action="store_true", help="do not keep the results")
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; numbers are ratios of pairs"
    )
    results: dict[str, Any] = {}
    if "startup" in options.what:
        results["startup"] = startup.measure(max(11, options.rounds))
        startup.report(results["startup"])
    rounds, shrink = options.rounds, options.shrink
    for name, measured, report in (
        ("checkpoints", lambda: checkpoints.measure(rounds), checkpoints.report),
        ("transitions", lambda: transitions.measure(rounds), transitions.report),
        ("plans", lambda: plans.measure(rounds, shrink), plans.report),
        ("stores", lambda: stores.measure(rounds, shrink), stores.report),
        ("pairs", lambda: plans.measure_pairs(rounds, shrink), plans.report_pairs),
        ("warm", lambda: warm.measure(rounds, shrink), warm.report),
    ):
        if name in options.what:
            results[name] = measured()
            report(results[name])
    if "logging" in options.what:
        results["logging"] = logging.measure(options.rounds, max(8_000, 60_000 // options.shrink))
        logging.report(results["logging"])
    cases = overhead.sb3_cases() if "sb3" in options.what else []
    if "cleanrl" in options.what:
        cases += overhead.cleanrl_cases(options.reference or reference_python(_REFERENCE))
    for case in cases:
        results[case.name] = overhead.measure(case, options.rounds)
        overhead.report(results[case.name])
    if "dqn" in options.what:
        pythons = (options.reference or reference_python(_REFERENCE), options.tianshou or tianshou_python(_TIANSHOU))
        results["dqn"] = dqn_speed.measure(options.rounds, *pythons, options.leanrl, options.shrink)
        dqn_speed.report(results["dqn"])
    if not options.no_history:
        _keep(results)


def _keep(results: dict[str, Any]) -> None:
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "openblas_coretype": os.environ.get("OPENBLAS_CORETYPE"),
        "versions": {name: version(name) for name in _PACKAGES},
        "results": results,
    }
    _RESULTS.mkdir(exist_ok=True)
    with (_RESULTS / "history.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    print(f"\nRaw numbers: {_RESULTS.name}/history.jsonl")


if __name__ == "__main__":
    main()
