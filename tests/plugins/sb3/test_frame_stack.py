"""`frame_stack` is SB3's VecFrameStack: in training, in a checkpoint, and where the policy is measured."""

from __future__ import annotations

import json

import gymnasium
import numpy as np
import pytest
from tests.end_to_end.lifecycle import train

from rlctl_sb3.checks import problems_in

slow = pytest.mark.slow
SHORT = ["--set", "hyperparameters.n_steps=64"]
STACKED = [*SHORT, "--set", "hyperparameters.frame_stack=3"]
PROCESSES = ["--set", "hyperparameters.vectorization=async"]
NORMALIZED = ["--set", "hyperparameters.normalize=true"]


def test_it_is_the_training_by_hand(cli, tmp_path):
    """Normalised first, then stacked, as rl-zoo3 does: the same episodes, to the last bit."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

    found = []

    class Collect(BaseCallback):
        def _on_step(self):
            found.extend(info["episode"]["r"] for info in self.locals["infos"] if "episode" in info)
            return True

    envs = VecNormalize(DummyVecEnv([lambda: Monitor(gymnasium.make("CartPole-v1"))] * 2), gamma=0.99)
    PPO("MlpPolicy", VecFrameStack(envs, 3), n_steps=64, seed=3, device="cpu").learn(512, callback=Collect())

    words = ["sb3/ppo", "CartPole-v1", "--num-envs", "2", "-s", "3", *STACKED, *NORMALIZED]
    run = train(cli, tmp_path, "r", words, "-n", "512")

    ours = [json.loads(line)["return"] for line in (run / "episodes.jsonl").read_text().splitlines()]
    assert len(ours) > 10
    assert ours == found


def test_a_stack_resumes_and_is_measured_and_so_is_the_library_s_own_file(cli, tmp_path):
    """Of a checkpoint and of its model.zip the same returns, by what training saw of itself."""
    words = ["sb3/ppo", "CartPole-v1", *STACKED]
    measured = ["--set", "evaluation={every_steps: 256, episodes: 2, seed: 500}"]
    run = train(cli, tmp_path, "r", words, *measured, "-n", "256", "--stop-at", "128", code=75)
    resumed = cli("resume", run)
    assert resumed.code == 0, resumed.err
    (line,) = (run / "evaluations.jsonl").read_text().splitlines()
    seen = json.loads(line)
    arguments = ["--episodes", "2", "--seed", "500", "--json"]

    bundle = cli("evaluate", run, *arguments)
    file = cli("evaluate", run / "backend" / "model.zip", "--worker", "sb3/ppo", "--env", "CartPole-v1",
               "--set", "hyperparameters.frame_stack=3", *arguments)  # fmt: skip

    assert bundle.json()["evaluations"][0]["returns"] == seen["returns"]
    assert file.json()["evaluations"][0]["returns"] == seen["returns"]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["sb3/ppo", "CartPole-v1", *STACKED, *NORMALIZED, "--num-envs", "2"], id="ppo"),
        pytest.param(
            ["sb3/dqn", "CartPole-v1", "--set", "hyperparameters.frame_stack=3", "--set",
             "hyperparameters.learning_starts=50", "--set", "hyperparameters.vectorization=async"],
            id="dqn", marks=slow,
        ),
        pytest.param(
            ["sb3/ppo", "BreakoutNoFrameskip-v4", *SHORT, "--set", "hyperparameters.policy=CnnPolicy", "--set",
             "hyperparameters.n_epochs=1", "--set",
             "env.wrappers=['stable_baselines3.common.atari_wrappers:AtariWrapper']"],
            id="ppo, a game by single frames", marks=slow,
        ),
        pytest.param(
            ["sb3/ppo", "BreakoutNoFrameskip-v4", "--num-envs", "2", *SHORT, "--set", "hyperparameters.frame_stack=4",
             "--set", "hyperparameters.policy=CnnPolicy", "--set", "hyperparameters.n_epochs=1", "--set",
             "env.wrappers=['stable_baselines3.common.atari_wrappers:AtariWrapper']", *PROCESSES],
            id="ppo, a game in processes", marks=slow,
        ),
    ],
)  # fmt: skip
def test_a_stack_is_part_of_the_checkpoint(words, cli):
    """Stopped in the midst of episodes and resumed: the frames before are seen again."""
    if any("Breakout" in word for word in words):
        pytest.importorskip("ale_py", reason="needs ale-py")
        pytest.importorskip("cv2", reason="the wrappers need OpenCV")
    answer = cli("verify", "resume", *words, "-n", "512", "--json", timeout=280)
    assert answer.code == 0, answer.err
    assert (answer.json()["declared"], answer.json()["differences"]) == ("exact", [])


@pytest.mark.parametrize("shape", [(1, 84, 84, 1), (2, 84, 84, 1), (1, 36, 48, 4), (3, 40, 40, 3)], ids=str)
def test_the_last_images_of_a_checkpoint_lie_in_memory_as_those_of_a_training(shape):
    """PyTorch chooses by their strides how it convolves them, and rounds otherwise."""
    from rlctl_sb3.state import _channels_last

    images = np.random.default_rng(1).random(shape)
    living = np.transpose(images, (0, 3, 1, 2))  # as VecTransposeImage does
    restored = _channels_last(np.array(living, order="C"))
    assert restored.strides == living.strides
    assert np.array_equal(restored, living)


# ---- what a policy is shown ----------------------------------------------------------------------------------------


class Counting(gymnasium.Env):
    """Observes how many steps there have been; after its end at the fifth it can be gone on with."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, space):
        self.observation_space = space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 1
        return self._seen(), {}

    def step(self, action):
        self.count += 1
        return self._seen(), 0.0, self.count == 5, False, {}

    def _seen(self):
        space = self.observation_space
        if isinstance(space, gymnasium.spaces.Dict):
            return {key: np.full(part.shape, self.count, part.dtype) for key, part in space.items()}
        return np.full(space.shape, self.count, space.dtype)


BOX, IMAGE = gymnasium.spaces.Box(-9, 9, (2,)), gymnasium.spaces.Box(0, 255, (1, 40, 40), np.uint8)


@pytest.mark.parametrize(
    "space", [BOX, IMAGE, gymnasium.spaces.Dict({"a": BOX, "b": IMAGE})], ids=["box", "image", "dict"]
)
@pytest.mark.parametrize("normalize", [False, True])
def test_a_policy_is_shown_what_a_training_is(space, normalize):
    """Vectors, images with their channels first, dictionaries; normalised or not; over the ends of episodes."""
    from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

    from rlctl_sb3.policy import StackedFrames

    envs = DummyVecEnv([lambda: Counting(space)])
    normalized = VecNormalize(envs, training=False) if normalize else None
    if normalized is not None and not isinstance(space, gymnasium.spaces.Dict):
        normalized.obs_rms.update(np.stack([np.full(space.shape, value, float) for value in (1, 4, 6)]))
    training = VecFrameStack(normalized or envs, 3)
    shown = StackedFrames(Counting(space), training, normalized.normalize_obs if normalized else lambda seen: seen)
    assert shown.observation_space == training.observation_space
    theirs, (ours, _) = training.reset(), shown.reset()
    for _ in range(11):
        _same(theirs, ours)
        theirs, _, (done,), (info,) = training.step([0])
        ours, _, terminated, _, _ = shown.step(0)
        assert done == terminated
        if done:
            _same(info["terminal_observation"], ours, batch=False)
            ours, _ = shown.reset()


def _same(theirs, ours, *, batch=True):
    if isinstance(ours, dict):
        for key, part in ours.items():
            _same(theirs[key], part, batch=batch)
        return
    expected = theirs[0] if batch else theirs
    assert expected.dtype == ours.dtype
    assert np.array_equal(expected, ours)


def test_after_a_lost_life_the_stack_begins_anew():
    """It was an end to the training, which an evaluation goes on from by a step."""
    from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

    from rlctl_sb3.policy import StackedFrames

    shown = StackedFrames(Counting(BOX), VecFrameStack(DummyVecEnv([lambda: Counting(BOX)]), 3), lambda seen: seen)
    shown.reset()
    ends = [shown.step(0) for _ in range(4)]
    assert [end[2] for end in ends] == [False, False, False, True]
    assert ends[-1][0].tolist() == [3, 3, 4, 4, 5, 5]
    assert shown.step(0)[0].tolist() == [0, 0, 0, 0, 6, 6]


# ---- refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "settings", "found"),
    [
        ("sac", {"frame_stack": 2, "normalize": True}, ["hyperparameters.frame_stack"]),
        ("dqn", {"frame_stack": 4, "normalize": {"norm_reward": False}}, ["hyperparameters.frame_stack"]),
        ("dqn", {"frame_stack": 4, "normalize": False}, []),
        ("dqn", {"frame_stack": 1, "normalize": True}, []),
        ("ppo", {"frame_stack": 4, "normalize": True}, []),
    ],
)
def test_what_sb3_s_replay_buffer_cannot_hold_is_refused(algorithm, settings, found):
    """Frames that are normalised and then stacked: it would be handed the last one."""
    assert [problem.path for problem in problems_in(settings, algorithm)] == found


def test_what_cannot_be_stacked_is_named(cli, tmp_path):
    """A number that stands for a state is no frame."""
    run = train(cli, tmp_path, "r", ["sb3/ppo", "FrozenLake-v1", *STACKED], "-n", "64", code=1)
    assert "only arrays can be stacked, and FrozenLake-v1 observes Discrete(16)" in (run / "result.json").read_text()
