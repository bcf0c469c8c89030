"""What it costs a training loop to report scalars: each callback, beside the libraries bare; and TensorBoard beside a DQN."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from benchmarks.timing import pinned, spread
from rlctl.descriptors import resolve
from rlctl.events import Result
from rlctl.testing.runs import fake_run

SCALAR_LIMIT_US = 2.0
DQN_LIMIT = 1.01
_REPORTS = 2000
_SCALARS = {"train/loss": 0.5, "train/q_value": 12.5, "train/exploration_rate": 0.1, "train/learning_rate": 1e-3}
_CALLBACKS = {
    "no callback": (),
    "jsonl (the default)": ("jsonl:JsonLines",),
    "csv": ("csv:Csv",),
    "tensorboard": ("tensorboard:TensorBoard",),
    "tensorboard_basic": ("tensorboard:TensorBoardBasic",),
    "a service in the background": ("background",),
}
_BARE = ("jsonlines with json", "jsonlines with orjson", "orjson alone", "torch's SummaryWriter")
_SLICE = 500
"""Steps between two switches of TensorBoard."""
_PAIRS = 3
"""Pairs of trainings in a round."""

Side = Callable[[Path], "Cost"]


@attrs.frozen
class Cost:
    """CPU seconds of the reporting thread while it reports, and of all threads until everything is written."""

    here: float
    all: float


def measure(rounds: int, steps: int = 60_000) -> dict[str, Any]:
    """Return microseconds per scalar of each side and round, in turns, and seconds of a DQN with and without TensorBoard.

    A report has four scalars. `here_us` is the CPU time of the reporting thread, which the training waits for; `all_us` that of
    all threads of the process until everything is written and closed. The DQN's are CPU seconds of all threads, too.
    """
    sides: dict[str, Side] = {name: _by_callbacks(factories) for name, factories in _CALLBACKS.items()}
    sides |= {name: _bare(name) for name in _BARE}
    here: dict[str, list[float]] = {name: [] for name in sides}
    everything: dict[str, list[float]] = {name: [] for name in sides}
    with pinned() as core:
        for _ in range(3 * rounds):
            for name, side in sides.items():
                with tempfile.TemporaryDirectory() as folder:
                    cost = side(Path(folder))
                here[name].append(cost.here / _REPORTS / len(_SCALARS) * 1e6)
                everything[name].append(cost.all / _REPORTS / len(_SCALARS) * 1e6)
        _dqn_pair(5_000, 0)  # which imports
        rows = [_dqn_pair(steps, seed + 1) for seed in range(rounds * _PAIRS)]
    ratios = [row["tensorboard"] / row["without"] for row in rows]
    return {"core": core, "here_us": here, "all_us": everything, "steps": steps, "dqn": rows, "ratios": ratios}


def report(result: dict[str, Any]) -> None:
    """Print the result for people."""
    print(
        "\nreporting a scalar, microseconds of CPU: median (min to max), in the training's thread, and in all threads"
    )
    for name, times in result["here_us"].items():
        print(f"  {name:<28} {spread(times):<26} {spread(result['all_us'][name])}")
    print(f"  limit: {SCALAR_LIMIT_US:g} with the default callbacks")
    print(
        f"dqn on CartPole-v1, {result['steps']} steps: tensorboard takes {spread(result['ratios'])} times the CPU time"
    )
    print(
        f"  limit: median {DQN_LIMIT:g}; without it {statistics.median(row['without'] for row in result['dqn']):.2f} s"
    )


def _by_callbacks(factories: tuple[str, ...]) -> Side:
    """Return what reports through a run, as a backend does, to these callbacks."""

    def side(folder: Path) -> Cost:
        from rlctl.worker.dispatch import Dispatcher
        from rlctl.worker.run import Run

        info = fake_run(folder).info
        dispatcher = Dispatcher(_fail)
        for factory in factories:
            made = _service(info) if factory == "background" else resolve(f"rlctl_callbacks.{factory}")(info)
            dispatcher.register(factory, made)
        run = Run(
            info, directory=_directory(info), hyperparameters={}, horizon=1000, dispatcher=dispatcher
        )  # fmt: skip
        end = Result(status="finished", reason="over")
        return _timed(
            lambda step: run.record_metrics(_SCALARS, step=step),
            lambda: dispatcher.call("rlctl_training_ended", result=end),
        )

    return side


def _bare(name: str) -> Side:
    """Return what writes the same numbers with a library alone."""

    def side(folder: Path) -> Cost:
        if name == "torch's SummaryWriter":
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(folder))
            return _timed(
                lambda step: [writer.add_scalar(tag, value, step) for tag, value in _SCALARS.items()], writer.close
            )
        with (folder / "lines.jsonl").open("ab") as file:
            return _timed(_line_writer(name, file), file.flush)

    return side


def _line_writer(name: str, file: Any) -> Callable[[int], Any]:
    import jsonlines
    import orjson

    if name == "orjson alone":
        return lambda step: (file.write(orjson.dumps({"step": step, "values": _SCALARS}) + b"\n"), file.flush())
    dumps = orjson.dumps if "orjson" in name else lambda line: json.dumps(line).encode()
    writer = jsonlines.Writer(file, dumps=dumps, flush=True)
    return lambda step: writer.write({"step": step, "values": _SCALARS})


def _timed(report_at: Callable[[int], Any], close: Callable[[], Any]) -> Cost:
    """Return the cost of all reports; the first ones, which import and open, are not counted."""
    for step in range(10):
        report_at(step)
    start, start_all = time.thread_time(), time.process_time()
    for step in range(10, 10 + _REPORTS):
        report_at(step)
    here = time.thread_time() - start
    close()
    return Cost(here, time.process_time() - start_all)


def _service(info: Any) -> Any:
    from rlctl_callbacks.background import ServiceCallback

    return ServiceCallback(info, "bench", _Nothing(), 5.0)


@attrs.frozen
class _Nothing:
    """A service that takes everything and does nothing."""

    def open(self) -> int:
        return -1

    def send(self, rows: Any) -> None: ...

    def close(self, result: Any) -> None: ...

    def kill(self) -> None: ...


def _directory(info: Any) -> Any:
    from rlctl.runs.directory import RunDirectory

    return RunDirectory(info.directory)


def _fail(name: str, hook: str, error: BaseException) -> None:
    raise RuntimeError(f"{name} failed in {hook}") from error


def _dqn_pair(steps: int, seed: int) -> dict[str, float]:
    """Return the CPU seconds of two same trainings' slices: those in which TensorBoard was on, and the same ones without it.

    In one training it is on in every other slice, in the second one in the others, so that a machine whose speed changes
    within seconds is no matter. What is left to write at the end of a training counts.
    """
    seconds = {"without": 0.0, "tensorboard": 0.0}
    for on in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            _dqn(Path(folder), steps, seed, seconds, on=on)
    return seconds


class _Slices:
    """Switches TensorBoard on and off from slice to slice of a training, and adds up what each kind takes."""

    def __init__(self, run: Any, seconds: dict[str, float], *, on: bool) -> None:
        from rlctl_callbacks.tensorboard import TensorBoard

        self._tensorboard = TensorBoard(run.info, flush_seconds=3600.0)
        self._dispatcher = run._dispatcher  # noqa: SLF001 - there is no need elsewhere to switch a callback
        self._seconds = seconds
        self._on = on
        self._start = 0.0
        self._end_at = _SLICE

    def at(self, step: int) -> None:
        """Look whether a slice is over; the first one, which imports and opens files, does not count."""
        if step < self._end_at:
            return
        now = time.process_time()
        if self._start:
            self._seconds["tensorboard" if self._on else "without"] += now - self._start
        self._on = not self._on
        if self._on:
            self._dispatcher.register("tensorboard", self._tensorboard)
        else:
            self._dispatcher._drop("tensorboard")  # noqa: SLF001
        for hook in ("rlctl_episode_ended", "rlctl_metrics"):
            self._dispatcher.wants(hook)  # which looks who is there now; a training does that once
        self._end_at += _SLICE
        self._start = time.process_time()

    def end(self) -> None:
        """Write what is left."""
        start = time.process_time()
        self._tensorboard.flush()
        self._seconds["tensorboard"] += time.process_time() - start


def _dqn(folder: Path, steps: int, seed: int, seconds: dict[str, float], *, on: bool) -> None:
    """Train a DQN on CartPole in this process, with CleanRL's hyper-parameters and the default callback."""
    from rlctl_callbacks.jsonl import JsonLines
    from rlctl_dqn.config import hyperparameters
    from rlctl_dqn.worker import DqnWorker

    run = fake_run(
        folder, parameters=hyperparameters("dqn"), hyperparameters={}, seed=seed, total_timesteps=steps,
        env={"id": "CartPole-v1", "num_envs": 1},
    )  # fmt: skip
    run.info.config["checkpoint"] = {"replay_buffer": True}
    run._dispatcher.register("jsonl", JsonLines(run.info))  # noqa: SLF001 - as the worker process does
    slices, advance = _Slices(run, seconds, on=on), run.advance

    def watched_advance(step: int, **options: Any) -> bool:
        slices.at(step)
        go_on: bool = advance(step, **options)
        return go_on

    run.advance = watched_advance
    DqnWorker().train(run)
    slices.end()
    run._dispatcher.call("rlctl_training_ended", result=Result(status="finished", reason="over"))  # noqa: SLF001
