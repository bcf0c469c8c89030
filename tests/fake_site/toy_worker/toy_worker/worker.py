"""The toy's training: an honest loop with a row of traps."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import subprocess
import sys
import time

from rlctl import Run


class ToyWorker:
    """Trains `count` or `bandit`."""

    def train(self, run: Run) -> None:
        if run.info.algo == "bandit":
            _bandit(run)
        else:
            _count(run)


def _count(run: Run) -> None:
    settings = run.hyperparameters
    generator = random.Random(run.seed)
    _before(run)
    step, length, total, wanted = 0, 0, 0.0, 0
    while run.advance(step) or settings["ignore_stop"]:
        _misbehave(run, step)
        if settings["return_at"] is not None and step >= settings["return_at"]:
            return
        time.sleep(settings["step_seconds"])
        nan = settings["nan_at"] is not None and step >= settings["nan_at"]
        for _ in range(settings["steps_per_iteration"]):
            step += 1
            wanted = wanted or generator.randint(1, settings["episode_length"])
            length, total = length + 1, total + generator.random()
            if length == wanted:
                run.record_episode(math.nan if nan else total, length, step=step, env_index=step % 2)
                length, total, wanted = 0, 0.0, 0
            if step % settings["metrics_every"] == 0:
                values = {"train/loss": 1 / step, "backend/noise": generator.random()}
                run.record_metrics({"train/loss": math.nan, "backend/noise": -math.inf} if nan else values, step=step)


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
    generator = random.Random(run.seed)
    means = [generator.random() for _ in range(settings["arms"])]
    values = [5.0 if settings["prior"] == "optimistic" else 0.0] * len(means)
    pulls = [0] * len(means)
    step = 0
    while run.advance(step):
        greedy = max(range(len(means)), key=values.__getitem__)
        arm = generator.randrange(len(means)) if generator.random() < settings["epsilon"] else greedy
        reward = generator.gauss(means[arm], 0.1)
        step += 1
        pulls[arm] += 1
        values[arm] += (reward - values[arm]) / pulls[arm]
        run.record_episode(reward, 1, step=step)
        run.record_metrics({"train/q_value": values[arm]}, step=step)
