"""`tensorboard`: what was reported is read back by TensorBoard's own loader."""

import math
import subprocess
import sys

import pytest

from rlctl import Episode, Metrics, Result
from rlctl.testing import fake_run
from rlctl_callbacks.tensorboard import TensorBoard


@pytest.fixture
def info(tmp_path):
    """A run to write into."""
    return fake_run(tmp_path).info


def scalars(directory):
    """Return tag → [(step, value)] as TensorBoard reads it."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    (path,) = (directory / "tensorboard").iterdir()
    found = {}
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            number = value.tensor.float_val[0] if value.HasField("tensor") else value.simple_value
            found.setdefault(value.tag, []).append((event.step, number))
    return found


def written(info, *events):
    """Hand events to the callback, close it, and return what TensorBoard reads."""
    callback = TensorBoard(info, flush_seconds=0.1)
    for event in events:
        getattr(callback, "rlctl_metrics" if isinstance(event, Metrics) else "rlctl_episode_ended")(event)
    callback.rlctl_training_ended(Result(status="finished", reason="over"))
    return scalars(info.directory)


def test_episodes_are_two_scalars_against_the_step(info):
    """An episode's return and length are scalars of those names at the step where it ended."""
    first = Episode(index=0, step=12, episode_return=3.5, length=12)
    second = Episode(index=1, step=20, episode_return=-1.0, length=8)
    assert written(info, first, second) == {
        "episode/return": [(12, 3.5), (20, -1.0)],
        "episode/length": [(12, 12.0), (20, 8.0)],
    }


def test_metrics_keep_their_names(info):
    """A metric is a scalar of its own name, a backend's own tags as well."""
    metrics = Metrics(step=5, seconds=0.1, values={"train/loss": 0.5, "backend/train/std": 2.0})
    assert written(info, metrics) == {"train/loss": [(5, 0.5)], "backend/train/std": [(5, 2.0)]}


def test_what_is_not_finite_is_written_as_it_is(info):
    """NaN and infinities are legal in event files and stay what they are."""
    values = {"a": math.nan, "b": math.inf, "c": -math.inf}
    read = written(info, Metrics(step=1, seconds=0.1, values=values))
    assert {tag: repr(points[0][1]) for tag, points in read.items()} == {"a": "nan", "b": "inf", "c": "-inf"}


def test_a_run_has_the_same_episodes_in_both_forms(site, tmp_path):
    """After a real run the event file has exactly the episodes of episodes.jsonl."""
    from rlctl import RunConfig, run

    site("toy_worker")
    callbacks = {"progress": False, "tensorboard": {}}
    outcome = run(RunConfig(worker="toy", callbacks=callbacks), runs_dir=tmp_path)
    lengths = scalars(outcome.directory)["episode/length"]
    assert lengths == [(episode.step, float(episode.length)) for episode in outcome.episodes()]


def test_it_needs_neither_torch_nor_tensorflow():
    """Its module imports the `tensorboard` package alone."""
    heavy = ("torch", "tensorflow", "gymnasium")
    program = f"import sys, rlctl_callbacks.tensorboard; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
