"""`tensorboard`: what was reported is read back by TensorBoard's own loader."""

import io
import math
import os
import signal
import subprocess
import sys

import pytest
from tensorboard.summary.writer.record_writer import RecordWriter

from rlctl import Episode, Metrics, Result
from rlctl.testing import fake_run
from rlctl_callbacks.event_file import as_records
from rlctl_callbacks.tensorboard import TensorBoard, TensorBoardBasic


@pytest.fixture
def info(tmp_path):
    """A run to write into."""
    return fake_run(tmp_path).info


def accumulated(directory):
    """Return what TensorBoard's own accumulator has of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(directory / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    return found.Reload()


def scalars(directory):
    """Return tag → [(step, value)] as TensorBoard reads it, without the result."""
    found = accumulated(directory)
    tags = [tag for tag in found.Tags()["scalars"] if not tag.startswith("result/")]
    return {tag: [(point.step, point.value) for point in found.Scalars(tag)] for tag in tags}


def written(info, *events, kind=TensorBoard, **options):
    """Hand events to the callback, close it, and return what TensorBoard reads."""
    callback = kind(info, flush_seconds=0.1, **options)
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


# ---- buffering -----------------------------------------------------------------------------------------------------

LOSSES = [
    Metrics(step=step, seconds=0.1, values={"train/loss": value}) for step, value in ((2, 1.0), (9, 3.0), (12, 7.0))
]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"flush_every": 10}, [(9, 2.0), (12, 7.0)]),
        ({"flush_every": 10, "aggregate": "last"}, [(9, 3.0), (12, 7.0)]),
        ({"flush_every": 100}, [(12, pytest.approx(11 / 3))]),
        ({"flush_every": 1}, [(2, 1.0), (9, 3.0), (12, 7.0)]),
    ],
)
def test_metrics_are_one_point_for_each_stretch_of_steps(info, options, expected):
    """The values of a stretch are averaged, or the last one counts; the point is at the last step that it is of."""
    assert written(info, *LOSSES, **options)["train/loss"] == expected


def test_every_value_is_a_point_of_the_basic_one(info):
    """`tensorboard_basic` writes what is reported, as it is reported."""
    assert written(info, *LOSSES, kind=TensorBoardBasic) == {"train/loss": [(2, 1.0), (9, 3.0), (12, 7.0)]}


def test_what_sums_up_is_written_at_once(info):
    """Episodes and evaluations are points of their own in the file, however long the stretch."""
    callback = TensorBoard(info, flush_every=1000)
    callback.rlctl_episode_ended(Episode(index=0, step=1, episode_return=1.0, length=1))
    callback.rlctl_episode_ended(Episode(index=1, step=2, episode_return=2.0, length=1))
    callback.rlctl_metrics(Metrics(step=2, seconds=0.1, values={"evaluation/return_mean": 5.0, "train/loss": 1.0}))
    callback.log(3, {"mine": 4.0}, force=True)
    callback._file.flush()
    expected = {"episode/return": [(1, 1.0), (2, 2.0)], "evaluation/return_mean": [(2, 5.0)], "mine": [(3, 4.0)]}
    found = scalars(info.directory)
    assert {tag: found[tag] for tag in expected} == expected
    assert "train/loss" not in found
    callback.rlctl_training_ended(Result(status="finished", reason="over"))


def test_the_tab_of_hyperparameters_has_them_and_the_return(tmp_path):
    """TensorBoard's own HPARAMS backend lists the run with its hyper-parameters, its state and its mean return."""
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    run = fake_run(tmp_path, hyperparameters={"gamma": 0.99, "net": [64, 64], "double": True}, seed=7)
    callback = TensorBoard(run.info)
    callback.rlctl_training_ended(Result(status="finished", reason="over", step=9, return_mean=21.5))
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(run.info.directory)).Reload()
    provider = MultiplexerDataProvider(multiplexer, str(run.info.directory))
    context = backend_context.Context(TBContext(data_provider=provider))
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=9, allowed_statuses=[api_pb2.STATUS_SUCCESS])
    handler = list_session_groups.Handler(RequestContext(), context, "", request)
    (group,) = handler.run().session_groups
    assert group.hparams["hyperparameters.gamma"].number_value == 0.99
    assert group.hparams["hyperparameters.net"].string_value == "[64, 64]"
    assert group.hparams["seed"].number_value == 7
    values = {value.name.tag: value.value for value in group.metric_values}
    assert values["result/return_mean"] == 21.5


def test_a_kill_leaves_what_was_flushed_readable(info):
    """After kill -9 the accumulator reads each point until the last flush, a torn one at the end notwithstanding."""
    program = f"""
import os, signal, attrs
from pathlib import Path
from rlctl import Episode, RunInfo
from rlctl_callbacks.tensorboard import TensorBoard
info = RunInfo(run_id="x", directory=Path({str(info.directory)!r}), worker="w", algo="a", env_id="e", seed=1,
               total_timesteps=9, total_episodes=None)
callback = TensorBoard(info, flush_seconds=0.05)
for index in range(100):
    callback.rlctl_episode_ended(Episode(index=index, step=index, episode_return=1.0, length=1))
callback.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    answer = subprocess.run([sys.executable, "-c", program], check=False)
    assert answer.returncode == -signal.SIGKILL
    (path,) = (info.directory / "tensorboard").iterdir()
    os.truncate(path, path.stat().st_size - 3)
    assert [step for step, _ in scalars(info.directory)["episode/return"]] == list(range(99))


def test_it_needs_neither_torch_nor_tensorflow():
    """Its module imports the `tensorboard` package alone."""
    heavy = ("torch", "tensorflow", "gymnasium")
    program = f"import sys, rlctl_callbacks.tensorboard; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_records_are_those_of_tensorboards_own_writer():
    """A block of records of many lengths is, byte for byte, what the package's writer makes of them one by one."""
    data = [bytes(range(length)) for length in (0, 1, *[59, 60] * 20, 200)]
    theirs = io.BytesIO()
    writer = RecordWriter(theirs)
    for item in data:
        writer.write(item)
    assert as_records(data) == theirs.getvalue()
