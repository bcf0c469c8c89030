"""SB3's nested settings: what they become, and what is refused before anything starts."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from rlctl_sb3.checks import problems_in
from rlctl_sb3.signatures import constructor_parameters, hyperparameters
from rlctl_sb3.values import constructor_arguments, linear_schedule

REFUSED = {
    "learning_rate={schedule: lnear, start: 1}": "hyperparameters.learning_rate.schedule",
    "learning_rate={schedule: linear}": "hyperparameters.learning_rate.start",
    "learning_rate={schedule: linear, start: fast}": "hyperparameters.learning_rate.start",
    "action_noise={use: norml, sigma: 0.1}": "hyperparameters.action_noise.use",
    "action_noise={use: normal, sigma: 0.1, sigmma: 1}": "hyperparameters.action_noise.sigmma",
    "policy_kwargs={activation_fn: rellu}": "hyperparameters.policy_kwargs.activation_fn",
    "policy_kwargs={optimizer_class: RMSprop}": "hyperparameters.policy_kwargs.optimizer_class",
    "replay_buffer_class=HerReplayBuffer": "hyperparameters.replay_buffer_class",
    "replay_buffer_kwargs={handle_timeout_terminatoin: false}": "hyperparameters.replay_buffer_kwargs.handle_timeout_terminatoin",
    "replay_buffer_kwargs={n_envs: 2}": "hyperparameters.replay_buffer_kwargs.n_envs",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_a_nested_setting_without_meaning_is_refused_before_anything_starts(setting, cli, tmp_path):
    """Exit code 2, the path of the key, and no run directory."""
    answer = cli("run", "sb3/td3", "--set", f"hyperparameters.{setting}", "--runs-dir", tmp_path / "none")

    assert answer.code == 2
    assert f"rlctl: {REFUSED[setting]}: " in answer.err
    assert not (tmp_path / "none").exists()


def test_settings_that_have_meaning_are_not_refused():
    """A schedule, a noise, an activation by name and a class by dotted name pass."""
    settings = {
        "learning_rate": {"schedule": "linear", "start": 1e-3, "end": 1e-5},
        "action_noise": {"use": "ornstein_uhlenbeck", "sigma": 0.2},
        "policy_kwargs": {"activation_fn": "tanh", "optimizer_class": "torch.optim:AdamW", "net_arch": [64, 64]},
        "replay_buffer_class": "stable_baselines3:HerReplayBuffer",
    }
    assert list(problems_in(settings, "td3")) == []


def test_a_linear_schedule_goes_from_its_start_to_its_end():
    """SB3 asks with the share of training that is left."""
    schedule = linear_schedule(1.0, 0.2)
    assert [schedule(left) for left in (1.0, 0.5, 0.0)] == pytest.approx([1.0, 0.6, 0.2])


def test_settings_become_what_the_constructor_takes():
    """Lists are tuples, mappings schedules and noise, names classes; everything else stays as it is."""
    import torch
    from stable_baselines3.common.noise import NormalActionNoise

    parameters = hyperparameters("td3")
    values = {parameter.name: parameter.default for parameter in parameters} | {
        "learning_rate": {"schedule": "linear", "start": 1.0},
        "train_freq": [4, "step"],
        "action_noise": {"use": "normal", "sigma": 0.5},
        "policy_kwargs": {"activation_fn": "tanh", "optimizer_class": "torch.optim:AdamW", "net_arch": [32]},
    }
    actions = spaces.Box(-1.0, 1.0, (3,))
    arguments = constructor_arguments(values, parameters, spaces.Box(-1.0, 1.0, (5,)), actions)

    assert arguments["train_freq"] == (4, "step")
    assert arguments["learning_rate"](0.5) == 0.5
    assert isinstance(arguments["action_noise"], NormalActionNoise)
    assert arguments["action_noise"]._sigma.shape == (3,)
    assert arguments["policy_kwargs"] == {
        "activation_fn": torch.nn.Tanh, "optimizer_class": torch.optim.AdamW, "net_arch": [32],
    }  # fmt: skip
    assert arguments["gamma"] == 0.99


OBSERVATIONS = {
    "MlpPolicy": spaces.Box(-1.0, 1.0, (5,)),
    "CnnPolicy": spaces.Box(0, 255, (36, 36, 3), np.uint8),
    "MultiInputPolicy": spaces.Dict({"a": spaces.Discrete(2)}),
}


@pytest.mark.parametrize("policy", OBSERVATIONS)
def test_the_policy_suits_the_observations_unless_one_is_named(policy):
    """Of an algorithm whose policies have other names, too; a name that is given stays."""

    def chosen(said, *policies):
        parameters = [parameter for parameter in hyperparameters("ppo") if parameter.name == "policy"]
        arguments = constructor_arguments(
            {"policy": said}, parameters, OBSERVATIONS[policy], spaces.Discrete(2), *policies
        )
        return arguments["policy"]

    assert chosen("auto") == policy
    assert chosen("auto", "LstmPolicy") == policy.replace("Policy", "LstmPolicy")
    assert chosen("MlpPolicy") == "MlpPolicy"


def test_an_image_that_is_too_small_for_sb3s_cnn_is_laid_flat():
    """Of 7x7 pixels nothing would be left by NatureCNN's strides."""
    parameters = [parameter for parameter in hyperparameters("ppo") if parameter.name == "policy"]
    image = spaces.Box(0, 255, (7, 7, 3), np.uint8)
    assert constructor_arguments({"policy": "auto"}, parameters, image, spaces.Discrete(2))["policy"] == "MlpPolicy"


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn", "sac", "td3", "ddpg"])
def test_every_setting_of_sb3s_constructor_can_be_set(algorithm):
    """The signature read from the source is the one that SB3 really has, defaults included."""
    import inspect

    import stable_baselines3

    real = inspect.signature(getattr(stable_baselines3, algorithm.upper()).__init__).parameters
    ours = {parameter.name: parameter for parameter in constructor_parameters(algorithm)}
    not_settings = {
        "self",
        "env",
        "seed",
        "device",
        "verbose",
        "tensorboard_log",
        "monitor_wrapper",
        "_init_setup_model",
    }

    assert set(ours) == set(real) - not_settings
    for name, parameter in ours.items():
        default = real[name].default
        if default is not inspect.Parameter.empty:
            assert parameter.default == (list(default) if isinstance(default, tuple) else default)
        assert parameter.problem_with(parameter.default) is None


@pytest.mark.parametrize(
    ("said", "path"),
    [({"norm_obz": True}, "norm_obz"), ({"clip_obs": "ten"}, "clip_obs"), ({"norm_reward": 1}, "norm_reward")],
)
def test_what_vecnormalize_does_not_take_is_refused(said, path):
    """Unknown arguments and wrong kinds are named before anything starts."""
    assert [problem.path for problem in problems_in({"normalize": said}, "ppo")] == [
        f"hyperparameters.normalize.{path}"
    ]


def test_what_vecnormalize_takes_is_taken():
    """On, off, and a mapping of its arguments."""
    assert [
        list(problems_in({"normalize": value}, "ppo")) for value in (True, False, {"norm_reward": False, "gamma": 0.9})
    ] == [[], [], []]
