"""Observations to hold an exported policy to: of the space and of episodes, always the same ones."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlctl import Network, NotAvailableError
from rlctl.gym.observations import DRAWN, PLAYED, gather


class Corridor(gymnasium.Env):
    """Counts its steps, which the last number of an observation says; five of them."""

    action_space = spaces.Discrete(3)

    def __init__(self, space=None):
        self.observation_space = space or spaces.Box(
            np.array([-np.inf, -1e30, 0, 0], np.float32), np.array([np.inf, 1e30, 0.5, 255], np.float32)
        )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._seen(), {}

    def step(self, action):
        self.steps += 1
        return self._seen(), 0.0, self.steps == 5, False, {}

    def _seen(self):
        return np.array([self.np_random.normal(), 0, 0, self.steps])  # float64, as many environments give by mistake


def network(space=None, **fields):
    """A network in a corridor, and the masks that it was given."""
    given = []

    def act(observations, masks=None):
        given.append(masks)
        return np.zeros(len(observations), int)

    return Network(module=None, make_env=lambda env: Corridor(space), act=act, **fields), given


def test_half_of_them_are_drawn_and_half_are_met():
    """In the dtype of the space, episode after episode; the same for the same seed."""
    seen = gather(network()[0], {}, 3).observations

    assert (seen.shape, seen.dtype) == ((DRAWN + PLAYED, 4), np.float32)
    assert seen[DRAWN : DRAWN + 12, 3].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert len(np.unique(seen[DRAWN:, 0])) == PLAYED, "each episode has a seed of its own"
    assert np.array_equal(seen, gather(network()[0], {}, 3).observations)
    assert not np.array_equal(seen, gather(network()[0], {}, 4).observations)


def test_numbers_without_bounds_are_drawn_near_0():
    """A bound of 1e30 is none; within others the whole range is drawn."""
    drawn = gather(network()[0], {}, 3).observations[:DRAWN]

    assert np.abs(drawn[:, :2]).max() <= 10
    assert drawn[:, 2].max() <= 0.5
    assert drawn[:, 3].max() > 200


def test_masks_are_by_chance_and_then_the_environments_own():
    """None of them forbids everything, and the policy acts by those of the environment."""
    made, given = network(mask=lambda env: np.arange(3) == env.steps % 3)
    seen = gather(made, {}, 3)

    assert seen.masks.shape == (DRAWN + PLAYED, 3)
    assert seen.masks.any(axis=1).all()
    assert seen.masks[DRAWN : DRAWN + 2].tolist() == [[True, False, False], [False, True, False]]
    assert [mask.tolist() for mask in given[:2]] == [[[True, False, False]], [[False, True, False]]]


@pytest.mark.parametrize(
    "space", [spaces.Tuple([spaces.Discrete(2)]), spaces.Dict({"a": spaces.Dict({})}), spaces.Text(3)]
)
def test_what_is_no_array_is_refused(space):
    """Nor a dictionary of arrays."""
    with pytest.raises(NotAvailableError, match="neither an array nor a dictionary of arrays"):
        gather(network(space)[0], {}, 3)
