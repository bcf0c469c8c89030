"""The toy's training: an honest loop with a row of traps."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlctl import RlctlError, Run


def warm_up() -> None:
    """Being imported is all."""


class ToyWorker:
    """Trains `count` or `bandit`."""

    def train(self, run: Run) -> None:
        if run.info.algo == "bandit":
            _bandit(run)
        else:
            _count(run)


class Training:
    """All that a training is: a generator and named values, of which the one called `weights` makes the policy."""

    def __init__(self, run: Run, weights: str, **values: Any) -> None:
        self.generator = random.Random(run.seed)
        self.values = values
        self._weights = weights
        self._settings = run.hyperparameters

    def write_state(self, folder: Path) -> None:
        """Write it as JSON; or only half of it, when told so."""
        (folder / "weights.json").write_text(json.dumps(self.values))
        fatal = self._settings.get("kill_saving_at")
        if fatal is not None and self.values["step"] >= fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        (folder / "random.json").write_text(json.dumps(self.generator.getstate()))
        if self._settings.get("save_bytes"):
            (folder / "replay.bin").write_bytes(bytes(self._settings["save_bytes"]))

    def read_state(self, folder: Path) -> None:
        """Become what was written."""
        self.values = json.loads((folder / "weights.json").read_text())
        version, numbers, gauss = json.loads((folder / "random.json").read_text())
        self.generator.setstate((version, tuple(numbers), gauss))

    def read_weights(self, folder: Path) -> None:
        """Take the weights of what was written, and nothing else."""
        self.values[self._weights] = json.loads((folder / "weights.json").read_text())[self._weights]

    def read_artefact(self, path: Path, trust: bool) -> None:
        """Take the weights from a file of their JSON; only where it is trusted, as if it had to be unpickled."""
        if not trust:
            raise RlctlError(f"{path} has to be trusted.", hint="--trust.")
        try:
            self.values[self._weights] = json.loads(path.read_text())
        except ValueError as error:
            raise RlctlError(f"{path} is no file of the toy's: {error}") from error

    @contextlib.contextmanager
    def policy(self, seed: int) -> Iterator[Any]:
        """Lend a policy that is the better the larger its weight is, and draws from Python's global generator."""
        from toy_worker.policy import ToyPolicy  # only a run that is evaluated needs gymnasium

        before = random.getstate()
        random.seed(seed)
        weights = self.values[self._weights]
        try:
            yield ToyPolicy(weights if isinstance(weights, (int, float)) else max(weights))
        finally:
            random.setstate(before)


def _count(run: Run) -> None:
    settings = run.hyperparameters
    training = Training(run, "skill", step=0, skill=0.0, length=0, total=0.0, wanted=0)
    run.attach(training)
    _before(run)
    run.follow_curriculum(lambda stage: None)
    run.restore()
    generator, values = training.generator, training.values
    while run.advance(values["step"]) or settings["ignore_stop"]:
        _misbehave(run, values["step"])
        if settings["return_at"] is not None and values["step"] >= settings["return_at"]:
            return
        time.sleep(settings["step_seconds"])
        nan = settings["nan_at"] is not None and values["step"] >= settings["nan_at"]
        for _ in range(settings["steps_per_iteration"]):
            values["step"] += 1
            step = values["step"]
            values["skill"] += 0.001
            values["wanted"] = values["wanted"] or generator.randint(1, settings["episode_length"])
            values["length"] += 1
            values["total"] += generator.random()
            if values["length"] == values["wanted"]:
                total = math.nan if nan else values["total"]
                run.record_episode(total, values["length"], step=step, env_index=step % 2)
                values |= {"length": 0, "total": 0.0, "wanted": 0}
            if step % settings["metrics_every"] == 0:
                metrics = {"train/loss": 1 / step, "backend/noise": generator.random()}
                run.record_metrics({"train/loss": math.nan, "backend/noise": -math.inf} if nan else metrics, step=step)


def _before(run: Run) -> None:
    settings = run.hyperparameters
    time.sleep(settings["start_seconds"])
    garbage = b'\xff\xfe{"hook": "rlctl_step"} \x1b[31m\n' * 4096
    left = settings["print_bytes"] or 0
    while left > 0:
        sys.stdout.buffer.write(garbage[:left])
        left -= len(garbage)
    sys.stdout.flush()
    for descriptor in settings["close_fds"]:
        os.close(descriptor)
    if settings["close_streams"]:
        sys.stdout.close()
        sys.stderr.close()
    if settings["child_seconds"]:
        child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({settings['child_seconds']})"])
        (run.directory.backend / "child.pid").write_text(str(child.pid))


def _fill_disk(run: Run) -> None:
    with (run.directory.backend / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024))


def _misbehave(run: Run, step: int) -> None:
    settings = run.hyperparameters

    def due(name: str) -> bool:
        return settings[name] is not None and step >= settings[name]

    if due("raise_at"):
        raise RuntimeError(f"told to raise at step {step}")
    if due("exit_at"):
        sys.exit(settings["exit_code"])
    if due("fill_disk_at"):
        _fill_disk(run)
    if due("vanish_at"):
        os._exit(9)
    if due("kill_at"):
        print("about to be killed", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


def _bandit(run: Run) -> None:
    settings = run.hyperparameters
    first = 5.0 if settings["prior"] == "optimistic" else 0.0
    arms = settings["arms"]
    training = Training(run, "values", step=0, values=[first] * arms, pulls=[0] * arms)
    generator = training.generator
    means = [generator.random() for _ in range(arms)]
    run.attach(training)
    run.restore()
    state = training.values
    while run.advance(state["step"]):
        values, pulls = state["values"], state["pulls"]
        greedy = max(range(len(means)), key=values.__getitem__)
        arm = generator.randrange(len(means)) if generator.random() < settings["epsilon"] else greedy
        reward = generator.gauss(means[arm], 0.1)
        state["step"] += 1
        pulls[arm] += 1
        values[arm] += (reward - values[arm]) / pulls[arm]
        run.record_episode(reward, 1, step=state["step"])
        run.record_metrics({"train/q_value": values[arm]}, step=state["step"])
