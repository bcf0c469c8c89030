"""Several seeds of one training: a plan of one member with a matrix, and `rlctl.multi_run`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rlctl.api import RunResult
from rlctl.config.layers import Layer, merge
from rlctl.config.schema import SEED_MAXIMUM, RunConfig, to_tree
from rlctl.errors import UsageError
from rlctl.events import Failure, Result
from rlctl.plans.reading import LARGEST, Source, expanded_range
from rlctl.plans.running import Placing, Report, make_ready, run_plan
from rlctl.plans.store import PlanStore
from rlctl.runs.directory import new_run_id
from rlctl.runs.files import read_json
from rlctl.runs.store import default_root
from rlctl.worker.making import run_info


def parse_seeds(text: str) -> list[int]:
    """Return the seeds that `0..9` or `1,5,7` or `0..3,10` means. Raises UsageError."""
    seeds: list[int] = []
    for part in text.split(","):
        found = expanded_range(part) or expanded_range(f"{part}..{part}")
        if found is None or len(found) > LARGEST:
            raise UsageError(f'--seeds: expected a range such as 0..9 or a list such as 1,5,7, got "{text}".')
        seeds += found
    return checked_seeds(seeds)


def checked_seeds(seeds: Iterable[int]) -> list[int]:
    """Return the seeds. Raises UsageError for one that is none, or there twice."""
    seeds = list(seeds)
    if not seeds:
        raise UsageError("several seeds: none is given.")
    for seed in seeds:
        if not 0 <= seed <= SEED_MAXIMUM:
            raise UsageError(f"a seed is between 0 and {SEED_MAXIMUM}, got {seed}.")
        if seeds.count(seed) > 1:
            raise UsageError(f"the seed {seed} is there twice.", hint="The same seed gives the same run.")
    return seeds


def seeds_source(layers: Iterable[Layer], seeds: list[int], name: str | None = None) -> Source:
    """Return the plan that trains what the layers describe once for each seed."""
    merged = merge(layers)
    values = dict(merged.values)
    said = [values[key] for key in ("algo", "worker") if isinstance(values.get(key), str)]
    member = (said[0] if said else "run").replace("/", "-")
    template: dict[str, Any] = {"run": values, "matrix": {"seed": seeds}}
    if values.get("time_limit") is not None:
        template["time_limit"] = values.pop("time_limit")
    origins = {f"members.{member}.run.{path}": origin for path, origin in merged.origins.items()}
    plan_id = name or f"{member}-{new_run_id()}"
    return Source(plan_id, {"name": plan_id, "members": {member: template}}, origins)


def multi_run(
    config: RunConfig,
    seeds: Iterable[int],
    *,
    jobs: int | None = None,
    name: str | None = None,
    runs_dir: str | Path | None = None,
    keep_going: bool = True,
    report: Report | None = None,
) -> dict[int, RunResult]:
    """Train the same with each of the seeds, `jobs` at a time (by default as many as there are cores), and return seed → result.

    Each is a process of its own and gives exactly what `rlctl.run` gives with that seed. The runs have the labels `plan`,
    `member` and `group`. With a `name`, the seeds of an earlier call of that name are not trained again, and those that
    were cut off go on. A seed that was never begun, as Ctrl-C came before, is not in the answer.
    Raises ConfigError or UsageError when it cannot be run; then nothing was started.
    """
    wanted = checked_seeds(seeds)
    report = report or (lambda line: print(f"rlctl: {line}", file=sys.stderr, flush=True))
    source = seeds_source([Layer("program", to_tree(config))], wanted, name)
    ready = make_ready(source, Path(runs_dir or default_root()), Placing(jobs=jobs), report)
    run_plan(ready, report, keep_going=keep_going)
    return results_of(ready.store)


def results_of(store: PlanStore) -> dict[int, RunResult]:
    """Return seed → result of those runs of a plan that have ended."""
    results = {}
    for member in store.plan.members.values():
        directory = store.standing(member).directory
        data = read_json(directory.result) if directory is not None else None
        if directory is not None and data is not None:
            failure = data.pop("failure", None)
            result = Result(**data, failure=Failure(**failure) if failure else None)
            config = (read_json(directory.config) or {})["config"]
            results[int(config["seed"])] = RunResult(run_info(directory, config), result)
    return results
