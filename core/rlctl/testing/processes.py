"""Worker processes for the contracts: started as rlctl starts them, but followed by the test itself."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rlctl import RunConfig, RunResult, multi_run
from rlctl.config.layers import Layer
from rlctl.config.schema import SEED_MAXIMUM, to_tree
from rlctl.launch.local import LocalExecutor
from rlctl.launch.machine import machine_facts
from rlctl.launch.prepare import prepare
from rlctl.launch.start import create_run, task_for
from rlctl.launch.warm import can_fork
from rlctl.plugins import discover
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_json, read_lines

T = TypeVar("T")


def start_worker(config: RunConfig, root: Path) -> tuple[subprocess.Popen[bytes], RunDirectory]:
    """Start a run's worker process with nobody to follow it; raises ConfigError with all problems."""
    prepared = prepare([Layer("program", to_tree(config))], discover(), lambda _: None)
    prepared.require_sound()
    directory = RunDirectory(create_run(prepared, root).directory)
    return LocalExecutor().submit(task_for(directory, prepared.effective())), directory


def wait_until(condition: Callable[[], T], seconds: float, what: str) -> T:
    """Return what `condition` returns as soon as that is true; raises AssertionError when it takes too long."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s in vain until {what}")
        time.sleep(0.02)


def members_of_group(group: int) -> list[int]:
    """Return the processes of a group that still run; zombies do not."""
    answer = subprocess.run(["ps", "-A", "-o", "pid=,pgid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in answer.stdout.splitlines()]
    return [int(row[0]) for row in rows if int(row[1]) == group and not row[2].startswith("Z")]


def has_stepped(process: subprocess.Popen[bytes], directory: RunDirectory) -> bool:
    """Return whether a worker process has taken a step; raises AssertionError if it has ended."""
    assert process.poll() is None, f"the worker ended early:\n{directory.log_tail(40)}"
    return bool((read_json(directory.status) or {}).get("step"))


def survivors(group: int) -> list[int]:
    """Return who is left of a process group; a process that is just ending gets two seconds."""
    try:
        wait_until(lambda: not members_of_group(group), 2, "the group is empty")
    except AssertionError:
        return members_of_group(group)
    return []


def train_forked(config: RunConfig, root: Path) -> RunResult | None:
    """Return a training that was forked from a warm process, beside another of the next seed; None where there are none.

    Raises AssertionError where it should have been forked and was not.
    """
    descriptor = discover().worker(config.worker or "").descriptor
    if descriptor.warm_up is None or not can_fork() or machine_facts().has_gpu:
        return None
    seeds = [config.seed, (config.seed + 1) % SEED_MAXIMUM]
    outcome = multi_run(config, seeds, runs_dir=root / "runs", name="forked")[config.seed]
    lines = read_lines(outcome.directory / "events.jsonl")
    started = [line["process"] for line in lines if line["type"] == "training_started"]
    assert started == ["forked"], (outcome.directory / "logs" / "worker.log").read_text()
    return outcome


def ask_python(source: str, *arguments: str) -> Any:
    """Run `source` in a fresh interpreter with `arguments` and return the JSON that it prints last."""
    answer = subprocess.run(
        [sys.executable, "-c", source, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    if answer.returncode != 0:
        raise AssertionError(f"exit code {answer.returncode}: {answer.stderr.strip()[-3000:]}")
    return json.loads(answer.stdout.splitlines()[-1])


FRONT = """
import json, sys
from rlctl.plugins import load_only
distribution, plugin, hook, name, *heavy = sys.argv[1:]
descriptors = [item for item in getattr(load_only(distribution, plugin), hook)() if item.name == name]
problems = []
for item in descriptors:
    for algorithm in getattr(item, "algorithms", ()):
        problems += [
            f"{algorithm.name}.{parameter.name}: {problem}"
            for parameter in algorithm.parameters()
            if not parameter.required and (problem := parameter.problem_with(parameter.default))
        ]
print(json.dumps({
    "found": len(descriptors), "problems": problems, "imported": [module for module in heavy if module in sys.modules],
}))
"""
"""Load one plugin alone, ask it for its descriptor, and say what is wrong with its defaults and what was imported."""

RESOLVES = """
import json, sys
from rlctl.descriptors import resolve
print(json.dumps(callable(resolve(sys.argv[1]))))
"""
"""Resolve an entry point in a process of its own, as only a worker may import what it needs."""

HEAVY = (
    "torch",
    "numpy",
    "gymnasium",
    "stable_baselines3",
    "tensorboard",
    "jax",
    "pandas",
    "matplotlib",
    "rich",
    "pytest",
)
"""What a plugin's front must not import: every `rlctl --help` would wait for it."""
