"""How long the command line takes to answer, against importing the libraries that it is made of."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.timing import median_of_ratios, run_once, spread

LIMIT = 1.6
_RLCTL = str(Path(sys.executable).with_name("rlctl"))
_COMMANDS = {
    "import click, pluggy, attrs, cattrs": [sys.executable, "-c", "import click, pluggy, attrs, cattrs"],
    "rlctl workers list": [_RLCTL, "workers", "list"],
    "rlctl --help": [_RLCTL, "--help"],
}


def measure(rounds: int) -> dict[str, Any]:
    """Return CPU and wall seconds of each command over all rounds, and their ratios to the imports alone."""
    walls: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    cpus: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for name, command in _COMMANDS.items():
                wall, cpu, _ = run_once(command, Path(folder))
                if number:  # the first round warms the file cache
                    walls[name].append(wall)
                    cpus[name].append(cpu)
    base = next(iter(_COMMANDS))
    ratios = {name: median_of_ratios(walls[name], walls[base]) for name in _COMMANDS if name != base}
    return {"rounds": rounds, "wall": walls, "cpu": cpus, "ratios": ratios, "limit": LIMIT}


def report(result: dict[str, Any]) -> None:
    """Print the result for people."""
    print(f"\nCommand line, {result['rounds']} interleaved rounds, seconds: median (min to max)")
    for name, values in result["wall"].items():
        ratio = result["ratios"].get(name)
        told = "" if ratio is None else f"  {ratio:.2f} times the imports alone (limit {result['limit']})"
        print(f"  {name:<38} {spread(values)}{told}")
