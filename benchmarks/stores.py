"""What a store of many runs costs: the list of them, and finding one by its name, its id, or as the newest."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.plans import command, cpu_seconds
from benchmarks.timing import spread
from rlctl.runs.directory import create, new_run_id
from rlctl.runs.files import write_json
from rlctl.runs.store import RunStore

LIMITS = {"list_seconds": 0.5}


def measure(rounds: int, shrink: int = 1) -> dict[str, Any]:
    """Return the wall and CPU seconds of commands over 10,000 runs that ended an hour ago; `shrink` divides that."""
    runs = 10_000 // shrink
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "runs"
        for number in range(runs):
            _ended_run(root, number)
        references = {"name": f"run {runs // 2}", "id": new_run_id(), "latest": "@latest"}
        _ended_run(root, runs, references["id"])
        cold = command("runs", "list", folder=folder)
        commands = {"list": ("list",), **{kind: ("show", reference) for kind, reference in references.items()}}
        return {
            "runs": runs,
            "cold": cold,
            "warm": {
                kind: [command("runs", *words, folder=folder) for _ in range(rounds)]
                for kind, words in commands.items()
            },
            "rows_cpu": [_rows_cpu(root, runs + 1) for _ in range(rounds)],
        }


def report(result: dict[str, Any]) -> None:
    """Print the result for people."""
    print(f"\nA store of {result['runs']} runs; its list without the index {result['cold']['wall']:.2f} s, with it:")
    for kind, rounds in result["warm"].items():
        wall, cpu = ([item[key] for item in rounds] for key in ("wall", "cpu"))
        words = "rlctl runs list" if kind == "list" else f"rlctl runs show, by {kind}"
        print(f"  {words}: {spread(wall)} s, CPU {spread(cpu)} s")
    print(f"  the rows of the list alone: CPU {spread(result['rows_cpu'])} s")
    print(f"  limits: {LIMITS}")


def _rows_cpu(root: Path, runs: int) -> float:
    used = cpu_seconds()
    assert sum(1 for _ in RunStore(root).rows()) == runs
    return cpu_seconds() - used


def _ended_run(root: Path, number: int, run_id: str | None = None) -> None:
    hyperparameters = {f"parameter_{index}": index for index in range(20)}
    config = {
        "worker": "sb3", "algo": "ppo", "env": {"id": "CartPole-v1"}, "seed": number, "name": f"run {number}",
        "labels": {"group": "many"}, "hyperparameters": hyperparameters,
    }  # fmt: skip
    with patch("os.fsync", lambda _: None), patch("rlctl.runs.files.sync_directory", lambda _: None):
        files = {"config.json": {"config": config}, "manifest.json": {}, "status.json": {"state": "running"}}
        run = create(root, run_id or new_run_id(), files)
        run.release_reserve()
        write_json(
            run.result, {"status": "finished", "step": 1000, "episodes": 10, "return_mean": 21.5, "seconds": 3.0}
        )
    for file in (run.config, run.result):
        os.utime(file, (time.time() - 3600, time.time() - 3600))
