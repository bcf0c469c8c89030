"""What the networks are trained towards: numbers worked out by hand, and naive loops on random transitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlctl_dqn import targets

FEW = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def tensor(*values):
    """A tensor of float32."""
    return torch.tensor(values, dtype=torch.float32)


def close(found, expected, tolerance=1e-5):
    """Whether two are the same numbers."""
    return np.allclose(np.asarray(found), np.asarray(expected), rtol=tolerance, atol=tolerance)


# ---- the TD target -------------------------------------------------------------------------------------------------


def test_the_target_is_the_reward_and_the_discounted_value_of_what_follows():
    """1 + 0.9 * 10, and the reward alone where the episode terminated."""
    found = targets.td_target(tensor(1, 1), tensor(0.9, 0), tensor(10, 10))
    assert close(found, [10.0, 1.0])


def test_a_return_over_several_steps_is_discounted_by_as_many():
    """Each transition has a factor of its own: 0.5**1 and 0.5**3."""
    found = targets.td_target(tensor(1, 1), tensor(0.5, 0.125), tensor(8, 8))
    assert close(found, [5.0, 2.0])


def test_a_forbidden_action_is_never_the_best():
    """Its value is minus infinity; without a mask nothing changes."""
    values, mask = tensor([1, 5, 3]), torch.tensor([[True, False, True]])
    assert targets.masked(values, mask).tolist() == [[1.0, -math.inf, 3.0]]
    assert targets.masked(values, None) is values


def test_the_outputs_of_the_taken_actions_are_picked_row_by_row():
    """Of three actions with two numbers each, the numbers of action 2 and of action 0."""
    outputs = torch.arange(12.0).view(2, 3, 2)
    assert targets.of_actions(outputs, torch.tensor([2, 0])).tolist() == [[4.0, 5.0], [6.0, 7.0]]


# ---- Munchausen ----------------------------------------------------------------------------------------------------

MUNCHAUSEN = {"alpha": 0.9, "tau": 0.5, "clip": -1.0}


def munchausen(values, following, action, reward, discount, terminated, *, alpha, tau, clip):
    """The target of one transition, as the paper writes it: with softmax policies and a sum over actions."""

    def log_policy(row):
        top = max(row)
        total = sum(math.exp((value - top) / tau) for value in row)
        return [(value - top) / tau - math.log(total) for value in row]

    bonus = alpha * min(0.0, max(clip, tau * log_policy(values)[action]))
    logs = log_policy(following)
    soft = sum(math.exp(log) * (value - tau * log) for value, log in zip(following, logs, strict=True))
    return reward + bonus + discount * soft * (1 - terminated)


@FEW
@given(seeds)
def test_the_munchausen_target_is_the_papers_formula(seed):
    """The vectorised target is the one of a loop over transitions and actions."""
    drawn = np.random.default_rng(seed)
    values, following = drawn.normal(size=(2, 6, 4)) * 3
    actions, rewards = drawn.integers(0, 4, 6), drawn.normal(size=6)
    terminated = drawn.integers(0, 2, 6)

    found = targets.munchausen_target(
        torch.tensor(values), torch.tensor(following), torch.tensor(actions), torch.tensor(rewards),
        torch.tensor(0.97 * (1 - terminated)), **MUNCHAUSEN,
    )  # fmt: skip

    rows = zip(values.tolist(), following.tolist(), actions, rewards, terminated, strict=True)
    assert close(found, [munchausen(v, f, a, r, 0.97, t, **MUNCHAUSEN) for v, f, a, r, t in rows])


def test_the_munchausen_bonus_is_clipped():
    """An action that the policy nearly never takes costs alpha * clip and no more."""
    found = targets.munchausen_target(
        tensor([0, 100]), tensor([0, 0]), torch.tensor([0]), tensor(2), tensor(0), alpha=0.9, tau=0.03, clip=-1.0
    )
    assert close(found, [2 - 0.9])


def test_the_munchausen_target_ignores_forbidden_actions():
    """With one action allowed the policy has no entropy, and its value is that action's."""
    following = targets.masked(tensor([7, 1000]), torch.tensor([[True, False]]))
    found = targets.munchausen_target(following, following, torch.tensor([0]), tensor(1), tensor(0.5), **MUNCHAUSEN)
    assert close(found, [1 + 0.5 * 7])


# ---- categorical ---------------------------------------------------------------------------------------------------


def project(probabilities, reward, discount, terminated, support):
    """The projection of one distribution, as algorithm 1 of the paper says it, with its loop over atoms."""
    count, low, high = len(support), support[0], support[-1]
    width = (high - low) / (count - 1)
    projected = np.zeros(count)
    for probability, atom in zip(probabilities, support, strict=True):
        shifted = min(high, max(low, reward + discount * atom * (1 - terminated)))
        place = min(count - 1.0, max(0.0, (shifted - low) / width))
        lower, upper = math.floor(place), math.ceil(place)
        if lower == upper:
            projected[lower] += probability
        else:
            projected[lower] += probability * (upper - place)
            projected[upper] += probability * (place - lower)
    return projected


@FEW
@given(seeds, st.integers(2, 12), st.booleans())
def test_the_projection_is_that_of_the_papers_loop(seed, atoms, several_steps):
    """Random distributions, rewards and ends, returns of one step or of several."""
    drawn = np.random.default_rng(seed)
    support = np.linspace(-drawn.uniform(0.1, 5), drawn.uniform(0.1, 5), atoms)
    probabilities = drawn.dirichlet(np.ones(atoms), 5)
    rewards, terminated = drawn.normal(size=5) * 3, drawn.integers(0, 2, 5)
    discounts = 0.9 ** drawn.integers(1, 4, 5) if several_steps else np.full(5, 0.99)

    found = targets.project_categorical(
        torch.tensor(probabilities), torch.tensor(rewards), torch.tensor(discounts * (1 - terminated)),
        torch.tensor(support),
    )  # fmt: skip

    rows = zip(probabilities, rewards, discounts, terminated, strict=True)
    assert close(found, [project(p, r, d, t, support) for p, r, d, t in rows], 1e-9)
    assert close(found.sum(dim=1), np.ones(5))


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        (0.0, [0, 0, 1, 0, 0]),  # on an atom
        (0.25, [0, 0, 0.75, 0.25, 0]),  # a quarter of the way to the next
        (2.0, [0, 0, 0, 0, 1]),  # on the last
        (9.0, [0, 0, 0, 0, 1]),  # beyond it
        (-9.0, [1, 0, 0, 0, 0]),
    ],
)
def test_a_certain_return_lands_between_its_neighbours(reward, expected):
    """On the atoms -2, -1, 0, 1, 2, an episode that ends with a reward."""
    certain = tensor([0.2] * 5)
    found = targets.project_categorical(certain, tensor(reward), tensor(0), torch.linspace(-2, 2, 5))
    assert close(found, [expected])


def test_the_cross_entropy_of_two_atoms():
    """Against even logits it is log 2 whatever the target; it is never less than the target's entropy."""
    assert close(targets.cross_entropy(tensor([0.25, 0.75]), tensor([3, 3])), [math.log(2)])
    assert close(targets.entropy(tensor([0.5, 0.5], [1, 0])), [math.log(2), 0.0])


# ---- quantiles -----------------------------------------------------------------------------------------------------


def quantile_huber(quantiles, samples):
    """The loss of one transition, as equation 10 of the paper says it, with its two loops."""
    total = 0.0
    for index, quantile in enumerate(quantiles):
        fraction = (index + 0.5) / len(quantiles)
        for sample in samples:
            error = sample - quantile
            huber = 0.5 * error**2 if abs(error) <= 1 else abs(error) - 0.5
            total += abs(fraction - (1.0 if error < 0 else 0.0)) * huber / len(samples)
    return total


@FEW
@given(seeds, st.integers(1, 6), st.integers(1, 6))
def test_the_quantile_loss_is_that_of_the_papers_loops(seed, quantiles, samples):
    """As many target samples as one likes for any number of quantiles."""
    drawn = np.random.default_rng(seed)
    own, goal = drawn.normal(size=(4, quantiles)) * 2, drawn.normal(size=(4, samples)) * 2
    found = targets.quantile_huber_loss(torch.tensor(own), torch.tensor(goal))
    assert close(found, [quantile_huber(*rows) for rows in zip(own, goal, strict=True)])


def test_the_quantile_loss_by_hand():
    """One quantile, the median: half the Huber loss of 0.5 is 0.0625, of 3 it is 1.25."""
    assert close(targets.quantile_huber_loss(tensor([0], [0]), tensor([0.5], [-3])), [0.0625, 1.25])


def test_the_quantile_loss_finds_the_quantiles():
    """Descending it from nowhere ends near the quartiles' middles of the numbers 0 to 99."""
    quantiles = torch.zeros(1, 4, requires_grad=True)
    samples = torch.arange(100.0).view(1, -1)
    optimizer = torch.optim.SGD([quantiles], lr=20.0)
    for _ in range(300):
        optimizer.zero_grad()
        targets.quantile_huber_loss(quantiles, samples).sum().backward()
        optimizer.step()
    assert close(quantiles.detach(), [[12, 37, 62, 87]], 0.05)
