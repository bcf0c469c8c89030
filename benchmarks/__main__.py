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

from benchmarks import checkpoints, overhead, startup
from benchmarks.reference import reference_python

_RESULTS = Path(__file__).parent / "results"
_REFERENCE = Path(__file__).parent.parent / ".venv-reference"
_SECTIONS = ("startup", "checkpoints", "sb3", "cleanrl")
_PACKAGES = ("rlctl", "torch", "gymnasium", "stable-baselines3", "numpy")


def main() -> None:
    """Run the chosen measurements and append them to the history."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=list(_SECTIONS), help=", ".join(_SECTIONS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reference", help="a Python with gymnasium 0.29.1, instead of making .venv-reference")
    parser.add_argument("--no-history", action="store_true", help="do not keep the results")
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; numbers are ratios of pairs"
    )
    results: dict[str, Any] = {}
    if "startup" in options.what:
        results["startup"] = startup.measure(max(11, options.rounds))
        startup.report(results["startup"])
    if "checkpoints" in options.what:
        results["checkpoints"] = checkpoints.measure(options.rounds)
        checkpoints.report(results["checkpoints"])
    cases = [overhead.sb3_case()] if "sb3" in options.what else []
    if "cleanrl" in options.what:
        cases += overhead.cleanrl_cases(options.reference or reference_python(_REFERENCE))
    for case in cases:
        results[case.name] = overhead.measure(case, options.rounds)
        overhead.report(results[case.name])
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
