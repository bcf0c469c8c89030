"""What it costs a training loop to report scalars: each callback, beside the libraries bare; and TensorBoard beside a DQN."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from benchmarks.timing import pinned, run_once, spread
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
_EARLY = ("--set", "hyperparameters.learning_starts=500")
"""So that the short training, which is taken off, learns as well."""

_RLCTL = str(Path(sys.executable).with_name("rlctl"))

Side = Callable[[Path], float]


def measure(rounds: int, steps: int = 20_000) -> dict[str, Any]:
    """Return microseconds per scalar of each side and round, in turns, and seconds of a DQN with and without TensorBoard.

    A report has four scalars, and its time is that of the reporting thread alone. The DQN's are CPU seconds of all threads.
    """
    sides: dict[str, Side] = {name: _by_callbacks(factories) for name, factories in _CALLBACKS.items()}
    sides |= {name: _bare(name) for name in _BARE}
    scalars: dict[str, list[float]] = {name: [] for name in sides}
    with pinned() as core:
        for _ in range(rounds):
            for name, side in sides.items():
                with tempfile.TemporaryDirectory() as folder:
                    scalars[name].append(side(Path(folder)) / _REPORTS / len(_SCALARS) * 1e6)
        rows = [_dqn(steps, seed + 1) for seed in range(rounds)]
    ratios = [row["tensorboard"] / row["without"] for row in rows]
    return {"core": core, "scalars_us": scalars, "steps": steps, "dqn": rows, "ratios": ratios}


def report(result: dict[str, Any]) -> None:
    """Print the result for people."""
    print("\nreporting a scalar, microseconds of the training's thread: median (min to max)")
    for name, times in result["scalars_us"].items():
        print(f"  {name:<28} {spread(times)}")
    print(f"  limit: {SCALAR_LIMIT_US:g} with the default callbacks")
    print(
        f"dqn on CartPole-v1, {result['steps']} steps: tensorboard takes {spread(result['ratios'])} times the CPU time"
    )
    print(
        f"  limit: median {DQN_LIMIT:g}; without it {statistics.median(row['without'] for row in result['dqn']):.2f} s"
    )


def _by_callbacks(factories: tuple[str, ...]) -> Side:
    """Return what reports through a run, as a backend does, to these callbacks."""

    def side(folder: Path) -> float:
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
        seconds = _timed(lambda step: run.record_metrics(_SCALARS, step=step))
        dispatcher.call("rlctl_training_ended", result=Result(status="finished", reason="over"))
        return seconds

    return side


def _bare(name: str) -> Side:
    """Return what writes the same numbers with a library alone."""

    def side(folder: Path) -> float:
        if name == "torch's SummaryWriter":
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(folder))
            seconds = _timed(lambda step: [writer.add_scalar(tag, value, step) for tag, value in _SCALARS.items()])
            writer.close()
            return seconds
        with (folder / "lines.jsonl").open("ab") as file:
            return _timed(_line_writer(name, file))

    return side


def _line_writer(name: str, file: Any) -> Callable[[int], Any]:
    import jsonlines
    import orjson

    if name == "orjson alone":
        return lambda step: (file.write(orjson.dumps({"step": step, "values": _SCALARS}) + b"\n"), file.flush())
    dumps = orjson.dumps if "orjson" in name else lambda line: json.dumps(line).encode()
    writer = jsonlines.Writer(file, dumps=dumps, flush=True)
    return lambda step: writer.write({"step": step, "values": _SCALARS})


def _timed(report_at: Callable[[int], Any]) -> float:
    """Return the seconds of this thread for all reports; the first ones, which import and open, are not counted."""
    for step in range(10):
        report_at(step)
    start = time.thread_time()
    for step in range(10, 10 + _REPORTS):
        report_at(step)
    return time.thread_time() - start


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


def _dqn(steps: int, seed: int) -> dict[str, float]:
    """Return the CPU seconds of a training without and with TensorBoard, start-up taken off by a short one of each."""
    found = {}
    for name, extra in (("without", ()), ("tensorboard", ("--callback", "tensorboard"))):
        seconds = []
        for budget in (1_000, 1_000 + steps):
            options = (
                "-n",
                str(budget),
                "-s",
                str(seed),
                "--device",
                "cpu",
                "--callback",
                "no-progress",
                *_EARLY,
                *extra,
            )
            with tempfile.TemporaryDirectory() as folder:
                seconds.append(run_once((_RLCTL, "run", "dqn", "CartPole-v1", *options), Path(folder))[1])
        found[name] = seconds[1] - seconds[0]
    return found
