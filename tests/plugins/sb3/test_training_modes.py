"""Switching a network between training and acting sets what SB3's own way sets."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.policies import BaseModel
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from rlctl_sb3.training_modes import switch_modes_quickly


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a training, and put back for other tests."""
    monkeypatch.setattr(BaseModel, "set_training_mode", BaseModel.set_training_mode)
    switch_modes_quickly()


def modes(network: torch.nn.Module) -> set[bool]:
    """Return the modes of a network and of all that is in it."""
    return {module.training for module in network.modules()}


@pytest.mark.parametrize(("algorithm", "env"), [(DQN, "CartPole-v1"), (PPO, "CartPole-v1"), (SAC, "Pendulum-v1")])
def test_all_modules_are_switched(algorithm: Any, env: str) -> None:
    """To and fro; SB3's targets alone stay where they are, as they do without rlctl."""
    policy = algorithm("MlpPolicy", env, device="cpu").policy
    for mode in (True, False, True):
        policy.set_training_mode(mode)
        switched = [getattr(policy, name) for name in ("q_net", "actor", "critic") if hasattr(policy, name)] or [policy]
        assert [modes(network) for network in switched] == [{mode}] * len(switched)
        assert policy.training is mode


def test_a_copy_is_switched_alone() -> None:
    """As it has modules of its own."""
    network = DQN("MlpPolicy", "CartPole-v1", device="cpu").q_net
    network.set_training_mode(True)
    twin = copy.deepcopy(network)
    twin.set_training_mode(False)
    assert (modes(network), modes(twin)) == ({True}, {False})


class Counting(BaseFeaturesExtractor):
    """Does something of its own when it is switched."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, features_dim=4)
        self.switched: list[bool] = []

    def train(self, mode: bool = True) -> Counting:
        """Note the mode."""
        self.switched.append(mode)
        super().train(mode)
        return self

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Return them as they are."""
        return observations


def test_a_module_that_does_more_when_it_is_switched_is_told() -> None:
    """Somebody's own features extractor, say."""
    network = DQN(
        "MlpPolicy", "CartPole-v1", device="cpu", policy_kwargs={"features_extractor_class": Counting}
    ).q_net  # fmt: skip
    network.features_extractor.switched.clear()
    network.set_training_mode(True)
    network.set_training_mode(False)
    assert network.features_extractor.switched == [True, False]
