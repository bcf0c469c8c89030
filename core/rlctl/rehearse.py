"""Rehearses an interruption: the same configuration undisturbed, and stopped by a real signal at a third and resumed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from attrs import frozen

from rlctl import api
from rlctl.config.layers import Layer
from rlctl.errors import RlctlError
from rlctl.events import Progress, RunInfo
from rlctl.hooks import hookimpl
from rlctl.launch.prepare import Prepared, prepare
from rlctl.launch.resume import require_resumable_worker
from rlctl.launch.start import create_run
from rlctl.plugins import Registry
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_json
from rlctl.verify import QUIET, Verdict, verdict

Report = Callable[[str], None]

SECONDS = 20.0
"""Seconds of training that are rehearsed, unless the whole budget takes less."""


@frozen
class Rehearsal:
    """`verdict` compares the two; `seconds_to_stop` is from the signal to the end of the process."""

    verdict: Verdict
    seconds_to_stop: float


def rehearse_stop(
    layers: Iterable[Layer],
    registry: Registry,
    folder: Path,
    report: Report,
    seconds: float = SECONDS,
    parents: Path | None = None,
) -> Rehearsal:
    """Train for `seconds` below `folder`, then again with SIGTERM at a third of these steps, resume that, and compare.

    Budget and schedules are the configuration's own. Raises ConfigError when it cannot be run, RlctlError when a run fails
    or ends before the signal meets it.
    """
    layers = [*layers, QUIET]
    prepared = _prepared([*layers, Layer("rehearsal", {"time_limit": seconds, "stop_at": None})], registry, report)
    report(f"undisturbed, {seconds:g} s at most")
    whole = api.start(
        prepared, registry, lambda relay: create_run(prepared, folder, "whole", relay, parents), report=report
    ).result
    if whole.status == "failed":
        raise RlctlError(f"the undisturbed run failed: {whole.reason}")
    limit = whole.step if whole.status == "stopped" else None
    again = _prepared([*layers, Layer("rehearsal", {"time_limit": None, "stop_at": limit})], registry, report)
    report(f"with SIGTERM at step {whole.step // 3}, and resumed")
    interruption = _Interruption(whole.step // 3)
    stopped = api.start(
        again,
        registry,
        lambda relay: create_run(again, folder, "resumed", relay, parents),
        plugins=[interruption],
        report=report,
    ).result
    if stopped.status != "stopped" or "SIGTERM" not in stopped.reason:
        raise RlctlError(
            f"the signal did not stop the run, it {stopped.status}: {stopped.reason}.",
            hint="If it was at its end before: rehearse with a larger budget, or for more seconds.",
        )
    seconds_to_stop = time.monotonic() - interruption.sent
    outcome = api.resume("resumed", stop_at=limit, runs_dir=folder, report=report)
    if outcome.result.status == "failed":
        raise RlctlError(f"the resumed run failed: {outcome.result.reason}")
    return Rehearsal(verdict(prepared, folder, whole.step, stopped.step), seconds_to_stop)


def _prepared(layers: Iterable[Layer], registry: Registry, report: Report) -> Prepared:
    prepared = prepare(layers, registry, report)
    prepared.require_sound()
    assert prepared.worker is not None
    require_resumable_worker(prepared.worker.descriptor)
    return prepared


class _Interruption:
    """Sends the worker process SIGTERM as soon as the run has come to a step."""

    def __init__(self, step: int) -> None:
        self.sent = 0.0
        self._step = step
        self._status = Path()

    @hookimpl
    def rlctl_training_started(self, run: RunInfo) -> None:
        self._status = RunDirectory(run.directory).status

    @hookimpl
    def rlctl_step(self, progress: Progress) -> None:
        process = (read_json(self._status) or {}).get("process")
        if self.sent or progress.step < self._step or process is None:
            return
        self.sent = time.monotonic()
        with contextlib.suppress(ProcessLookupError):  # it was at its end before; the result says so
            os.kill(process["pid"], signal.SIGTERM)
