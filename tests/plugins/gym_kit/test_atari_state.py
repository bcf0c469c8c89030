"""A game of an Atari emulator, saved in the midst of it and put into a fresh emulator, is played on the same to the bit."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

gymnasium = pytest.importorskip("gymnasium")
ale_py = pytest.importorskip("ale_py")
np = pytest.importorskip("numpy")

from gymnasium import wrappers  # noqa: E402

from rlctl.gym.atari_state import atari_state, set_atari_state  # noqa: E402
from rlctl.gym.env_state import env_state, inexact, is_data, is_exact, set_env_state  # noqa: E402

gymnasium.register_envs(ale_py)

STICKY = {"repeat_action_probability": 0.25}


def make(game: str, *layers: Any, **kwargs: Any) -> Any:
    """Make a game, sticky if nothing else is said, and wrap it."""
    env = gymnasium.make(f"ALE/{game}-v5", **{**STICKY, **kwargs})
    for layer in layers:
        env = layer(env)
    return env


def play(env: Any, steps: int, seed: int) -> list[Any]:
    """Return all that can be seen of `steps` steps; finished episodes are followed by the next."""
    chance, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        action = env.action_space.sample() if hasattr(env.action_space, "low") else chance.integers(env.action_space.n)
        observation, reward, terminated, truncated, info = env.step(action)
        info.pop("episode", None)  # it has seconds
        seen.append((_bits(observation), reward, terminated, truncated, repr(sorted(info.items()))))
        if terminated or truncated:
            seen.append(_bits(env.reset()[0]))
    return seen


def _bits(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {name: _bits(part) for name, part in observation.items()}
    return np.asarray(observation).tobytes()


def through_files(state: Any, folder: Path) -> Any:
    """Return a state as a checkpoint gives it back; without torch it is the state itself."""
    try:
        from rlctl.torch.data import read_data, write_data
    except ImportError:
        return state
    write_data(folder, "environment", state)
    return read_data(folder, "environment")


def assert_same_future(make_env: Any, folder: Path, *, before: int = 150, after: int = 250) -> None:
    """Play, save, put it into a fresh environment and see the two play the same; saving alone must change nothing."""
    env, fresh, untouched = make_env(), make_env(), make_env()
    for each in (env, untouched):
        each.action_space.seed(3)
        each.reset(seed=5)
        play(each, before, seed=1)
    set_env_state(fresh, through_files(env_state(env), folder))
    future = play(untouched, after, seed=2)
    assert play(env, after, seed=2) == future
    assert play(fresh, after, seed=2) == future
    assert is_exact(env)


@pytest.mark.parametrize("game", ["Breakout", "Pong", "Seaquest", "MontezumaRevenge"])
def test_a_game_with_sticky_actions_goes_on_to_the_bit(game: str, tmp_path: Path) -> None:
    """Paddles and joysticks: observations, rewards, ends, lives and frame counts are those of the original."""
    assert_same_future(partial(make, game), tmp_path)


@pytest.mark.parametrize("probability", [0.0, 0.9])
def test_any_stickiness_goes_on_to_the_bit(probability: float, tmp_path: Path) -> None:
    """None at all, and nearly nothing else: what is held then counts for dozens of frames."""
    assert_same_future(partial(make, "Breakout", repeat_action_probability=probability), tmp_path)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"obs_type": "ram"},
        {"frameskip": (2, 5)},
        {"mode": 1, "difficulty": 1},
        {"max_num_frames_per_episode": 500},
        {"continuous": True, "repeat_action_probability": 0.0},
    ],
    ids=str,
)
def test_all_arguments_of_the_environment_go_on_to_the_bit(kwargs: dict[str, Any], tmp_path: Path) -> None:
    """Random frame skips, other modes, limits in frames, continuous actions."""
    assert_same_future(partial(make, "SpaceInvaders", **kwargs), tmp_path, after=200)


def test_the_held_action_comes_back() -> None:
    """What a nearly deaf emulator holds is not in its own copy of its state, and comes back nevertheless."""
    kwargs = {"repeat_action_probability": 0.9, "frameskip": 1}
    env, fresh = (make("Breakout", **kwargs).unwrapped for _ in range(2))
    forgotten = []
    for turn in range(3):
        for each, action in ((env, 2), (fresh, 3)):  # right, left
            each.reset(seed=turn)
            for _ in range(20 + turn):
                each.step(action)
        state = atari_state(env)
        fresh.ale.restoreState(ale_py.ALEState(state["emulator"]))
        without = play(fresh, 60, seed=turn)
        set_atari_state(fresh, state)
        future = play(env, 60, seed=turn)
        assert play(fresh, 60, seed=turn) == future
        forgotten.append(without != future)
    assert any(forgotten), "the emulator's own copy would have done"


def test_gymnasiums_wrappers_for_atari_go_on_to_the_bit(tmp_path: Path) -> None:
    """Pooled frames, lives, the stack of frames and statistics are part of the state."""
    pytest.importorskip("cv2")
    layers = (
        partial(wrappers.AtariPreprocessing, terminal_on_life_loss=True),
        partial(wrappers.FrameStackObservation, stack_size=4),
        wrappers.RecordEpisodeStatistics,
    )
    assert_same_future(partial(make, "Breakout", *layers, frameskip=1), tmp_path)


def test_sb3s_wrappers_for_atari_go_on_to_the_bit(tmp_path: Path) -> None:
    """The same for the wrappers that SB3's users and CleanRL's scripts have."""
    pytest.importorskip("cv2")
    atari = pytest.importorskip("stable_baselines3.common.atari_wrappers")
    layers = (partial(atari.AtariWrapper, action_repeat_probability=0.25), wrappers.RecordEpisodeStatistics)
    assert_same_future(partial(make, "Breakout", *layers, frameskip=1), tmp_path)


def test_cleanrls_wrappers_for_atari_go_on_to_the_bit(tmp_path: Path) -> None:
    """Grey, resized and stacked lazily, as gymnasium 0.29 did."""
    pytest.importorskip("cv2")
    images = pytest.importorskip("rlctl_cleanrl.shims.images")
    layers = (
        images.GrayScaleObservation,
        partial(images.ResizeObservation, shape=(84, 84)),
        partial(images.FrameStack, num_stack=4),
    )
    assert_same_future(partial(make, "Breakout", *layers), tmp_path)


def test_a_state_of_a_game_is_plain_data() -> None:
    """Bytes, numbers and arrays; the actions, an enumeration, are made anew."""
    env = make("Breakout")
    env.reset(seed=1)
    assert is_data(env_state(env))
    assert not is_data(ale_py.Action.FIRE)


@pytest.mark.parametrize("kwargs", [{"continuous": True}, {"sound_obs": True}], ids=str)
def test_a_game_that_keeps_something_to_itself_is_not_called_exact(kwargs: dict[str, Any]) -> None:
    """How far a held stick was moved and the sound cannot be found out; without stickiness nothing is held."""
    env = make("Breakout", **kwargs)
    assert len(list(inexact([env]))) == 1
    assert is_exact(make("Breakout", **kwargs, repeat_action_probability=0.0)) == ("continuous" in kwargs)


def test_saving_a_game_that_is_not_exact_changes_nothing_either() -> None:
    """The sound that is heard after a save is the one that would have been heard."""
    env, untouched = (make("SpaceInvaders", sound_obs=True) for _ in range(2))
    for each in (env, untouched):
        each.reset(seed=5)
        play(each, 100, seed=1)
    env_state(env)
    assert play(env, 100, seed=2) == play(untouched, 100, seed=2)
