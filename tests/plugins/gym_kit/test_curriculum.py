"""An environment in stages: when it changes, what stays, how it is seeded, and its state."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from tests.plugins.gym_kit.test_env_state import assert_same_future

from rlctl.errors import NotAvailableError
from rlctl.gym.curriculum import CurriculumEnv, stage_of
from rlctl.gym.env_state import env_state, inexact, links, set_env_state
from rlctl.gym.environments import make_env
from rlctl.gym.wrappers import unwrapped_statistics

ENV = {
    "id": "CartPole-v1",
    "curriculum": [
        {"env": {"max_episode_steps": 3}, "steps": 10},
        {"env": {"max_episode_steps": 5, "wrappers": ["gymnasium.wrappers:NormalizeReward"]}},
    ],
}


def play(env):
    """Play an episode to its end; return its length, its last info, and the observation that the next one begins with."""
    length, ended = 0, False
    while not ended:
        _, _, terminated, truncated, info = env.step(0)
        length, ended = length + 1, terminated or truncated
    return length, info, env.reset()[0]


def test_it_changes_at_a_reset_and_not_before():
    """An episode is ended in the stage in which it began, and says which that was."""
    env = make_env(ENV)
    env.reset(seed=1)
    env.step(0)
    env.enter_stage(1)
    assert env.get_wrapper_attr("stage") == 0
    env.step(0)
    *_, truncated, info = env.step(0)
    assert (truncated, stage_of(info)) == (True, 0)
    env.reset()
    length, info, _ = play(env)
    assert (length, stage_of(info)) == (5, 1)


def test_spaces_and_their_generators_are_the_same_in_all_stages():
    """What a library has seeded, it goes on drawing from."""
    env = make_env(ENV)
    before = env.action_space, env.observation_space
    env.reset(seed=1)
    env.enter_stage(1)
    env.reset()
    assert env.action_space is before[0]
    assert env.observation_space is before[1]


def test_a_stage_is_seeded_by_the_seed_of_the_environment():
    """The same seed gives the same episodes in every stage, another one others."""

    def first_of_the_second_stage(seed):
        env = make_env(ENV)
        env.reset(seed=seed)
        env.enter_stage(1)
        return env.reset()[0].tolist()

    assert first_of_the_second_stage(1) == first_of_the_second_stage(1) != first_of_the_second_stage(2)


def test_a_seed_of_its_own_is_heard_in_the_reset_in_which_it_changes():
    env = make_env(ENV)
    env.reset(seed=1)
    env.enter_stage(1)
    assert np.array_equal(env.reset(seed=9)[0], gymnasium.make("CartPole-v1").reset(seed=9)[0])


@pytest.mark.parametrize("stage", [0, 1])
def test_its_state_is_that_of_the_stage(stage, tmp_path):
    """Put into a fresh one, the episode goes on as it would have, and so do those after it."""
    env, fresh = make_env(ENV), make_env(ENV)
    env.reset(seed=1)
    env.enter_stage(stage)
    assert_same_future(env, fresh, tmp_path)
    assert fresh.get_wrapper_attr("stage") == stage


def test_what_was_told_and_not_yet_done_is_in_the_state():
    env = make_env(ENV)
    env.reset(seed=1)
    env.enter_stage(1)
    fresh = make_env(ENV)
    set_env_state(fresh, env_state(env))
    assert (fresh.get_wrapper_attr("stage"), fresh.get_wrapper_attr("next_stage")) == (0, 1)


def test_rewards_are_counted_below_the_wrappers_of_each_stage():
    env = make_env(ENV)
    env.reset(seed=1)
    env.enter_stage(1)
    env.reset()
    for _ in range(5):
        env.step(0)
    assert unwrapped_statistics(env).episode_returns == 5.0


def test_what_nobody_has_checked_is_said_of_later_stages_too():
    """Also where the first one is known to be exact."""

    class Strange(gymnasium.Wrapper):
        pass

    env = CurriculumEnv([gymnasium.make("CartPole-v1"), Strange(gymnasium.make("CartPole-v1"))])
    assert any("Strange" in reason for reason in inexact([env]))
    assert not any(isinstance(link, Strange) for link in links(env))


def test_other_spaces_are_refused():
    with pytest.raises(NotAvailableError, match=r"env\.curriculum\[1\] has another observation space than the first"):
        make_env({"id": "CartPole-v1", "curriculum": [{"steps": 1}, {"env_id": "Acrobot-v1"}]})
