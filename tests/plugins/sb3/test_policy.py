"""What SB3's policies take a state to be worth: that of a DQN says it, where it is of the rewards that are measured."""

import numpy as np
import pytest
import torch
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rlctl.gym.environments import make_env
from rlctl_sb3.policy import Sb3Policy

CARTPOLE = {"id": "CartPole-v1"}
OBSERVATIONS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def policy_of(kind, **normalize):
    """A policy of random weights; with `normalize` its environments are in a VecNormalize that has seen something."""
    envs = DummyVecEnv([lambda: make_env(CARTPOLE)])
    if normalize:
        envs = VecNormalize(envs, **normalize)
        envs.obs_rms.update(10 + 5 * OBSERVATIONS)
    return Sb3Policy(kind("MlpPolicy", envs, seed=1, device="cpu"))


def test_a_state_is_worth_the_best_action_of_the_q_network():
    """And the generators are where they were."""
    policy = policy_of(DQN)
    before = torch.get_rng_state()
    found = policy.values(OBSERVATIONS)

    with torch.no_grad():
        assert found.tolist() == policy._model.q_net(torch.as_tensor(OBSERVATIONS)).amax(dim=1).tolist()
    assert torch.equal(before, torch.get_rng_state())


def test_of_quantiles_an_action_is_worth_their_mean():
    """QRDQN's network gives (batch, quantiles, actions)."""
    policy = policy_of(QRDQN)
    with torch.no_grad():
        expected = policy._model.quantile_net(torch.as_tensor(OBSERVATIONS)).mean(dim=1).amax(dim=1)
    assert policy.values(OBSERVATIONS).tolist() == pytest.approx(expected.tolist())


def test_observations_are_normalised_as_for_acting():
    """By the statistics of the training."""
    policy = policy_of(DQN, norm_reward=False)
    seen = policy._model.get_vec_normalize_env().normalize_obs(OBSERVATIONS)

    with torch.no_grad():
        expected = policy._model.q_net(torch.as_tensor(seen)).amax(dim=1).tolist()
    assert policy.values(OBSERVATIONS).tolist() == pytest.approx(expected)
    assert policy.values(OBSERVATIONS).tolist() != pytest.approx(policy_of(DQN).values(OBSERVATIONS).tolist())


def test_what_learned_from_normalised_rewards_does_not_say_it():
    """Its values are on another scale than the returns."""
    assert policy_of(DQN, norm_reward=True).values(OBSERVATIONS) is None


def test_other_algorithms_do_not_say_it():
    """A PPO has a value function, but that is of the policy that samples."""
    assert policy_of(PPO).values(OBSERVATIONS) is None
