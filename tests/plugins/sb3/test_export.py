"""SB3's policies as networks: what is exported does what `predict` does, for every kind of observation and action."""

from __future__ import annotations

import gymnasium
import numpy as np
import onnx
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import ARS, QRDQN, TQC, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize
from tests.plugins.exporting import IDENTITY, both_formats, exportable, run_onnx

from rlctl import NotAvailableError, RlctlError
from rlctl.torch.export import to_onnx
from rlctl_sb3.export import to_zip
from rlctl_sb3.masks import ActionMasks
from rlctl_sb3.state import Sb3State

slow = pytest.mark.slow
OBSERVATIONS = {
    "vector": spaces.Box(-1, 1, (3,)),
    "unbounded": spaces.Box(-np.inf, np.inf, (3,), np.float64),
    "matrix": spaces.Box(-1, 1, (2, 2)),
    "discrete": spaces.Discrete(5),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_binary": spaces.MultiBinary(4),
    "image": spaces.Box(0, 255, (36, 36, 3), np.uint8),
    "channels_first": spaces.Box(0, 255, (3, 36, 36), np.uint8),
    "small_image": spaces.Box(0, 255, (7, 7, 3), np.uint8),
    "dict": spaces.Dict({
        "where": spaces.Box(-5, 5, (2,)), "seen": spaces.Box(0, 255, (36, 36, 3), np.uint8), "held": spaces.Discrete(3),
    }),
}  # fmt: skip
ACTIONS = {
    "discrete": spaces.Discrete(3),
    "box": spaces.Box(np.array([-2, 0], np.float32), np.array([3, 9], np.float32)),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_binary": spaces.MultiBinary(3),
}


class Any(gymnasium.Env):
    """Random observations of a space; episodes of five steps; a forbidden action ends the test."""

    def __init__(self, observation, action):
        self.observation_space, self.action_space = OBSERVATIONS[observation], ACTIONS[action]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self._steps = 0
        return self.observation_space.sample(), self._info()

    def step(self, action):
        assert self.action_space.contains(action), action
        self._steps += 1
        return self.observation_space.sample(), 1.0, self._steps == 5, False, self._info()

    def _info(self):
        return {"action_mask": np.arange(3) != self._steps % 3}


gymnasium.register("RlctlAny-v0", Any, disable_env_checker=True)

ROLLOUTS, OFF_POLICY = {"n_steps": 8, "batch_size": 8}, {"buffer_size": 50}
STATISTICS = {"norm_obs_keys": ["where"]}


def state_of(cls, observation, action, *, normalize=None, masked=False, policy=None, frames=None, **settings):
    """A model that has learned nothing, with statistics of some steps if it normalises, of so many frames if it stacks."""

    def make():
        env = gymnasium.make("RlctlAny-v0", observation=observation, action=action)
        return ActionMasks(env) if masked else env

    venv = DummyVecEnv([make])
    if normalize is not None:
        venv = VecNormalize(venv, **normalize)
    if frames is not None:
        venv = VecFrameStack(venv, frames)
    kind = "MultiInputPolicy" if observation == "dict" else "CnnPolicy" if "image" in observation else "MlpPolicy"
    model = cls(policy or kind, venv, seed=1, device="cpu", **settings)
    if normalize is not None:
        venv.reset()
        for _ in range(30):
            venv.step(np.array([model.action_space.sample()]))
    return Sb3State(model, False, None, masked=masked)


def env_of(observation, action):
    """The configuration of such an environment."""
    return {"id": "RlctlAny-v0", "kwargs": {"observation": observation, "action": action}}


CASES = {
    "ppo": (PPO, "vector", "discrete", ROLLOUTS),
    "ppo, normalised, bounded": (PPO, "vector", "box", {"normalize": {"clip_obs": 1.5}, **ROLLOUTS}),
    "ppo, float64": (PPO, "unbounded", "multi_discrete", ROLLOUTS),
    "ppo, matrix": (PPO, "matrix", "multi_binary", ROLLOUTS),
    "ppo, one-hot": (PPO, "discrete", "discrete", ROLLOUTS),
    "ppo, image": (PPO, "image", "discrete", ROLLOUTS),
    "ppo, dict": (PPO, "dict", "discrete", {"normalize": STATISTICS, **ROLLOUTS}),
    "ppo, gSDE": (PPO, "vector", "box", {"use_sde": True, **ROLLOUTS}),
    "sac": (SAC, "vector", "box", OFF_POLICY),
    "td3, normalised": (TD3, "vector", "box", {"normalize": {}, **OFF_POLICY}),
    "dqn": (DQN, "vector", "discrete", OFF_POLICY),
    "qrdqn": (QRDQN, "vector", "discrete", OFF_POLICY),
    "maskable_ppo": (MaskablePPO, "vector", "discrete", {"masked": True, **ROLLOUTS}),
    "maskable_ppo, stacked": (MaskablePPO, "vector", "discrete", {"masked": True, "frames": 3, **ROLLOUTS}),
    "ppo, stacked images": (PPO, "image", "box", {"frames": 2, **ROLLOUTS}),
}
SLOW_CASES = {
    "ppo, several one-hot": (PPO, "multi_discrete", "box", ROLLOUTS),
    "ppo, bits": (PPO, "multi_binary", "discrete", ROLLOUTS),
    "ppo, channels first": (PPO, "channels_first", "box", {"policy": "CnnPolicy", **ROLLOUTS}),
    "dqn, image": (DQN, "image", "discrete", OFF_POLICY),
    "tqc": (TQC, "dict", "box", OFF_POLICY),
    "crossq": (CrossQ, "vector", "box", OFF_POLICY),
    "ars": (ARS, "vector", "box", {}),
}


@pytest.mark.parametrize("case", [*CASES, *(pytest.param(name, marks=slow) for name in SLOW_CASES)])
def test_what_is_exported_acts_as_predict_does(case, tmp_path):
    """ONNX by onnxruntime and TorchScript, each loaded anew, for observations by chance and of episodes."""
    cls, observation, action, settings = {**CASES, **SLOW_CASES}[case]
    found = both_formats(state_of(cls, observation, action, **settings), env_of(observation, action), tmp_path)

    assert found["observations"] == 512
    assert found["max_difference"] <= 1e-5
    assert found["outputs"][0] == "action"
    assert found["inputs"] == {"dict": ["held", "seen", "where"] if observation == "dict" else None}.get(
        observation, ["observation", *(["action_masks"] if settings.get("masked") else [])]
    )


def test_a_user_needs_nothing_but_the_file(tmp_path):
    """Bytes of an image as the environment gives them, any number of them, to the actions of `predict`; by hand."""
    state = state_of(PPO, "small_image", "discrete", **ROLLOUTS, policy_kwargs=_small_cnn())
    to_onnx(exportable(state, env_of("small_image", "discrete"), tmp_path / "policy.onnx"))

    for count in (1, 2, 33):
        seen = np.random.default_rng(count).integers(0, 256, (count, 7, 7, 3), np.uint8)
        actions, logits = run_onnx(tmp_path / "policy.onnx", observation=seen)
        assert actions.tolist() == state.model.predict(seen, deterministic=True)[0].tolist()
        assert np.array_equal(logits.argmax(axis=1), actions)


def _small_cnn():
    from rlctl_sb3.extractors import SmallCNN

    return {"features_extractor_class": SmallCNN}


def test_statistics_bounds_and_names_are_in_the_file(tmp_path):
    """Raw observations go in, actions within the bounds come out; the file says whose policy it is."""
    state = state_of(PPO, "dict", "box", normalize=STATISTICS, **ROLLOUTS)
    with torch.no_grad():
        state.model.policy.action_net.bias.copy_(torch.tensor([100.0, -100.0]))
    to_onnx(exportable(state, env_of("dict", "box"), tmp_path / "policy.onnx"))

    seen = {name: np.stack([space.sample()] * 2) for name, space in OBSERVATIONS["dict"].items()}
    (actions,) = run_onnx(tmp_path / "policy.onnx", **seen)
    assert actions.tolist() == [[3.0, 0.0]] * 2
    said = {item.key: item.value for item in onnx.load(tmp_path / "policy.onnx").metadata_props}
    assert said["rlctl.run_id"] == IDENTITY["run_id"]
    assert said["rlctl.step"] == "7"
    assert '"Discrete(2)"' in said["rlctl.spaces"]


def test_the_version_of_the_operators_can_be_chosen(tmp_path):
    """`opset` of the file is what the option says."""
    state = state_of(PPO, "vector", "discrete", **ROLLOUTS)
    to_onnx(exportable(state, env_of("vector", "discrete"), tmp_path / "policy.onnx", options={"opset": 20}))
    assert [item.version for item in onnx.load(tmp_path / "policy.onnx").opset_import if item.domain == ""] == [20]


def test_what_torchscript_says_of_itself(tmp_path):
    """Whose policy it is, in an extra file that PyTorch reads."""
    from rlctl.torch.export import to_torchscript

    state = state_of(PPO, "vector", "discrete", **ROLLOUTS)
    to_torchscript(exportable(state, env_of("vector", "discrete"), tmp_path / "policy.pt"))
    said = {"rlctl.json": ""}
    with pytest.warns(DeprecationWarning, match=r"torch\.jit\.load"):
        torch.jit.load(tmp_path / "policy.pt", _extra_files=said)
    assert b'"run_id": "first"' in said["rlctl.json"]


def test_a_policy_that_remembers_is_refused_with_the_reason(tmp_path):
    """It is no map from an observation to an action; nothing is written."""
    state = state_of(RecurrentPPO, "vector", "discrete", policy="MlpLstmPolicy", **ROLLOUTS)
    with pytest.raises(NotAvailableError, match=r"not available as a network, because its policy remembers.*sb3-zip"):
        to_onnx(exportable(state, env_of("vector", "discrete"), tmp_path / "policy.onnx"))
    assert list(tmp_path.iterdir()) == []


def test_frames_that_were_normalised_and_then_stacked_are_refused_with_the_reason(tmp_path):
    """A stack begins with zeros, which are not what a normalised zero is; SB3's zip has no such trouble."""
    state = state_of(PPO, "vector", "box", normalize={}, frames=3, **ROLLOUTS)
    with pytest.raises(NotAvailableError, match=r"its frames are normalised before they are stacked.*sb3-zip"):
        to_onnx(exportable(state, env_of("vector", "box"), tmp_path / "policy.onnx"))
    assert to_zip(exportable(state, env_of("vector", "box"), tmp_path / "model.zip"))["max_difference"] <= 1e-6


def test_a_file_that_acts_otherwise_is_found(tmp_path, monkeypatch):
    """The check can fail: with the statistics left out, the actions are others."""
    from rlctl_sb3 import export

    state = state_of(PPO, "vector", "box", normalize={}, **ROLLOUTS)
    monkeypatch.setattr(export._Statistics, "forward", lambda self, observations: observations)
    with pytest.raises(RlctlError, match=r"does not act as the policy does: differently for \d+ of 512 observations"):
        to_onnx(exportable(state, env_of("vector", "box"), tmp_path / "policy.onnx"))


@pytest.mark.parametrize("case", ["ppo, dict", "sac", "maskable_ppo"])
def test_a_zip_is_one_of_sb3s_own(case, tmp_path):
    """Its `load` opens it, and it predicts the same, normalised by what is beside it."""
    cls, observation, action, settings = CASES[case]
    state = state_of(cls, observation, action, **settings)
    found = to_zip(exportable(state, env_of(observation, action), tmp_path / "model.zip"))

    assert found == {"observations": 512, "max_difference": 0.0}
    assert type(cls.load(tmp_path / "model.zip")) is cls
    assert (tmp_path / "vecnormalize.pkl").exists() == ("normalize" in settings)


def test_a_zip_keeps_what_is_remembered(tmp_path):
    """RecurrentPPO goes into a zip with its LSTM."""
    state = state_of(RecurrentPPO, "vector", "discrete", policy="MlpLstmPolicy", **ROLLOUTS)
    assert to_zip(exportable(state, env_of("vector", "discrete"), tmp_path / "model.zip"))["max_difference"] == 0.0
