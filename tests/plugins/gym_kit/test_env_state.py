"""An environment's state, taken in the midst of an episode and put into a fresh one, gives the same future to the bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

gymnasium = pytest.importorskip("gymnasium")
np = pytest.importorskip("numpy")

from gymnasium import spaces, wrappers  # noqa: E402

from rlctl.gym.env_state import (  # noqa: E402
    env_state,
    generator_from,
    is_data,
    is_exact,
    set_env_state,
    set_space_generator,
    space_generators,
)

SMALL = [
    "CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0",
    "FrozenLake-v1", "FrozenLake8x8-v1", "Taxi-v4", "CliffWalking-v1", "Blackjack-v1",
]  # fmt: skip
# Doors, keys and boxes; balls that move by chance; instructions that speak of objects; rooms that know their doors.
MINIGRID = [
    "MiniGrid-Empty-Random-6x6-v0", "MiniGrid-DoorKey-5x5-v0", "MiniGrid-Dynamic-Obstacles-6x6-v0", "MiniGrid-MemoryS7-v0",
    "MiniGrid-ObstructedMaze-1Dlhb-v0", "MiniGrid-LavaCrossingS9N1-v0", "BabyAI-GoToRedBallNoDists-v0",
    "BabyAI-PutNextS5N2Carrying-v0", "BabyAI-KeyInBox-v0",
]  # fmt: skip
MUJOCO = ["HalfCheetah-v5", "Ant-v5", "Humanoid-v5", "Hopper-v5"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let MuJoCo write its log where it disturbs nobody."""
    monkeypatch.chdir(tmp_path)


def make(env_id: str, *layers: Any, limit: int = 40) -> Any:
    """Make an environment with a short limit, so that a few hundred steps are several episodes, and wrap it."""
    try:
        env = gymnasium.make(env_id, max_episode_steps=limit)
    except (gymnasium.error.Error, ImportError) as error:
        pytest.skip(f"{env_id}: {error}")
    for layer in layers:
        env = layer(env)
    return env


def through_files(state: Any, folder: Path) -> Any:
    """Return a state as a checkpoint gives it back; without torch it is the state itself."""
    try:
        from rlctl.torch.data import read_data, write_data
    except ImportError:
        return state
    write_data(folder, "environment", state)
    return read_data(folder, "environment")


def play(env: Any, steps: int) -> Iterator[tuple[Any, ...]]:
    """Yield all that can be seen of `steps` steps under actions of the environment's own space."""
    for _ in range(steps):
        action = env.action_space.sample()
        observation, reward, terminated, truncated, info = env.step(action)
        statistics = {name: info["episode"][name] for name in ("r", "l")} if "episode" in info else None
        yield _bits(action), _bits(observation), _bits(reward), terminated, truncated, _bits(statistics)
        if terminated or truncated:
            observation, _ = env.reset()
            yield ("reset", _bits(observation))


def _bits(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bits(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_bits, value))
    return None if value is None else (np.asarray(value).dtype.str, np.asarray(value).tobytes())


def assert_same_future(env: Any, fresh: Any, folder: Path, *, before: int = 57, after: int = 200) -> None:
    """Play one environment, put its state into the other, and see both play the same."""
    env.action_space.seed(3)
    env.reset(seed=5)
    for _ in play(env, before):
        pass
    set_env_state(fresh, through_files(env_state(env), folder))
    future = list(play(env, after))
    assert list(play(fresh, after)) == future
    assert sum(item[0] == "reset" for item in future) >= 2, "the future should have several episodes"


@pytest.mark.parametrize("env_id", SMALL)
def test_small_environments_go_on_to_the_bit(env_id: str, tmp_path: Path) -> None:
    """Classic control and toy text: actions, observations, rewards, ends and statistics are those of the original."""
    layers = (wrappers.RecordEpisodeStatistics,)
    env = make(env_id, *layers)
    assert_same_future(env, make(env_id, *layers), tmp_path)
    assert is_exact(env)


@pytest.mark.parametrize("env_id", MINIGRID)
def test_minigrid_goes_on_to_the_bit(env_id: str, tmp_path: Path) -> None:
    """MiniGrid and BabyAI: the same for objects that are open, carried or hidden in another."""
    minigrid = pytest.importorskip("minigrid.wrappers")
    env = make(env_id, minigrid.ImgObsWrapper)
    assert_same_future(env, make(env_id, minigrid.ImgObsWrapper), tmp_path)
    assert is_exact(env)


def test_what_is_the_same_object_stays_the_same_object() -> None:
    """A key that is carried and hidden nowhere else is one key; a door stands in the grid and in the room's list."""
    pytest.importorskip("minigrid")
    env, fresh = make("BabyAI-PutNextS5N2Carrying-v0"), make("BabyAI-PutNextS5N2Carrying-v0")
    env.reset(seed=1)
    set_env_state(fresh, env_state(env))
    base = fresh.unwrapped
    assert base.carrying is not None
    assert base.carrying in base.instrs.desc_move.obj_set
    assert base.instrs.env is base


def test_no_class_from_elsewhere_is_made_of_a_grids_state() -> None:
    """A checkpoint that somebody sent names a class of its own."""
    pytest.importorskip("minigrid")
    env = make("MiniGrid-Empty-5x5-v0")
    env.reset(seed=1)
    state = env_state(env)
    state["minigrid"][1]["class"] = "subprocess:Popen"
    with pytest.raises(ValueError, match="subprocess:Popen, which is no class of the environment's package"):
        set_env_state(env, state)


@pytest.mark.parametrize("env_id", MUJOCO)
def test_mujoco_goes_on_to_the_bit(env_id: str, tmp_path: Path) -> None:
    """MuJoCo: the same, although its state is kept outside of Python."""
    pytest.importorskip("mujoco")
    layers = (wrappers.RecordEpisodeStatistics,)
    env = make(env_id, *layers)
    assert_same_future(env, make(env_id, *layers), tmp_path)
    assert is_exact(env)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "HalfCheetah-v5"])
def test_normalisation_goes_on_to_the_bit(env_id: str, tmp_path: Path) -> None:
    """Running statistics of observations and rewards are part of the state, wherever they stand in the chain."""
    if env_id.startswith("Half"):
        pytest.importorskip("mujoco")
    layers = (wrappers.NormalizeObservation, wrappers.RecordEpisodeStatistics, wrappers.NormalizeReward)
    assert_same_future(make(env_id, *layers), make(env_id, *layers), tmp_path)


def test_cleanrls_normalisation_goes_on_to_the_bit(tmp_path: Path) -> None:
    """The same for the statistics of gymnasium 0.29, which CleanRL's scripts have."""
    shims = pytest.importorskip("rlctl_cleanrl.shims.wrappers")
    layers = (shims.RecordEpisodeStatistics, shims.ClipAction, shims.NormalizeObservation, shims.NormalizeReward)
    assert_same_future(make("Pendulum-v1", *layers), make("Pendulum-v1", *layers), tmp_path)
    assert is_exact(make("Pendulum-v1", *layers))


@pytest.mark.parametrize("before", [0, 1, 39, 40, 41])
def test_the_limit_of_an_episode_is_counted_on(before: int, tmp_path: Path) -> None:
    """How many steps are left until an episode is truncated comes along, at its first and at its last step too."""
    assert_same_future(make("Pendulum-v1"), make("Pendulum-v1"), tmp_path, before=before)


def test_a_used_environment_can_be_overwritten(tmp_path: Path) -> None:
    """It need not be fresh: what it was is gone."""
    other = make("CartPole-v1")
    other.reset(seed=99)
    for _ in play(other, 23):
        pass
    assert_same_future(make("CartPole-v1"), other, tmp_path)


def test_without_the_state_the_future_is_another(tmp_path: Path) -> None:
    """These tests can fail: a fresh environment of the same seed goes another way."""
    env, fresh = make("CartPole-v1"), make("CartPole-v1")
    env.reset(seed=5)
    for _ in play(env, 57):
        pass
    fresh.reset(seed=5)
    assert list(play(env, 50)) != list(play(fresh, 50))


def test_taking_the_state_changes_nothing() -> None:
    """An environment whose state was taken goes on as if it had not been."""
    envs = [make("CartPole-v1"), make("CartPole-v1")]
    seen = []
    for index, env in enumerate(envs):
        env.action_space.seed(1)
        env.reset(seed=1)
        lines = []
        for line in play(env, 100):
            lines.append(line)
            if index:
                env_state(env)
        seen.append(lines)
    assert seen[0] == seen[1]


def test_a_state_of_others_wrappers_is_refused(tmp_path: Path) -> None:
    """A chain that has become another does not take the state: which of its links would it be for?"""
    env = make("CartPole-v1", wrappers.RecordEpisodeStatistics)
    env.reset(seed=1)
    state = env_state(env)
    with pytest.raises(ValueError, match="links, the saved state"):
        set_env_state(make("CartPole-v1"), state)
    with pytest.raises(
        ValueError, match="the saved state is of RecordEpisodeStatistics, the environment has Autoreset"
    ):
        set_env_state(make("CartPole-v1", wrappers.Autoreset), state)


def test_a_state_is_plain_data() -> None:
    """A state of a small environment has no object in it that JSON and arrays could not hold."""
    env = make("CartPole-v1", wrappers.RecordEpisodeStatistics, wrappers.NormalizeObservation)
    env.reset(seed=1)
    assert is_data(env_state(env))
    assert not is_data([object()])
    assert not is_data(np.array([object()]))
    json.dumps(env_state(env), default=str)


class _Foreign(gymnasium.Env):  # type: ignore[misc, name-defined]
    """An environment that nobody has looked at."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Discrete(2)


class _ForeignWrapper(gymnasium.Wrapper):  # type: ignore[misc, name-defined]
    """A wrapper that nobody has looked at."""


def test_a_stranger_is_not_called_exact() -> None:
    """Of an environment or wrapper that is not known it is not said that its state is complete."""
    assert not is_exact(_Foreign())
    assert not is_exact(_ForeignWrapper(make("CartPole-v1")))
    assert is_exact(make("CartPole-v1"))


# ---- spaces and generators -----------------------------------------------------------------------------------------

NESTED = {
    "tuple": lambda: spaces.Tuple((spaces.Discrete(9), spaces.Box(0, 1, (2,)))),
    "dict": lambda: spaces.Dict({"a": spaces.MultiBinary(3), "b": spaces.Tuple((spaces.Discrete(7),))}),
    "multi": lambda: spaces.MultiDiscrete([3, 4]),
}


@pytest.mark.parametrize("kind", NESTED)
def test_generators_of_spaces_come_back(kind: str) -> None:
    """A space goes on drawing what it would have, and so do the spaces inside of it."""
    space, fresh = NESTED[kind](), NESTED[kind]()
    space.seed(3)
    space.sample()
    for path, state in list(space_generators(space)):
        set_space_generator(fresh, path, state)
    assert [_bits(fresh.sample()) for _ in range(5)] == [_bits(space.sample()) for _ in range(5)]


def test_a_space_that_was_never_drawn_from_has_no_state() -> None:
    """Asking for its state must not seed it."""
    assert list(space_generators(spaces.Discrete(3))) == []
    assert list(space_generators(None)) == []


@pytest.mark.parametrize("name", ["PCG64", "MT19937", "Philox", "SFC64", "PCG64DXSM"])
def test_generators_of_any_kind_come_back(name: str) -> None:
    """Whatever bit generator an environment uses."""
    generator = np.random.Generator(getattr(np.random, name)(7))
    generator.random(5)
    twin = generator_from(generator.bit_generator.state)
    assert twin.random(5).tobytes() == generator.random(5).tobytes()
