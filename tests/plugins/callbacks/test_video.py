"""`video`: films of the policy while it trains, which the training cannot tell."""

from __future__ import annotations

import pytest
from tests.plugins.callbacks.stepping import dqn_run, trajectory

from rlctl import ConfigError, EnvConfig, RunConfig, run
from rlctl.config.check import with_defaults
from rlctl.plugins import discover
from rlctl.runs.files import read_lines
from rlctl.testing import fake_run
from rlctl_callbacks.video import Video

imageio = pytest.importorskip("imageio.v2")


def filmed(root, **options):
    """Train DQN on CartPole for 600 steps, filmed, and return its run."""
    from rlctl_dqn.config import hyperparameters
    from rlctl_dqn.worker import DqnWorker

    given = {"learning_starts": 100, "buffer_size": 1000}
    made = fake_run(root, hyperparameters=given, parameters=hyperparameters("dqn"), total_timesteps=600)
    made.info.config["checkpoint"] = {"replay_buffer": True}
    video = Video(made.info, **with_defaults(options, discover().callback("video").descriptor.options))
    made._dispatcher.register("video", video)
    DqnWorker().train(made)
    made.finish()
    return made


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A training that was filmed each 300 steps, small, with a speed of its own."""
    options = {"every_steps": 300, "height": 100, "fps": 20, "max_steps": 5}
    return filmed(tmp_path_factory.mktemp("films"), **options)


def test_a_film_is_made_each_so_many_steps(films):
    """There is one for each, the last at the very end, and an event that says so."""
    names = [f"training-step-{step:012d}.mp4" for step in (300, 600)]
    assert sorted(path.name for path in (films.info.directory / "videos").iterdir()) == names
    events = [line for line in read_lines(films.info.directory / "events.jsonl") if line["type"] == "video_saved"]
    assert [(line["step"], line["file"]) for line in events] == [
        (300, f"videos/{names[0]}"), (600, f"videos/{names[1]}")
    ]  # fmt: skip


def test_a_film_has_the_size_the_speed_and_the_length_that_are_asked_for(films):
    """Read back it is as high, as fast and as long as that; the width follows."""
    path = films.info.directory / "videos" / "training-step-000000000300.mp4"
    with imageio.get_reader(path) as reader:
        about = reader.get_meta_data()
        assert about["size"] == (150, 100)
        assert about["fps"] == 20
        assert reader.count_frames() == 6


def test_a_training_that_is_filmed_is_the_same(films, tmp_path):
    """The episodes are the same to the last bit as of a training that nobody looks at."""
    assert trajectory(films) == trajectory(dqn_run(tmp_path))


def test_films_by_episodes_as_gif(tmp_path):
    """`every_episodes` counts training episodes, and a GIF can be had."""
    made = filmed(tmp_path, every_episodes=3, format="gif", max_steps=3, height=64)
    films = list((made.info.directory / "videos").iterdir())
    assert len(films) == made.episodes // 3 > 0
    assert {path.suffix for path in films} == {".gif"}
    assert imageio.mimread(films[0])[0].shape[:2] == (64, 96)


def refused(callbacks, worker="dqn", env="CartPole-v1", **kwargs):
    """Return what is said of a run before it starts."""
    given = {"progress": False, **callbacks}
    with pytest.raises(ConfigError) as caught:
        run(RunConfig(worker=worker, env=EnvConfig(id=env, **kwargs), callbacks=given))
    return {problem.path: problem.message for problem in caught.value.problems}


def test_what_cannot_be_filmed_or_recorded_is_said_before_the_start(rlctl_env):
    """How often, an odd height, no pictures, senseless names of infos: all at once."""
    said = refused({"video": {"height": 99}, "frames": True, "transitions": {"infos": [3]}})
    assert said["callbacks.video"] == "does not say how often to film."
    assert said["callbacks.video.height"] == "must be even, got 99"
    assert said["callbacks.frames"] == "needs an environment that was made to show pictures."
    assert said["callbacks.transitions.infos[0]"] == "expected the name of an entry of info, got 3"


def test_a_worker_that_shows_nothing_is_refused(rlctl_env, site):
    """What a callback needs of a worker is known before anything starts."""
    site("toy_worker")
    said = refused({"transitions": True}, worker="toy", env="toy")
    assert said["callbacks.transitions"] == "worker toy does not show the steps of its environments."
