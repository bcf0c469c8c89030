"""A saved policy, lent by the code that trained it: which one is meant, what builds it, and the process that it acts in."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from rlctl.config.layers import Layer
from rlctl.config.schema import EarlyStoppingConfig, EvaluationConfig
from rlctl.descriptors import Mode
from rlctl.errors import CheckpointError, ExitCode, RlctlError, UsageError
from rlctl.launch.parent import find_checkpoint, split_reference
from rlctl.launch.prepare import Prepared, prepare
from rlctl.launch.resume import drifted
from rlctl.launch.start import host_manifest, task_for
from rlctl.plugins import discover
from rlctl.runs.checkpoints import Checkpoint, sha256_of
from rlctl.runs.directory import RunDirectory, create
from rlctl.runs.files import LineReader, read_json
from rlctl.runs.store import RunStore

Report = Callable[[str], None]
Hear = Callable[[dict[str, Any]], None]
_GRACE = 10.0
"""Seconds that a process gets to put its things away."""


@frozen
class Target:
    """The policy: a bundle of a run, a file, or as its training would begin (no `path`); and what builds its training."""

    what: str
    path: Path | None
    sha256: str | None
    step: int
    episodes: int
    config: Mapping[str, Any]
    directory: RunDirectory | None = None
    checkpoint: Checkpoint | None = None

    def identity(self, *, trust: bool) -> dict[str, Any]:
        """Return what the process must be told to take the weights; raises UsageError where there is nothing to trust."""
        if trust and self.checkpoint is not None:
            raise UsageError("--trust is for a library's own file; a run knows what it is.")
        return {
            "path": None if self.path is None else str(self.path),
            "trust": trust,
            "step": self.step,
            "episodes": self.episodes,
            "checkpoint": self.sha256,
        }


def find_target(reference: str, config: Mapping[str, Any] | None, root: Path) -> Target:
    """Return what `RUN`, `RUN:CHECKPOINT` or a library's file means; a file needs the `config` that it was made with.

    Raises UsageError or CheckpointError.
    """
    path = Path(reference)
    if path.is_file():
        if not config or "worker" not in config:
            raise UsageError(
                f"{reference} is a file: say what it is.", hint="--worker, --algo and --env say what made it."
            )
        return Target(path.name, path.resolve(), sha256_of(path), 0, 0, config)
    name, checkpoint = split_reference(reference)
    directory = RunStore(root).find(name)
    own = (read_json(directory.config) or {}).get("config")
    if own is None:
        raise CheckpointError(f"{directory.config} cannot be read.")
    config = {name: value for name, value in own.items() if name != "callbacks"}
    models = ((read_json(directory.manifest) or {}).get("imported") or {}).get("models")
    if models is not None:
        return _imported(directory, models, checkpoint, config)
    _, bundle = find_checkpoint(reference, root)
    path, episodes = bundle.path.resolve(), int(bundle.data["episodes"])
    return Target(f"run {directory.run_id}", path, bundle.sha256(), bundle.step, episodes, config, directory, bundle)


def _imported(directory: RunDirectory, models: Mapping[str, str], checkpoint: str, config: Mapping[str, Any]) -> Target:
    """Return the library's own file that stands for a checkpoint of a run that another program has trained."""
    what = f"run {directory.run_id}"
    if checkpoint not in models:
        listed = ", ".join(models) or "none"
        raise CheckpointError(
            f'{what} was imported, and there is no model "{checkpoint}" of it.', hint=f"There is: {listed}."
        )
    path, ended = (directory.path / models[checkpoint]).resolve(), read_json(directory.result) or {}
    counts = int(ended.get("step", 0)), int(ended.get("episodes", 0))
    return Target(what, path, sha256_of(path), *counts, config, directory)


def prepare_target(target: Target, env: Mapping[str, Any], device: str | None, report: Report) -> Prepared:
    """Return the training that lends the policy, with all that is wrong with it; `env` is what differs in the environment.

    `report` is told what has changed since the checkpoint was saved.
    """
    prepared = prepare([Layer(target.what, dict(target.config)), *_overrides(env, device)], discover(), report)
    if prepared.problems:
        return prepared
    assert prepared.worker is not None
    descriptor = prepared.worker.descriptor
    if Mode.EVALUATE not in descriptor.modes:
        modes = ", ".join(mode.value for mode in descriptor.modes)
        raise UsageError(f'worker "{descriptor.name}" cannot lend its policy (modes: {modes}).')
    if target.checkpoint is not None:
        for name, how in drifted(target.checkpoint.data, prepared):
            if not name.startswith("env."):  # another environment is what was asked for
                report(f"note: {name} {how}")
    return prepared


def _overrides(env: Mapping[str, Any], device: str | None) -> list[Layer]:
    """Return what lending needs of a configuration: no callbacks, one training environment, nothing saved."""
    quiet: dict[str, Any] = {
        "callbacks": {"jsonl": False, "progress": False},
        "env": {"num_envs": 1},
        "evaluation": attrs.asdict(EvaluationConfig()),
        "early_stopping": attrs.asdict(EarlyStoppingConfig()),
        "init_from": None,
        "trust": False,
        "stop_at": None,
        "time_limit": None,
    }
    said: dict[str, Any] = {"env": dict(env)}
    if device is not None:
        said["device"] = device
    return [Layer("lent", quiet), Layer("command line", said)]


def lend(
    module: str,
    prepared: Prepared,
    request: Mapping[str, Any],
    hear: Hear | None = None,
    *,
    window: bool = False,
    channel: tuple[int, ...] = (),
) -> dict[str, Any]:
    """Have `python -m MODULE DIRECTORY` build the training and do what `request` asks; returns its answer.

    `hear` gets each line that it tells meanwhile. `window`: it may open one. `channel`: file descriptors that it gets, to talk
    to somebody else by; what it prints then goes to stderr, as it may run for days. Raises RlctlError with its words when it
    fails.
    """
    files = {"config.json": {"config": prepared.effective()}, "manifest.json": host_manifest(prepared, [])}
    return in_a_process(module, request, files, hear, config=prepared.effective(), window=window, channel=channel)


def in_a_process(
    module: str,
    request: Mapping[str, Any],
    files: Mapping[str, Any],
    hear: Hear | None = None,
    *,
    config: Mapping[str, Any],
    window: bool = False,
    channel: tuple[int, ...] = (),
) -> dict[str, Any]:
    """Do the same in a directory of any `files`, which is thrown away."""
    with tempfile.TemporaryDirectory(prefix="rlctl-lent-") as folder:
        directory = create(Path(folder), "lent", {**files, "request.json": dict(request)})
        environment = {**os.environ, **task_for(directory, dict(config)).environment}
        if not window:
            environment["SDL_VIDEODRIVER"] = "dummy"
        code = _followed([sys.executable, "-m", module, str(directory.path)], directory, environment, hear, channel)
        answer = read_json(directory.path / "answer.json")
        if answer is None:
            words = "." if channel else f":\n{directory.log_tail()}"
            raise RlctlError(f"the policy's process ended with code {code}{words}")
    if "error" in answer:
        error = RlctlError(answer["error"], hint=answer["hint"])
        error.exit_code = answer.get("exit_code", ExitCode.RUN_FAILED)
        raise error
    return answer


def _followed(
    command: list[str],
    directory: RunDirectory,
    environment: dict[str, str],
    hear: Hear | None,
    channel: tuple[int, ...],
) -> int:
    """Run a command to its end, and pass on what it tells. It has a session of its own, so Ctrl-C reaches us alone."""
    reader = LineReader(directory.path / "told.jsonl")
    with directory.log.open("wb") as log:
        output = 2 if channel else log
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=environment,
            pass_fds=channel,
            start_new_session=True,
        )
    try:
        ended = False
        while not ended:
            ended = process.poll() is not None  # first: what was told before the end is then read below
            for line in reader.read():
                if hear is not None:
                    hear(line)
            if not ended:
                time.sleep(0.02)
    finally:
        _end(process)
    return process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe, which tells the process to end if it has not; then kill what is left of its group."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody may be left in it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
