"""Objects of `rlctl.run(..., plugins=[...])`: they live in the program, and see what the worker process saw, in order."""

import math

import pytest

from rlctl import Progress, RunConfig, hookimpl, run
from rlctl.errors import PluginError
from rlctl.runs.files import read_lines
from rlctl.worker.dispatch import Dispatcher
from rlctl.worker.relay import RelayReader, RelayWriter, wanted_by

QUIET = {"progress": False}


class Watcher:
    """Remembers every call as (hook, what it was about)."""

    def __init__(self):
        self.calls = []

    def of(self, hook):
        """Return what the calls of a hook were about, in order."""
        return [about for name, about in self.calls if name == hook]

    @hookimpl
    def rlctl_training_started(self, run):
        self.calls.append(("started", run))

    @hookimpl
    def rlctl_step(self, progress):
        self.calls.append(("step", progress))

    @hookimpl
    def rlctl_episode_ended(self, episode):
        self.calls.append(("episode", episode))

    @hookimpl
    def rlctl_metrics(self, metrics):
        self.calls.append(("metrics", metrics))

    @hookimpl
    def rlctl_evaluation_ended(self, evaluation):
        self.calls.append(("evaluation", evaluation))

    @hookimpl
    def rlctl_training_ended(self, result):
        self.calls.append(("ended", result))

    @hookimpl
    def rlctl_run_ended(self, result):
        self.calls.append(("run_ended", result))


class RaisesIn:
    """Raises in one hook."""

    def __init__(self, hook):
        def implementation():
            raise LookupError(f"raised in {hook}")

        setattr(self, hook, hookimpl(implementation))


def train(tmp_path, *plugins, **settings):
    """Train the toy worker, seen by objects of this program."""
    config = RunConfig(worker="toy", callbacks=QUIET, hyperparameters=settings, grace=5.0)
    return run(config, plugins=plugins, runs_dir=tmp_path / "runs")


# ---- what they see -------------------------------------------------------------------------------------------------


def test_an_object_sees_the_episodes_of_the_file(site, tmp_path):
    """An object sees every episode, in the order and with the values of episodes.jsonl."""
    site("toy_worker")
    watcher = Watcher()
    outcome = train(tmp_path, watcher)
    assert len(outcome.episodes()) > 100
    assert [episode.to_json() for episode in watcher.of("episode")] == [item.to_json() for item in outcome.episodes()]


def test_an_object_sees_the_metrics_of_the_file(site, tmp_path):
    """An object sees every report of metrics, in the order and with the values of metrics.jsonl."""
    site("toy_worker")
    watcher = Watcher()
    outcome = train(tmp_path, watcher)
    assert len(outcome.metrics()) == 20
    assert [metrics.to_json() for metrics in watcher.of("metrics")] == [item.to_json() for item in outcome.metrics()]


def test_an_object_sees_the_evaluations_of_the_file(site, tmp_path):
    """An object sees every evaluation, in the order and with the values of evaluations.jsonl."""
    site("toy_worker")
    watcher = Watcher()
    config = RunConfig(worker="toy", callbacks=QUIET, evaluation={"every_steps": 300})
    outcome = run(config, plugins=[watcher], runs_dir=tmp_path / "runs")
    assert [evaluation.step for evaluation in watcher.of("evaluation")] == [300, 600, 900, 1000]
    assert watcher.of("evaluation") == outcome.evaluations()


def test_an_object_sees_every_step(site, tmp_path):
    """An object that implements `rlctl_step` sees each of them, as the worker's own callbacks do."""
    site("toy_worker")
    watcher = Watcher()
    train(tmp_path, watcher)
    assert [progress.step for progress in watcher.of("step")] == list(range(1001))


def test_an_object_sees_everything_in_the_worker_s_order(site, tmp_path):
    """Hooks of different kinds arrive in the order in which a callback beside the training saw them."""
    site("toy_worker", "toy_callbacks")
    watcher = Watcher()
    config = RunConfig(worker="toy", callbacks={**QUIET, "recorder": {}})
    outcome = run(config, plugins=[watcher], runs_dir=tmp_path)
    short = {"started": "rlctl_training_started", "step": "rlctl_step", "episode": "rlctl_episode_ended",
             "metrics": "rlctl_metrics", "ended": "rlctl_training_ended"}  # fmt: skip
    recorded = [line["hook"] for line in read_lines(outcome.directory / "recorded.jsonl")]
    wanted = [hook for hook in recorded if hook in short.values()]
    assert [short[name] for name, _ in watcher.calls if name in short] == wanted


def test_the_end_of_the_training_comes_before_the_end_of_the_run(site, tmp_path):
    """An object is told the end of the training with its result, and then, last of all, the end of the run."""
    site("toy_worker")
    watcher = Watcher()
    outcome = train(tmp_path, watcher)
    assert [name for name, _ in watcher.calls][-2:] == ["ended", "run_ended"]
    assert watcher.of("ended") == watcher.of("run_ended") == [outcome.result]


def test_an_object_sees_the_run_itself(site, tmp_path):
    """The run that an object is told of is the one that is returned."""
    site("toy_worker")
    watcher = Watcher()
    outcome = train(tmp_path, watcher)
    assert watcher.of("started") == [outcome.info]


def test_what_is_not_finite_arrives_as_it_was(site, tmp_path):
    """NaN and infinities reach an object as themselves."""
    site("toy_worker")
    watcher = Watcher()
    train(tmp_path, watcher, nan_at=0)
    assert all(math.isnan(episode.episode_return) for episode in watcher.of("episode"))
    assert {repr(value) for metrics in watcher.of("metrics") for value in metrics.values.values()} == {"nan", "-inf"}


def test_a_mean_that_is_not_finite_does_not_lose_steps(site, tmp_path):
    """A run whose mean return is NaN tells an object of all its steps, like any other."""
    site("toy_worker")
    watcher = Watcher()
    train(tmp_path, watcher, nan_at=500)
    assert [progress.step for progress in watcher.of("step")] == list(range(1001))


def test_an_object_sees_why_the_training_failed(site, tmp_path):
    """The failure of a backend reaches an object with the class, message and traceback of what was raised."""
    site("toy_worker")
    watcher = Watcher()
    train(tmp_path, watcher, raise_at=20)
    (result,) = watcher.of("ended")
    assert (result.status, result.failure.kind, result.failure.message) == (
        "failed",
        "RuntimeError",
        "told to raise at step 20",
    )
    assert "toy_worker" in result.failure.traceback


def test_several_objects_see_the_same_in_their_order(site, tmp_path):
    """Each event goes to all objects, in the order in which they were given, before the next event."""
    site("toy_worker")
    seen = []

    class Named:
        def __init__(self, name):
            self.name = name

        @hookimpl
        def rlctl_metrics(self, metrics):
            seen.append((metrics.step, self.name))

    train(tmp_path, Named("a"), Named("b"))
    assert seen == [(step, name) for step in range(50, 1001, 50) for name in "ab"]


def test_garbage_on_stdout_does_not_reach_objects(site, tmp_path):
    """A library that prints what looks like the protocol changes nothing of what objects see."""
    site("toy_worker")
    watcher = Watcher()
    outcome = train(tmp_path, watcher, print_bytes=1_000_000)
    assert len(watcher.of("step")) == 1001
    assert len(watcher.of("episode")) == outcome.result.episodes


# ---- what they decide ----------------------------------------------------------------------------------------------


def test_an_object_can_end_the_run(site, tmp_path):
    """A reason to stop from an object ends the run early, as finished, and is the reason of the result."""
    site("toy_worker")

    class Enough:
        @hookimpl
        def rlctl_should_stop(self, progress):
            return "enough" if progress.step >= 100 else None

    result = train(tmp_path, Enough(), step_seconds=0.01).result
    assert (result.status, result.reason, result.exit_code) == ("finished", "plugins[0] Enough: enough", 0)
    assert 100 <= result.step < 1000


def test_an_object_that_wanted_to_stop_is_not_asked_again(site, tmp_path):
    """After its reason was taken an object is asked no more, although steps still arrive."""
    site("toy_worker")
    asked = []

    class Enough:
        @hookimpl
        def rlctl_should_stop(self, progress):
            asked.append(progress.step)
            return "enough"

    train(tmp_path, Enough(), step_seconds=0.005)
    assert asked == [0]


def test_an_object_that_raises_stops_the_run_and_the_program_hears_it(site, tmp_path):
    """An exception in an object stops the run and is raised from `rlctl.run` as it was."""
    site("toy_worker")
    with pytest.raises(LookupError, match="raised in rlctl_episode_ended"):
        train(tmp_path, RaisesIn("rlctl_episode_ended"), step_seconds=0.01)
    (folder,) = (tmp_path / "runs").iterdir()
    (end,) = [event for event in read_lines(folder / "events.jsonl") if event["type"] == "run_ended"]
    assert end["status"] == "stopped"
    assert "plugins[0] RaisesIn failed in rlctl_episode_ended: LookupError" in end["reason"]


@pytest.mark.parametrize("hook", ["rlctl_training_ended", "rlctl_status_changed", "rlctl_run_ended"])
def test_an_object_that_raises_late_is_heard_as_well(site, tmp_path, hook):
    """An exception at the very end, or in a host hook, is raised from `rlctl.run`, too."""
    site("toy_worker")
    with pytest.raises(LookupError, match=f"raised in {hook}"):
        train(tmp_path, RaisesIn(hook))


def test_an_object_that_raises_does_not_blind_the_others(site, tmp_path):
    """Beside an object that raises, another still sees everything to the end."""
    site("toy_worker")
    watcher = Watcher()
    with pytest.raises(LookupError):
        train(tmp_path, RaisesIn("rlctl_training_started"), watcher, step_seconds=0.002)
    assert [name for name, _ in watcher.calls][-1] == "run_ended"
    steps = [progress.step for progress in watcher.of("step")]
    assert steps == list(range(len(steps)))


def test_an_object_with_a_misspelt_hook_is_refused_before_anything_starts(site, tmp_path):
    """A typo in an object is raised at once, with the right name, and nothing is written."""
    site("toy_worker")

    class Typo:
        @hookimpl
        def rlctl_stepped(self):
            pass

    with pytest.raises(PluginError, match="there is no hook rlctl_stepped"):
        train(tmp_path, Typo())
    assert not (tmp_path / "runs").exists()


# ---- what it costs -------------------------------------------------------------------------------------------------


def test_nothing_is_relayed_when_nobody_watches(site, tmp_path):
    """A run without objects writes no line for them."""
    site("toy_worker")
    assert not (train(tmp_path).directory / "logs" / "hooks.jsonl").exists()


def test_only_what_is_watched_is_relayed(site, tmp_path):
    """Of a run whose objects want episodes only, no step is written."""
    site("toy_worker")

    class Episodes:
        @hookimpl
        def rlctl_episode_ended(self, episode):
            pass

    directory = train(tmp_path, Episodes()).directory
    assert {line["hook"] for line in read_lines(directory / "logs" / "hooks.jsonl")} == {"rlctl_episode_ended"}


def test_the_writer_implements_what_is_wanted_only(tmp_path):
    """The worker builds no arguments for hooks that nobody in the host wants."""
    dispatcher = Dispatcher(lambda *_: None)
    writer = RelayWriter(tmp_path / "hooks.jsonl", ["rlctl_metrics"])
    dispatcher.register("relay", writer)
    assert dispatcher.wants("rlctl_metrics")
    assert not dispatcher.wants("rlctl_step")
    writer._file.close()


def test_a_wish_to_be_asked_means_steps(tmp_path):
    """An object that only wants to be asked whether to stop makes the worker relay its steps."""
    dispatcher = Dispatcher(lambda *_: None)

    class Asks:
        @hookimpl
        def rlctl_should_stop(self):
            return None

    dispatcher.register("asks", Asks())
    assert wanted_by(dispatcher) == ["rlctl_step"]


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path):
    """Half a line is no event yet, and is not lost either."""
    path, watcher = tmp_path / "hooks.jsonl", Watcher()
    dispatcher = Dispatcher(lambda *_: None)
    dispatcher.register("watcher", watcher)
    reader = RelayReader(path, None, dispatcher, lambda _: None)
    line = '{"hook": "rlctl_step", "data": {"step": 3, "episodes": 0, "seconds": 0.5}}\n'
    path.write_text(line + line[:30])
    reader.replay()
    assert len(watcher.calls) == 1
    path.write_text(line + line)
    reader.replay()
    assert watcher.of("step") == [Progress(step=3, episodes=0, seconds=0.5)] * 2
