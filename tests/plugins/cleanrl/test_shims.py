"""The shims give scripts the gym 0.23.1 and the gymnasium 0.29.1 that they were written for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.reference import REFERENCE, fingerprint

gymnasium = pytest.importorskip("gymnasium")
np = pytest.importorskip("numpy")

from rlctl_cleanrl.shims import episodes, old_gym, replay, vector, wrappers  # noqa: E402
from rlctl_cleanrl.shims.distutils import strtobool  # noqa: E402

PLUGIN = Path(__file__).parents[3] / "plugins" / "cleanrl"
RECORDED: dict[str, Any] = json.loads((REFERENCE / "transcripts.json").read_text())
TRANSCRIPT = """
import runpy, sys
from rlctl_cleanrl import shims
shims.install()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def python(folder: Path, code: str, *arguments: str) -> str:
    """Run code in an interpreter of its own, since shims change the whole process; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        cwd=folder,  # MuJoCo writes its warnings to a file in the current folder.
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PLUGIN)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module", params=RECORDED["runs"])
def transcribed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Return the recorded digests of a transcript, and those of the same program over the shims; each is run once."""
    if request.param.endswith("-v4"):
        pytest.importorskip("mujoco")
        pytest.importorskip("imageio")
    arguments = [str(REFERENCE / "transcript.py"), *request.param.split()]
    printed = python(tmp_path_factory.mktemp("transcript"), TRANSCRIPT, *arguments)
    return RECORDED["runs"][request.param], json.loads(printed)


def test_the_form_of_everything_a_vector_environment_returns_is_the_old_one(transcribed: tuple[Any, Any]) -> None:
    """On any CPU the types, shapes, keys, integers and ends of episodes of 700 steps equal those of that time."""
    there, here = transcribed
    assert here["form"] == there["form"]


def test_everything_a_vector_environment_returns_is_bit_exact(transcribed: tuple[Any, Any]) -> None:
    """Observations, rewards, ends and infos of 700 steps equal those of the real gym or gymnasium of that time."""
    there, here = transcribed
    other_bits = fingerprint.difference(RECORDED["fingerprint"])
    if other_bits:
        pytest.skip(f"{other_bits}; compared but for the floats")
    assert here["bits"] == there["bits"]


class Counting(gymnasium.Env):  # type: ignore[misc,name-defined]
    """Ends every episode after `length` steps; the observation is the number of the step."""

    observation_space = gymnasium.spaces.Box(0, 100, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length: int, truncates: bool = False) -> None:
        self.length, self.truncates, self.count, self.seeds = length, truncates, 0, []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start again at zero."""
        self.seeds.append(seed)
        self.count = 0
        return np.zeros(1, np.float32), {"started": True}

    def step(self, action: Any) -> Any:
        """Count on."""
        self.count += 1
        over = self.count == self.length
        end = (False, over) if self.truncates else (over, False)
        return np.full(1, self.count, np.float32), 1.0, *end, {"count": self.count}


def test_a_finished_environment_is_reset_in_the_same_step() -> None:
    """After the last step of an episode the observation is the first of the next, and the last is in the infos."""
    envs = vector.SyncVectorEnv([lambda: Counting(2), lambda: Counting(5)])
    envs.reset()
    envs.step(np.zeros(2, int))
    observation, reward, terminated, truncated, infos = envs.step(np.zeros(2, int))
    assert observation.tolist() == [[0], [2]]
    assert reward.dtype == np.float64
    assert terminated.tolist() == [True, False]
    assert truncated.tolist() == [False, False]
    assert infos["_final_info"].tolist() == [True, False]
    assert infos["final_info"].tolist() == [{"count": 2}, None]
    assert infos["final_observation"][0].tolist() == [2]
    assert infos["count"].tolist() == [0, 2]


def test_one_seed_counts_up_over_the_environments() -> None:
    """reset(seed=5) seeds the sub-environments with 5, 6 and 7; without a seed they get none."""
    envs = vector.SyncVectorEnv([lambda: Counting(2)] * 3)
    envs.reset(seed=5)
    envs.reset()
    assert [env.seeds for env in envs.envs] == [[5, None], [6, None], [7, None]]


def test_returned_arrays_are_the_callers_own() -> None:
    """What a step returned does not change in the next step."""
    envs = vector.SyncVectorEnv([lambda: Counting(9)])
    envs.reset()
    first = envs.step([0])
    envs.step([0])
    assert first[0].tolist() == [[1]]


def test_every_finished_episode_is_announced() -> None:
    """When two sub-environments finish in one step, the listener hears of both."""
    heard: list[tuple[float, int, int]] = []
    previous = episodes.listen(lambda *episode: heard.append(episode))
    envs = vector.SyncVectorEnv([lambda: wrappers.RecordEpisodeStatistics(Counting(2))] * 2)
    envs.reset()
    envs.step([0, 0])
    envs.step([0, 0])
    episodes.listen(previous)
    assert heard == [(2.0, 2, 0), (2.0, 2, 1)]


def test_old_vector_environments_return_four_things() -> None:
    """The old step has one `done` and a list of infos, with the last observation and the reason of a time limit."""
    envs = old_gym.SyncVectorEnv([lambda: Counting(1, truncates=True), lambda: Counting(1), lambda: Counting(3)])
    assert envs.reset().tolist() == [[0], [0], [0]]
    observation, _, done, infos = envs.step([0, 0, 0])
    assert observation.tolist() == [[0], [0], [1]]
    assert done.tolist() == [True, True, False]
    assert [info.get("TimeLimit.truncated") for info in infos] == [True, None, None]
    assert [info["terminal_observation"].tolist() for info in infos[:2]] == [[1], [1]]
    assert infos[2] == {"count": 1}


def test_an_old_seed_is_used_by_the_next_reset_only() -> None:
    """env.seed(n) takes effect at the next reset, through any wrappers, and once."""
    envs = old_gym.SyncVectorEnv([lambda: wrappers.RecordEpisodeStatistics(Counting(2))])
    old_gym.seed_env(envs.envs[0], 11)
    envs.reset()
    envs.reset()
    assert envs.envs[0].unwrapped.seeds == [11, None]


def test_infinite_observations_are_normalised_as_before() -> None:
    """The short way of updating by a single value gives the bits of the long one, also where a value is not finite."""
    short, long = wrappers.RunningMeanStd(shape=(2,)), wrappers.RunningMeanStd(shape=(2,))
    for value in [*np.random.default_rng(0).normal(size=(50, 2)).tolist(), [np.inf, 1.0]]:
        one = np.array(value, np.float32)
        with np.errstate(invalid="ignore"):
            short.update_one(one)
            long.update(np.array([one]))
        np.testing.assert_array_equal(short.mean, long.mean)
        np.testing.assert_array_equal(short.var, long.var)


@pytest.mark.parametrize(("word", "value"), [("True", 1), ("yes", 1), ("on", 1), ("0", 0), ("FALSE", 0), ("n", 0)])
def test_strtobool_reads_what_distutils_read(word: str, value: int) -> None:
    """The words for yes and no are those of distutils, in any case."""
    assert strtobool(word) == value


def test_strtobool_refuses_other_words() -> None:
    """A word that means neither is an error."""
    with pytest.raises(ValueError, match="maybe"):
        strtobool("maybe")


def test_a_buffer_of_numbers_takes_what_one_environment_returned() -> None:
    """Arrays of one element arrive as numbers of their kind, as numpy 2.4 wants them; observations as they are."""

    class Buffer:
        def add(self, *values: Any) -> None:
            self.values = values

    replay.take_numbers(Buffer)
    buffer, observation = Buffer(), np.zeros((1, 4))
    buffer.add(observation, np.array([3]), np.array([0.1]), observation, np.array([True]))
    assert buffer.values[0] is observation and buffer.values[3] is observation
    assert [(type(value), value) for value in (buffer.values[1], buffer.values[2], buffer.values[4])] == [
        (int, 3), (float, 0.1), (bool, True),
    ]  # fmt: skip


def test_a_buffer_may_keep_each_frame_once_and_heed_time_limits(tmp_path: Path) -> None:
    """The two options of stable-baselines3's ReplayBuffer together, and each by itself as before."""
    code = """
from rlctl_cleanrl.shims import replay
replay.install(); replay.install()
import numpy as np
from gymnasium.spaces import Box, Discrete
from stable_baselines3.common.buffers import ReplayBuffer
said = []
for options in ({"optimize_memory_usage": True}, {"optimize_memory_usage": True, "handle_timeout_termination": False}, {}):
    buffer = ReplayBuffer(5, Box(0, 1, (2,)), Discrete(2), "cpu", **options)
    one = np.ones((1, 2))
    buffer.add(one, one, np.array([1]), np.array([1.0]), np.array([True]), [{"TimeLimit.truncated": True}])
    said.append((hasattr(buffer, "next_observations"), float(buffer.timeouts[0, 0])))
print(said)
"""
    assert python(tmp_path, code) == "[(False, 1.0), (False, 0.0), (True, 1.0)]"


def test_scripts_find_old_names(tmp_path: Path) -> None:
    """After install() the imports of old scripts work, and a search for gym raises nothing."""
    code = """
from rlctl_cleanrl import shims
shims.install(); shims.install()
import gym, gymnasium, importlib.util
from gym.wrappers.normalize import RunningMeanStd
from gym.spaces import Box
from distutils.util import strtobool
assert Box is gymnasium.spaces.Box and gym.vector.SyncVectorEnv is not gymnasium.vector.SyncVectorEnv
names = "FlattenObservation RecordVideo FrameStack GrayScaleObservation ResizeObservation TransformReward".split()
assert all(hasattr(module.wrappers, name) for name in names for module in (gym, gymnasium))
print(gym.__version__, importlib.util.find_spec("gym").name)
"""
    assert python(tmp_path, code) == "0.23.1 gym"
