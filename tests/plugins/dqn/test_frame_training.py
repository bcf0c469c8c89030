"""Trainings on stacked frames: when they are known as such, that they learn the same, and that they can be resumed."""

import attrs
import gymnasium
import numpy as np
import pytest
from gymnasium import wrappers
from tests.plugins.dqn.making import differences, parameters, train_to, training_of
from tests.plugins.dqn.screens import screens, stacked_screens

from rlctl_dqn.frame_storage import FrameStorage
from rlctl_dqn.observations import frames_of
from rlctl_dqn.storage import ColumnStorage

# ---- what is a stack -----------------------------------------------------------------------------------------------


def transposed(env):
    """Frames last."""
    space = gymnasium.spaces.Box(0, 255, (6, 5, 3), np.uint8)
    return wrappers.TransformObservation(env, lambda seen: np.moveaxis(seen, 0, -1), space)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (lambda: stacked_screens(3), 3),
        (lambda: wrappers.TimeLimit(stacked_screens(2, shape=(4, 4, 3)), 5), 2),
        (lambda: transposed(stacked_screens(3)), None),
        (lambda: wrappers.FrameStackObservation(gymnasium.make("CartPole-v1"), 3), None),
        (lambda: stacked_screens(3).unwrapped, None),
        (lambda: stacked_screens(3, shape=(4,)), None),
    ],
    ids=["frames", "colours", "frames last", "vectors", "one frame", "a stack of bytes"],
)
def test_a_stack_of_images_is_known_by_its_wrapper(env, expected):
    """Frames of bytes, along the first axis."""
    assert frames_of(env()) == expected


# ---- trainings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["reset", "zero"])
@pytest.mark.parametrize(("algo", "changes"), [("dqn", {}), ("rainbow", {"atoms": 5, "n_step": 3})])
def test_a_training_is_the_one_with_whole_stacks(algo, changes, padding, tmp_path):
    """The same networks to the last bit, with two environments and time limits."""
    trained = []
    for frames in (3, None):  # one after the other: the noise of both is from torch's generator
        env = screens(2, padding=padding, max_episode_steps=20)
        training, _ = training_of(tmp_path / str(frames), algo, env=env, buffer_size=90, **changes)
        assert training.envs.layout.frames == 3
        training.envs.layout = attrs.evolve(training.envs.layout, frames=frames)
        train_to(training, 200)
        trained.append(training)
    once, whole = trained
    assert isinstance(once.buffer.storage, FrameStorage)
    assert isinstance(whole.buffer.storage, ColumnStorage)
    assert differences(once.buffer, whole.buffer) == []
    assert np.array_equal(parameters(once.agent.online), parameters(whole.agent.online))


@pytest.mark.parametrize(("algo", "changes"), [("dqn", {}), ("rainbow", {"atoms": 5, "n_step": 3})])
def test_a_training_that_was_saved_goes_on_as_if_it_had_not_been(algo, changes, tmp_path):
    """Through files; the places of frames are the same, so that the first write after it shares as well."""
    one, other = (
        training_of(tmp_path / name, algo, env=screens(2), buffer_size=90, **changes)[0] for name in ("one", "other")
    )
    train_to(one, 150)
    (tmp_path / "saved").mkdir()
    one.write_state(tmp_path / "saved")
    train_to(one, 260)
    other.read_state(tmp_path / "saved")
    train_to(other, 260)
    saved, again = one.buffer.state()["arrays"], other.buffer.state()["arrays"]
    assert saved.keys() == again.keys()
    assert all(np.array_equal(saved[name], again[name]) for name in saved)
    assert np.array_equal(parameters(one.agent.online), parameters(other.agent.online))


def test_environments_in_processes_say_that_they_stack(tmp_path):
    """They store what those in this process do."""
    made = [training_of(tmp_path / kind, env=screens(2), vectorization=kind)[0] for kind in ("sync", "async")]
    for training in made:
        train_to(training, 80)
        training.envs.close()
    one, other = (training.buffer for training in made)
    assert isinstance(other.storage, FrameStorage)
    assert differences(one, other) == []


def atari_pong():
    """Pong as it is usually learned: grey, small, four frames."""
    ale_py = pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    gymnasium.register_envs(ale_py)
    env = gymnasium.make("ALE/Pong-v5", frameskip=1)
    return wrappers.FrameStackObservation(wrappers.AtariPreprocessing(env, noop_max=5), 4)


def test_a_game_of_atari_keeps_a_frame_a_step(tmp_path):
    """Some hundred steps of Pong."""
    if "RlctlPong-v0" not in gymnasium.registry:
        gymnasium.register("RlctlPong-v0", atari_pong, disable_env_checker=True)
    training, _ = training_of(tmp_path, env="RlctlPong-v0", learning_starts=290, buffer_size=1000, extractor="mlp")
    train_to(training, 300)
    storage = training.buffer.storage
    assert isinstance(storage, FrameStorage)
    assert training.buffer.size == 300
    assert storage.num_frames <= 300 + 5
    training.envs.close()
