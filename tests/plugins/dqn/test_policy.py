"""The policy that is lent: what it takes a state to be worth, which is what it acts by when it is greedy."""

import numpy as np
import pytest
import torch
from tests.plugins.dqn.making import train_to, training_of
from tests.plugins.dqn.test_training import odd

from rlctl import EstimatingPolicy
from rlctl.evaluations import EvaluationRequest
from rlctl.gym.evaluation import measure
from rlctl_dqn.fast_agent import FastAgent

OBSERVATIONS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("algo", "changes"),
    [("dqn", {}), ("dqn", {"path": "reference"}), ("rainbow", {"atoms": 7}), ("qr_dqn", {})],
    ids=str,
)
def test_a_state_is_worth_its_best_action_without_noise(algo, changes, tmp_path):
    """The highest value of the network, for distributions the highest mean; asked twice it says the same."""
    training, _ = training_of(tmp_path, algo, **changes)
    train_to(training, 100)
    agent = training.agent
    assert isinstance(agent, FastAgent) == (algo == "dqn" and not changes)
    with training.policy(3) as policy:
        found, again = policy.values(OBSERVATIONS), policy.values(OBSERVATIONS)
    assert isinstance(policy, EstimatingPolicy)
    assert agent.online.training

    with torch.no_grad():
        values = agent.objective.values(agent.online.eval()(torch.as_tensor(OBSERVATIONS)))
    assert found.tolist() == again.tolist() == values.amax(dim=1).tolist()


def test_a_forbidden_action_is_worth_nothing(tmp_path):
    """Of three actions the environments forbid one, another one each: the value is that of the better of the other two."""
    training, _ = training_of(tmp_path, env=odd(masked=True))
    train_to(training, 100)
    with training.policy(3) as policy:
        envs = [policy.make_env(odd(masked=True)) for _ in range(3)]
        seen = np.stack([env.reset(seed=index)[0] for index, env in enumerate(envs)])
        for index, env in enumerate(envs):
            for _ in range(index):
                seen[index] = env.step(5 + (env.unwrapped._steps + 1) % 3)[0]
        found = policy.values(seen)
    with torch.no_grad():
        values = training.agent.online(torch.as_tensor(seen, dtype=torch.float32)).numpy()
    allowed = [np.delete(row, index).max() for index, row in enumerate(values)]

    assert found.tolist() == pytest.approx(allowed)
    assert found.tolist() != pytest.approx(values.max(axis=1).tolist()), (
        "no best action was forbidden: this shows nothing"
    )


def test_values_with_munchausen_estimate_no_return(tmp_path):
    """They hold the log-policy beside the rewards."""
    training, _ = training_of(tmp_path, munchausen=True)
    with training.policy(3) as policy:
        assert policy.values(OBSERVATIONS) is None


def test_an_evaluation_knows_how_much_is_expected_of_each_episode(tmp_path):
    """The value of the first observation of each seed, with masks, in more environments than one."""
    training, _ = training_of(tmp_path, env=odd(masked=True))
    train_to(training, 100)
    request = EvaluationRequest(env=odd(masked=True), seeds=(1, 2, 3, 4, 5), num_envs=3, gamma=0.9, trained_gamma=0.9)
    with training.policy(3) as policy:
        together = [item.value for item in measure(policy, request)]
        alone = []
        for seed in request.seeds:
            env = policy.make_env(odd(masked=True))
            observation, _ = env.reset(seed=seed)
            alone.append(float(policy.values(observation[None])[0]))

    assert together == pytest.approx(alone, rel=1e-5)
    assert len(set(together)) == 5
