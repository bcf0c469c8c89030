"""Proves that a training resumes as declared: once in one go, once stopped and resumed, and the two compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from attrs import frozen

from rlctl import api
from rlctl.config.layers import Layer
from rlctl.descriptors import Resume
from rlctl.errors import RlctlError, UsageError
from rlctl.evaluations import evaluations_of
from rlctl.launch.prepare import Prepared, prepare
from rlctl.launch.resume import require_resumable_worker
from rlctl.launch.start import create_run
from rlctl.plugins import Registry
from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.files import read_lines

COMPARED = ("weights", "optimizer", "random", "replay", "normalization")
"""Members that must be equal; others hold times, which no two runs share."""

Report = Callable[[str], None]


@frozen
class Verdict:
    """What the comparison found. `differences` empty: the resumed run is the uninterrupted one."""

    what: str
    declared: Resume
    steps: int
    stopped_at: int
    episodes: int
    differences: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Return whether the worker resumes as it declares; only `exact` promises equality."""
        return self.declared is not Resume.EXACT or not self.differences


def verify_resume(
    layers: Iterable[Layer],
    registry: Registry,
    folder: Path,
    share: float,
    report: Report,
    parents: Path | None = None,
) -> Verdict:
    """Train in one go and, in other processes, to `share` of the budget and on from there; both below `folder`.

    `parents` is where `init_from` is looked for. Raises ConfigError when the training cannot be run, and RlctlError when
    one of the runs fails.
    """
    prepared = prepare([*layers, QUIET], registry, report)
    prepared.require_sound()
    assert prepared.config is not None and prepared.worker is not None
    total = prepared.config.total_timesteps
    if total is None:
        raise UsageError("a budget in steps is needed here: --total-timesteps N.")
    require_resumable_worker(prepared.worker.descriptor)
    stop_at = max(1, round(total * share))
    report(f"one run of {total} steps")
    _train(prepared, registry, folder, "whole", report, parents, expected="finished")
    report(f"one that is stopped at {stop_at} and resumed")
    halved = prepare([*layers, QUIET, Layer("verify", {"stop_at": stop_at})], registry, report)
    _train(halved, registry, folder, "resumed", report, parents, expected="stopped")
    stopped_at = CheckpointFolder(folder / "resumed" / "checkpoints").find("latest").step
    outcome = api.resume("resumed", runs_dir=folder, report=report)
    if outcome.result.status != "finished":
        raise RlctlError(f"the resumed run {outcome.result.status}: {outcome.result.reason}")
    return verdict(prepared, folder, total, stopped_at)


def verdict(prepared: Prepared, folder: Path, steps: int, stopped_at: int) -> Verdict:
    """Compare the runs `whole` and `resumed` in `folder`."""
    assert prepared.config is not None and prepared.worker is not None and prepared.algorithm is not None
    return Verdict(
        f"{prepared.worker.descriptor.name}/{prepared.algorithm.name} on {prepared.config.env.id}",
        _declared(prepared.worker.descriptor.resume, folder),
        steps,
        stopped_at,
        len(_episodes(folder / "whole")),
        tuple(differences(folder / "whole", folder / "resumed")),
    )


def _declared(resume: Resume, folder: Path) -> Resume:
    """Return what is promised for this very run: a worker may have said that it cannot be exact here."""
    events = [event for run in ("whole", "resumed") for event in read_lines(folder / run / "events.jsonl")]
    limited = any(event.get("type") == "resume_limited" for event in events)
    return Resume.STATE if limited and resume is Resume.EXACT else resume


QUIET = Layer("verify", {"callbacks": {"jsonl": {}, "progress": False}, "checkpoint": {"keep_last": 2}})


def _train(
    prepared: Prepared,
    registry: Registry,
    folder: Path,
    run_id: str,
    report: Report,
    parents: Path | None,
    expected: str,
) -> None:
    outcome = api.start(
        prepared, registry, lambda relay: create_run(prepared, folder, run_id, relay, parents), report=report
    )
    if outcome.result.status != expected:
        raise RlctlError(f"the run {run_id} {outcome.result.status}: {outcome.result.reason}")


def differences(first: Path, second: Path) -> list[str]:
    """Return what differs between two runs that should be the same, in words; wall-clock times are not compared."""
    found = []
    mine, theirs = _episodes(first), _episodes(second)
    for index, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        if a != b:
            found.append(f"episode {index}: {json.dumps(a)} and {json.dumps(b)}")
            break
    if len(mine) != len(theirs):
        found.append(f"{len(mine)} and {len(theirs)} episodes")
    found += _different_evaluations(first, second)
    saved = [CheckpointFolder(run / "checkpoints").find("latest") for run in (first, second)]
    if saved[0].step != saved[1].step:
        found.append(f"the last checkpoints are of steps {saved[0].step} and {saved[1].step}")
    members = [checkpoint.data["members"] for checkpoint in saved]
    for name in sorted({*members[0], *members[1]}):
        hashes = [member.get(name, {}).get("sha256") for member in members]
        if name.partition(".")[0] in COMPARED and hashes[0] != hashes[1]:
            found.append(f"{name} differs")
    return found


def _different_evaluations(first: Path, second: Path) -> list[str]:
    """Return what differs between the evaluations: steps, seeds and returns; checkpoints hold times, so theirs are others."""
    measured = [
        [(item.step, item.measured) for item in evaluations_of(read_lines(run / "evaluations.jsonl"))]
        for run in (first, second)
    ]
    if measured[0] == measured[1]:
        return []
    steps = [[step for step, _ in found] for found in measured]
    return [f"evaluations differ: at steps {steps[0]} and {steps[1]}"]


def _episodes(run: Path) -> list[dict[str, Any]]:
    return [{key: line[key] for key in line if key != "seconds"} for line in read_lines(run / "episodes.jsonl")]
