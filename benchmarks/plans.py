"""What many runs cost the host: a large plan drawn, members begun and ended, a store listed, two trainings side by side."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.timing import spread
from rlctl.config.layers import Layer
from rlctl.launch.executor import Task
from rlctl.launch.warm import WarmExecutor
from rlctl.plans.running import Placing, make_ready, run_plan
from rlctl.plans.seeds import seeds_source
from rlctl.runs.directory import create, new_run_id
from rlctl.runs.files import read_json, write_json
from rlctl.runs.store import RunStore

_RLCTL = str(Path(sys.executable).with_name("rlctl"))
LIMITS = {
    "show_seconds": 2.0, "show_mb": 300, "member_ms": 5.0, "list_seconds": 0.5, "side_by_side": 1.1,
}  # fmt: skip
_LARGE = {
    "defaults": {"worker": "sb3", "algo": "ppo", "total_timesteps": 1000},
    "members": {
        "train": {
            "run": {},
            "matrix": {"seed": "0..99", "hyperparameters.n_steps": [8 * number for number in range(1, 51)]},
        },
        "judge": {"evaluate": {"of": "train", "episodes": 5}},
    },
}
"""100 seeds times 50 values, and an evaluation of each: 10,000 members."""


def measure(rounds: int, shrink: int = 1) -> dict[str, Any]:
    """Return what a large plan, the start of many runs and a long list cost; `shrink` divides the counts of runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return {
            "cores": len(os.sched_getaffinity(0)),
            "show": {form: [_shown(folder, form) for _ in range(rounds)] for form in ("tree", "json")},
            "scheduling": _scheduling(folder / "scheduling", 1_000 // shrink),
            "list": _listing(folder / "listing", 10_000 // shrink, rounds),
        }


def report(result: dict[str, Any]) -> None:
    """Print the result for people."""
    print(f"\nPlans and stores, on {result['cores']} cores")
    for form, rounds in result["show"].items():
        wall, cpu, memory = ([item[key] for item in rounds] for key in ("wall", "cpu", "mb"))
        print(
            f"  rlctl plan show --format {form}, 10,000 members: {spread(wall)} s, CPU {spread(cpu)} s, {max(memory):.0f} MiB"
        )
    scheduling, listed = result["scheduling"], result["list"]
    print(
        f"  {scheduling['members']} runs checked, begun and ended, without their processes: {scheduling['member_ms']:.2f} ms each"
    )
    print(f"  rlctl runs list, {listed['runs']} runs, first {listed['cold']:.2f} s, then {spread(listed['warm'])} s")
    print(f"    CPU {spread(listed['warm_cpu'])} s, of which the list itself {spread(listed['rows_cpu'])} s")
    print(f"  limits: {LIMITS}")


def _command(*arguments: str | Path | int, folder: Path) -> dict[str, float]:
    """Run rlctl; return its wall and CPU seconds, those of its processes included, and its own peak of memory in MiB."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [_RLCTL, *map(str, arguments)], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"rlctl {' '.join(map(str, arguments))} exited with {process.returncode}")
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "mb": used.ru_maxrss / 1024}


def _shown(folder: Path, form: str) -> dict[str, float]:
    (folder / "large.json").write_text(json.dumps(_LARGE))
    return _command("plan", "show", "large.json", "--format", form, folder=folder)


class _Nothing(WarmExecutor):
    """Ends each run at once, without a process: what is left is the host's own work."""

    def submit(self, task: Task) -> Any:
        write_json(Path(task.argv[-1]) / "result.json", {"status": "finished", "reason": "", "step": 0, "episodes": 0})
        return None

    def poll(self, handle: Any) -> int | None:
        return 0

    def kill(self, handle: Any) -> None:
        pass


def _scheduling(folder: Path, members: int) -> dict[str, Any]:
    """Return the host's time for each of many runs: configuration, directory, schedule, end, all but the process."""
    layers = [
        Layer("benchmark", {"worker": "sb3", "algo": "ppo", "env": {"id": "CartPole-v1"}, "total_timesteps": 1000})
    ]
    ready = make_ready(
        seeds_source(layers, list(range(members)), "many"), folder / "runs", Placing(jobs=2), lambda _: None
    )
    begun, used = time.perf_counter(), _own_cpu()
    ready.starter.warm = _Nothing()
    outcome = run_plan(ready, lambda _: None)
    wall, cpu = time.perf_counter() - begun, _own_cpu() - used
    assert outcome.exit_code == 0, outcome
    return {"members": members, "member_ms": 1000 * cpu / members, "member_wall_ms": 1000 * wall / members}


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _listing(folder: Path, runs: int, rounds: int) -> dict[str, Any]:
    """Return the seconds of `runs list` over a store of runs that ended an hour ago, without and with its index."""
    root = folder / "runs"
    for number in range(runs):
        _ended_run(root, number)
    cold = _command("runs", "list", folder=folder)
    warm = [_command("runs", "list", folder=folder) for _ in range(rounds)]
    rows_cpu = []
    for _ in range(rounds):
        used = _own_cpu()
        assert sum(1 for _ in RunStore(root).rows()) == runs
        rows_cpu.append(_own_cpu() - used)
    warm_walls, warm_cpu = ([item[key] for item in warm] for key in ("wall", "cpu"))
    return {"runs": runs, "cold": cold["wall"], "warm": warm_walls, "warm_cpu": warm_cpu, "rows_cpu": rows_cpu}


def _ended_run(root: Path, number: int) -> None:
    hyperparameters = {f"parameter_{index}": index for index in range(20)}
    config = {
        "worker": "sb3", "algo": "ppo", "env": {"id": "CartPole-v1"}, "seed": number, "name": f"run {number}",
        "labels": {"group": "many"}, "hyperparameters": hyperparameters,
    }  # fmt: skip
    with patch("os.fsync", lambda _: None), patch("rlctl.runs.files.sync_directory", lambda _: None):
        files = {"config.json": {"config": config}, "manifest.json": {}, "status.json": {"state": "running"}}
        run = create(root, new_run_id(), files)
        run.release_reserve()
        write_json(
            run.result, {"status": "finished", "step": 1000, "episodes": 10, "return_mean": 21.5, "seconds": 3.0}
        )
    for file in (run.config, run.result):
        os.utime(file, (time.time() - 3600, time.time() - 3600))


def measure_pairs(rounds: int, shrink: int = 1) -> dict[str, Any]:
    """Return, for two of CleanRL's trainings at once over one alone, the ratios of training time and of the CPU time of each."""
    steps, walls, cpus = 20_000 // shrink, [], []
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            one = _trained(Path(name), f"alone-{number}", "0..0", steps)
            two = _trained(Path(name), f"together-{number}", "0..1", steps)
            walls.append(two["seconds"] / one["seconds"])
            cpus.append(two["cpu"] / 2 / one["cpu"])
    return {"cores": len(os.sched_getaffinity(0)), "steps": steps, "wall": walls, "cpu": cpus}


def report_pairs(result: dict[str, Any]) -> None:
    """Print the result for people."""
    print(f"\nTwo of CleanRL's ppo side by side over one alone, on {result['cores']} cores (two are meant)")
    print(f"  wall {spread(result['wall'])}, CPU of each {spread(result['cpu'])}, limit {LIMITS['side_by_side']}")


def _trained(folder: Path, name: str, seeds: str, steps: int) -> dict[str, float]:
    used = _command(
        "run", "cleanrl/ppo", "-n", steps, "--seeds", seeds, "-j", 2, "--name", name, folder=folder
    )  # fmt: skip
    results = [read_json(path) or {} for path in folder.glob(f"runs/{name}.*/result.json")]
    return {"cpu": used["cpu"], "seconds": statistics.mean(result["seconds"] for result in results)}
