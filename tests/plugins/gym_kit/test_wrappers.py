"""The wrappers of a configuration: in their order around each environment, refused with their place, resumed to the bit."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import wrappers
from tests.plugins.gym_kit.test_env_state import assert_same_future

from rlctl.errors import ConfigError
from rlctl.evaluations import EvaluationRequest
from rlctl.gym.env_state import inexact, links
from rlctl.gym.environments import make_env
from rlctl.gym.evaluation import measure
from rlctl.gym.random_policy import RandomPolicy
from rlctl.gym.wrappers import unwrapped_statistics

OWN = """
import gymnasium

class Louder(gymnasium.RewardWrapper):
    def __init__(self, env, by=2.0):
        super().__init__(env)
        self.by = by
    def reward(self, reward):
        return self.by * reward

class Loudest(Louder):
    pass

def twice(env):
    return Louder(Louder(env))

def nothing(env):
    return 3

def broken(env):
    raise RuntimeError("no\\nluck")

NUMBER = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of one's own folder, as a run finds it there."""
    import sys

    (tmp_path / "own_wrappers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_wrappers"
    sys.modules.pop("own_wrappers", None)


def made(*said, env_id="CartPole-v1", **more):
    """The environment in these wrappers."""
    return make_env({"id": env_id, "wrappers": list(said), **more})


def kinds(env):
    """The names of the links of a chain, the outermost first."""
    return [type(link).__name__ for link in links(env)]


# ---- around the environment ----------------------------------------------------------------------------------------


def test_the_first_one_is_innermost():
    """Around what counts rewards, which is around what gymnasium makes."""
    env = made("gymnasium.wrappers:TimeAwareObservation", "gymnasium.wrappers:FlattenObservation")
    assert kinds(env)[:3] == ["FlattenObservation", "TimeAwareObservation", "RecordEpisodeStatistics"]
    assert env.observation_space.shape == (5,)


def test_without_wrappers_nothing_is_added():
    """The environment is gymnasium's, link by link."""
    assert kinds(make_env({"id": "CartPole-v1", "wrappers": []})) == kinds(gymnasium.make("CartPole-v1"))


def test_an_entry_may_have_arguments():
    """They are the wrapper's."""
    env = made({"use": "gymnasium.wrappers:FrameStackObservation", "kwargs": {"stack_size": 3}})
    assert env.observation_space.shape == (3, 4)


def test_a_list_is_a_tuple_where_the_wrapper_says_so():
    """A configuration has no tuples, and gymnasium insists on one for a shape."""
    env = made({"use": "gymnasium.wrappers:ReshapeObservation", "kwargs": {"shape": [2, 2]}})
    assert env.observation_space.shape == (2, 2)


def test_a_class_or_a_function_of_ones_own_folder_will_do(own):
    """As with modules that register environments."""
    env = made(f"{own}:Louder", {"use": f"{own}:twice"})
    env.reset(seed=1)
    assert env.step(0)[1] == 8.0


def test_what_the_environment_gives_is_counted_below_them(own):
    """Rewards are those before the wrappers, steps are the environment's own."""
    env = made(f"{own}:Louder", "gymnasium.wrappers:MaxAndSkipObservation", env_id="CartPole-v1")
    env.reset(seed=1)
    assert env.step(0)[1] == 8.0
    assert (unwrapped_statistics(env).episode_returns, unwrapped_statistics(env).episode_lengths) == (4.0, 4)
    assert unwrapped_statistics(make_env({"id": "CartPole-v1"})) is None


def test_an_evaluation_counts_what_the_environment_gives(own):
    """A louder reward makes no better policy, and a wrapper's own limit still ends an episode."""
    said = [f"{own}:Louder", {"use": "gymnasium.wrappers:TimeLimit", "kwargs": {"max_episode_steps": 5}}]
    env = {"id": "CartPole-v1", "wrappers": said}
    request = EvaluationRequest(env=env, seeds=(1, 2), num_envs=1, greedy=True)
    assert [(item.episode_return, item.length) for item in measure(RandomPolicy(make_env), request)] == [(5.0, 5)] * 2


def test_of_several_that_count_the_innermost_is_asked(own):
    """One's own RecordEpisodeStatistics may stand anywhere."""
    env = {"id": "CartPole-v1", "wrappers": [f"{own}:Louder", "gymnasium.wrappers:RecordEpisodeStatistics"]}
    request = EvaluationRequest(env=env, seeds=(1,), num_envs=1, greedy=True)
    (episode,) = measure(RandomPolicy(make_env), request)
    assert episode.episode_return == episode.length


# ---- refused -------------------------------------------------------------------------------------------------------

REFUSED = {
    "no_such_module:Class": ("", 'cannot import "no_such_module": ModuleNotFoundError', "a file of this folder"),
    "gymnasium.wrappers:FrameStackObservatio": ("", "there is no", 'Did you mean "FrameStackObservation"?'),
    "own_wrappers:Lauder": ("", 'there is no "Lauder" in own_wrappers.', 'Did you mean "Louder"?'),
    "own_wrappers:NUMBER": ("", "is a int", None),
    "builtins:dir": ("", "builtins:dir is no wrapper: no signature found", None),
    "own_wrappers:nothing": ("", "returns a int", None),
    "own_wrappers:broken": ("", "own_wrappers:broken cannot wrap it: RuntimeError: no luck", None),
    "own_wrappers:Louder": ({"bye": 3}, "got an unexpected keyword argument 'bye'", 'Did you mean "by"?'),
    "gymnasium.wrappers:FrameStackObservation": ({}, "missing a required argument: 'stack_size'", None),
    "gymnasium.wrappers:RescaleAction": (
        {"min_action": 0, "max_action": 1},
        "cannot wrap it: TypeError: RescaleAction requires",
        None,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_put_around_it_is_refused_with_its_place(name, own):
    """With what is near, where something is."""
    kwargs, words, hint = REFUSED[name]
    said = {"use": name, "kwargs": kwargs} if kwargs != "" else name
    with pytest.raises(ConfigError) as caught:
        made("gymnasium.wrappers:OrderEnforcing", said)
    (problem,) = caught.value.problems
    assert problem.path == "env.wrappers[1]"
    assert words in problem.message
    assert problem.hint is None if hint is None else hint in problem.hint


# ---- resumed -------------------------------------------------------------------------------------------------------

EXACT = {
    "stacked frames": [{"use": "gymnasium.wrappers:FrameStackObservation", "kwargs": {"stack_size": 3}}],
    "the time": ["gymnasium.wrappers:TimeAwareObservation"],
    "normalised": ["gymnasium.wrappers:NormalizeObservation", "gymnasium.wrappers:NormalizeReward"],
    "late": [{"use": "gymnasium.wrappers:DelayObservation", "kwargs": {"delay": 3}}],
    "skipped": [{"use": "gymnasium.wrappers:MaxAndSkipObservation", "kwargs": {"skip": 2}}],
    "sticky": [{"use": "gymnasium.wrappers:StickyAction", "kwargs": {"repeat_action_probability": 0.3}}],
    "noise": [{"use": "gymnasium.wrappers:NormalizeObservation"},
              {"use": "gymnasium.wrappers:RescaleAction", "kwargs": {"min_action": -1, "max_action": 1}}],
    "the time, of sb3-contrib": [{"use": "sb3_contrib.common.wrappers:TimeFeatureWrapper"}],
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_a_wrapped_environment_goes_on_to_the_bit(name, tmp_path):
    """Its state comes back through the files of a checkpoint, and nothing is said to be missing."""
    if "sb3-contrib" in name:
        pytest.importorskip("sb3_contrib")
    env, fresh = (made(*EXACT[name], env_id="Pendulum-v1", max_episode_steps=40) for _ in range(2))
    assert list(inexact([env])) == []
    assert_same_future(env, fresh, tmp_path)


def test_a_game_in_its_wrappers_goes_on_to_the_bit(tmp_path):
    """Pooled frames, lives and sticky actions of SB3's AtariWrapper."""
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    said = {"use": "stable_baselines3.common.atari_wrappers:AtariWrapper", "kwargs": {"action_repeat_probability": 0.2}}
    env, fresh = (made(said, env_id="BreakoutNoFrameskip-v4") for _ in range(2))
    assert list(inexact([env])) == []
    assert_same_future(env, fresh, tmp_path, after=300)


def test_a_strangers_wrapper_is_not_called_exact(own):
    """Nobody has looked at it."""
    assert list(inexact([made(f"{own}:Louder")])) == [
        "nobody has checked that all of the state of own_wrappers.Louder is saved"
    ]


def test_a_reward_that_is_an_array_is_counted_as_a_number(own):
    """Scalars of numpy are what some environments give."""
    env = made(f"{own}:Louder", env_id="Pendulum-v1")
    env.reset(seed=1)
    reward = env.step(np.zeros(1, np.float32))[1]
    assert float(unwrapped_statistics(env).episode_returns) == reward / 2


def test_names_of_gymnasium_are_what_the_tests_say():
    """So that a renamed wrapper shows here, and not as a failure of ours."""
    named = [said["use"] if isinstance(said, dict) else said for entries in EXACT.values() for said in entries]
    assert all(hasattr(wrappers, name.partition(":")[2]) for name in named if name.startswith("gymnasium"))
