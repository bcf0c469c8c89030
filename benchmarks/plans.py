"""What many runs cost the host: a large plan drawn, members begun and ended, two trainings side by side."""

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

from benchmarks.timing import spread
from rlctl.config.layers import Layer
from rlctl.launch.executor import Task
from rlctl.launch.warm import WarmExecutor
from rlctl.plans.running import Placing, make_ready, run_plan
from rlctl.plans.seeds import seeds_source
from rlctl.runs.files import read_json, write_json

_RLCTL = str(Path(sys.executable).with_name("rlctl"))
LIMITS = {
    "show_seconds": 2.0, "show_mb": 300, "member_ms": 5.0, "side_by_side": 1.1,
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
    """Return what a large plan and the start of many runs cost; `shrink` divides the count of runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return {
            "cores": len(os.sched_getaffinity(0)),
            "show": {form: [_shown(folder, form) for _ in range(rounds)] for form in ("tree", "json")},
            "scheduling": [_scheduling(folder / f"begun-{number}", 1_000 // shrink) for number in range(rounds)],
        }


def report(result: dict[str, Any]) -> None:
    """Print the result for people."""
    print(f"\nPlans, on {result['cores']} cores")
    for form, rounds in result["show"].items():
        wall, cpu, memory = ([item[key] for item in rounds] for key in ("wall", "cpu", "mb"))
        print(
            f"  rlctl plan show --format {form}, 10,000 members: {spread(wall)} s, CPU {spread(cpu)} s, {max(memory):.0f} MiB"
        )
    members = result["scheduling"][0]["members"]
    cpu, wall = ([item[key] for item in result["scheduling"]] for key in ("member_ms", "member_wall_ms"))
    print(
        f"  {members} runs checked, begun and ended, without their processes: CPU {spread(cpu)} ms each, wall {spread(wall)}"
    )
    print(f"  limits: {LIMITS}")


def command(*arguments: str | Path | int, folder: Path) -> dict[str, float]:
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
    return command("plan", "show", "large.json", "--format", form, folder=folder)


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
    """Return the host's time for each of many runs, with that of git: configuration, directory, schedule, end, not the worker.

    The directories of the rounds before are left: ext4 is slow to make a file where many have been removed in the last minutes.
    """
    layers = [
        Layer("benchmark", {"worker": "sb3", "algo": "ppo", "env": {"id": "CartPole-v1"}, "total_timesteps": 1000})
    ]
    ready = make_ready(
        seeds_source(layers, list(range(members)), "many"), folder / "runs", Placing(jobs=2), lambda _: None
    )
    begun, used = time.perf_counter(), cpu_seconds()
    ready.starter.warm = _Nothing()
    outcome = run_plan(ready, lambda _: None)
    wall, cpu = time.perf_counter() - begun, cpu_seconds() - used
    assert outcome.exit_code == 0, outcome
    return {"members": members, "member_ms": 1000 * cpu / members, "member_wall_ms": 1000 * wall / members}


def cpu_seconds() -> float:
    """Return the CPU seconds of this process so far, and of those that it has waited for."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in both)


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
    used = command(
        "run", "cleanrl/ppo", "-n", steps, "--seeds", seeds, "-j", 2, "--name", name, folder=folder
    )  # fmt: skip
    results = [read_json(path) or {} for path in folder.glob(f"runs/{name}.*/result.json")]
    return {"cpu": used["cpu"], "seconds": statistics.mean(result["seconds"] for result in results)}
