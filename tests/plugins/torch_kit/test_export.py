"""The check that an exported network must pass, and the copy that is exported: what is wrong with a file is found."""

from __future__ import annotations

import contextlib

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from tests.plugins.exporting import exportable
from torch import nn

from rlctl import Network, NotAvailableError, RlctlError
from rlctl.exports import Observed
from rlctl.torch.export import checked, detached, to_onnx, to_torchscript

SEEN = Observed(np.zeros((100, 2), np.float32))


def acting(actions, **fields):
    """A policy that always acts like that."""
    return Network(module=None, make_env=None, act=lambda _: np.asarray(actions), **fields)


def giving(*outputs):
    """A file that always gives that, batch by batch."""
    left = [list(output) for output in outputs]

    def run(observed):
        return tuple(np.asarray([column.pop(0) for _ in range(len(observed))]) for column in left)

    return run


def test_equal_actions_pass_in_batches_of_any_size():
    """One, two, and many at a time; the count and the largest difference are returned."""
    sizes = []

    def run(observed):
        sizes.append(len(observed))
        return (np.zeros((len(observed), 3), np.float32),)

    assert checked(run, acting(np.full((100, 3), 5e-6)), SEEN) == {"observations": 100, "max_difference": 5e-6}
    assert sizes == [1, 2, 61, 36]


@pytest.mark.parametrize(("actions", "expected"), [(1000.0, 1000.005), (np.inf, np.inf), (np.nan, np.nan)])
def test_large_numbers_are_compared_relatively(actions, expected):
    """What is infinite or no number at all must be so on both sides."""
    assert checked(giving([actions] * 100), acting([expected] * 100), SEEN)["max_difference"] <= 1e-5


@pytest.mark.parametrize(("actions", "expected"), [(0.0, 2e-5), (1000.0, 1000.02), (np.nan, 0.0), (np.inf, 0.0)])
def test_a_difference_is_an_error_that_shows_it(actions, expected):
    """How many, of how many, and the first one."""
    given = [expected] * 98 + [actions] * 2
    with pytest.raises(RlctlError, match="differently for 2 of 100 observations"):
        checked(giving(given), acting([expected] * 100), SEEN)


def test_a_tie_is_no_difference_but_counted():
    """Where both actions have the same score within the tolerance, rounding decides; actions may begin at any number."""
    scores = [[0.3, 0.3 + 5e-6, 0.1]] * 100
    network = acting([7] * 100, scores="q_values", first_action=7)
    found = checked(giving([7] * 90 + [8] * 10, scores), network, SEEN)

    assert found == {"observations": 100, "max_difference": 0.0, "ties": 10}
    with pytest.raises(RlctlError, match=r"differently for 10 of 100 observations, 9 instead of 7"):
        checked(giving([7] * 90 + [9] * 10, scores), network, SEEN)


def test_actions_of_another_shape_are_an_error():
    """A lost dimension must not be broadcast away."""
    with pytest.raises(RlctlError, match=r"shape \(100,\), the policy of \(100, 1\)"):
        checked(giving([0.0] * 100), acting([[0.0]] * 100), SEEN)


# ---- whole exports ---------------------------------------------------------------------------------------------------


class Walk(gymnasium.Env):
    """A few steps of random observations."""

    def __init__(self, space):
        self.observation_space, self.action_space = space, spaces.Box(-np.inf, np.inf, (1,))

    def reset(self, *, seed=None, options=None):
        self._steps = 0
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        self._steps += 1
        return self.observation_space.sample(), 0.0, False, self._steps == 4, {}


class Lent:
    """A training that lends a policy with a network."""

    def __init__(self, module, space=None, **fields):
        self.module, self.space, self.fields = module, space or spaces.Box(-1, 1, (2,)), fields

    @contextlib.contextmanager
    def policy(self, seed):
        yield self

    def make_env(self, env, **kwargs):
        return Walk(self.space)

    def act(self, observations, masks=None, **_):
        with torch.no_grad():
            return self.module(torch.as_tensor(observations)).numpy()

    def network(self, env):
        return Network(module=detached(self.module), make_env=self.make_env, act=self.act, **self.fields)


class Constant(nn.Module):
    """Takes the size of its batch for a constant, as `len` is to TorchScript."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, seen):
        return self.layer(seen).reshape(len(seen), 1)


def test_a_network_that_knows_one_batch_size_only_is_found(tmp_path):
    """TorchScript would take it without a word, and fail in the user's hands."""
    with pytest.raises(RuntimeError, match="invalid for input of size 1"):
        to_torchscript(exportable(Lent(Constant()), "any", tmp_path / "policy.pt"))


class Undecided(nn.Module):
    """Takes another way for other numbers, which no graph of operators says."""

    def forward(self, seen):
        return seen[:, :1] if seen.sum() > 0 else seen[:, 1:]


def test_what_onnx_cannot_say_is_an_error_in_a_line(tmp_path):
    """PyTorch's own first words, and not its pages of advice."""
    with pytest.raises(RlctlError, match=r"^PyTorch cannot make ONNX of this network: \w+: .*$") as caught:
        to_onnx(exportable(Lent(Undecided()), "any", tmp_path / "policy.onnx"))
    assert "\n" not in str(caught.value)


def test_a_part_that_is_called_as_the_masks_are_is_refused(tmp_path):
    """Which of both an input is could not be told."""
    space = spaces.Dict({"action_masks": spaces.Box(-1, 1, (2,))})
    lent = Lent(nn.Identity(), space, mask=lambda env: np.ones(2, bool))
    lent.act = lambda observations, masks: np.zeros((len(masks), 1), np.float32)
    with pytest.raises(NotAvailableError, match='a part "action_masks"'):
        to_onnx(exportable(lent, "any", tmp_path / "policy.onnx"))


def test_a_copy_has_nothing_of_the_original():
    """Not its memory, its mode or its gradients; and a history that a computation has left is no hindrance."""
    module = nn.Sequential(nn.Linear(2, 2))
    module.left = [nn.Linear(2, 2)(torch.ones(1, 2))]
    copied = detached(module)

    assert (module.training, copied.training) == (True, False)
    assert [parameter.requires_grad for parameter in copied.parameters()] == [False, False]
    assert torch.equal(copied[0].weight, module[0].weight)
    assert copied[0].weight.data_ptr() != module[0].weight.data_ptr()
    assert torch.equal(copied.left[0], module.left[0])
