"""Many short trainings: ours, forked from a warm process, against fresh processes by hand, and one of them against none at all."""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs

from benchmarks.timing import run_once, spread
from rlctl import EnvConfig, RunConfig
from rlctl.config.layers import Layer
from rlctl.config.schema import to_tree
from rlctl.launch.prepare import Prepared, prepare
from rlctl.launch.start import create_run, task_for, warm_up_of
from rlctl.launch.warm import WarmExecutor
from rlctl.plugins import discover
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_lines

LIMITS = {"times_faster": 5.0, "over_in_process_ms": 50.0}
_RLCTL = str(Path(sys.executable).with_name("rlctl"))
_BY_HAND = Path(__file__).parent / "by_hand"
_STEPS = {"ppo": 2_048, "dqn": 2_000}


def measure(rounds: int, shrink: int = 1) -> dict[str, Any]:
    """Return what 64 / `shrink` short trainings cost on two slots, by hand and by us, and what a single warm one costs."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "many": {algo: _many(algo, max(2, 64 // shrink)) for algo in _STEPS},
        "single": {algo: _single(algo, max(3, 2 * rounds)) for algo in _STEPS},
    }


def report(result: dict[str, Any]) -> None:
    """Print the result for people."""
    print(f"\nShort trainings of SB3 on CartPole-v1, one thread each, on {result['cores']} cores")
    for algo, item in result["many"].items():
        ours, theirs = item["rlctl"], item["xargs"]
        print(
            f"  {item['runs']} times {algo}, {_STEPS[algo]} steps, 2 slots: rlctl {ours['wall']:.1f} s, CPU {ours['cpu']:.1f} s; "
            f"xargs -P2 {theirs['wall']:.1f} s, CPU {theirs['cpu']:.1f} s: {theirs['wall'] / ours['wall']:.2f} times faster, "
            f"CPU {theirs['cpu'] / ours['cpu']:.2f} times less; all returns equal: {'yes' if item['same'] else 'NO'}"
        )
    for algo, rows in result["single"].items():
        for clock in ("wall", "cpu"):
            more = [1000 * (row["forked"][clock] - row["in_process"][clock]) for row in rows]
            own = statistics.median(row["in_process"][clock] for row in rows)
            print(
                f"  one warm {algo} over the same in a process that goes on, {clock}: {spread(more)} ms ({own:.2f} s)"
            )
    print(f"  limits: {LIMITS}")


def _many(algo: str, runs: int) -> dict[str, Any]:
    script = f"{sys.executable} {_BY_HAND / 'sb3_script.py'} {algo} CartPole-v1 {_STEPS[algo]}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        each = f"seq 0 {runs - 1} | xargs -P2 -I@ sh -c {shlex.quote(f'{script} @ > @.json')}"
        by_hand = run_once(["sh", "-c", each], folder)
        options = ("-n", str(_STEPS[algo]), "--device", "cpu", "--seeds", f"0..{runs - 1}", "-j", "2", "--name", "many")
        ours = run_once([_RLCTL, "run", f"sb3/{algo}", "CartPole-v1", *options], folder)
        same = all(
            json.loads((folder / f"{seed}.json").read_text()) == _returns(next(folder.glob(f"runs/*seed={seed}.*")))
            for seed in range(runs)
        )
    sides = {"xargs": by_hand, "rlctl": ours}
    return {"runs": runs, "same": same, **{side: {"wall": took[0], "cpu": took[1]} for side, took in sides.items()}}


def _returns(run: Path) -> list[float]:
    return [line["return"] for line in read_lines(run / "episodes.jsonl")]


def _single(algo: str, pairs: int) -> list[dict[str, Any]]:
    """Return, of each pair, the seconds of a forked run, from the request to its end, and of the training alone."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(_BY_HAND / "sb3_many.py"), algo, "CartPole-v1", str(_STEPS[algo])]
    executor, rows = WarmExecutor(), []
    with tempfile.TemporaryDirectory() as name, subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as going_on:  # fmt: skip
        assert going_on.stdin is not None and going_on.stdout is not None
        for seed in range(pairs + 1):
            forked = _forked(executor, _prepared(algo, seed), Path(name))
            print(seed, file=going_on.stdin, flush=True)
            rows.append({"forked": forked, "in_process": json.loads(going_on.stdout.readline())})
        going_on.stdin.close()
    executor.close()
    return rows[1:]  # in the first one both warm up


def _prepared(algo: str, seed: int) -> Prepared:
    config = RunConfig(
        worker="sb3", algo=algo, env=EnvConfig(id="CartPole-v1"), total_timesteps=_STEPS[algo], seed=seed, device="cpu",
        callbacks={"progress": False},
    )  # fmt: skip
    return prepare([Layer("benchmark", to_tree(config))], discover(), lambda _: None)


def _forked(executor: WarmExecutor, prepared: Prepared, root: Path) -> dict[str, float]:
    begun = time.perf_counter()
    directory = RunDirectory(create_run(prepared, root).directory)
    task = task_for(directory, prepared.effective())
    handle = executor.submit(attrs.evolve(task, warm_up=warm_up_of(prepared)))
    code = handle.wait()
    wall = time.perf_counter() - begun
    assert handle.pid is not None, directory.log_tail()  # it was not forked
    fields = Path(f"/proc/{handle.pid}/stat").read_text().rpartition(")")[2].split()  # of a zombie, until it is killed
    executor.kill(handle)
    assert code == 0, directory.log_tail()
    return {"wall": wall, "cpu": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")}
