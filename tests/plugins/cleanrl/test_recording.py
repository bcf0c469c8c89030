"""The steps of a CleanRL script's environments are recorded as they were, and its training is the same with and without."""

from collections import defaultdict

import numpy as np
import pytest
from tests.end_to_end.lifecycle import CLEANRL_DQN, CLEANRL_PPO, episodes, train
from tests.plugins.callbacks.stepping import replayed

from rlctl import load_transitions


@pytest.mark.network
@pytest.mark.parametrize(("words", "num_envs"), [(CLEANRL_PPO, 4), (CLEANRL_DQN, 1)], ids=["ppo", "dqn"])
def test_a_scripts_environments_are_recorded(words, num_envs, cli, cleanrl_cache, tmp_path):
    """Of each of them: what it gives by hand for these actions, and the returns of its episodes."""
    recorded = train(cli, tmp_path, "recorded", words, "--callback", "transitions", "-n", "1024", "--seed", "5")

    found = list(load_transitions(recorded))

    returns = defaultdict(list)
    for episode in episodes(recorded):
        returns[episode["env"]].append(episode["return"])
    assert len(returns) == num_envs
    for index, expected in returns.items():
        own = [item for item in found if item.env_index == index]
        assert [item.episode_return for item in own if item.ended] == expected
        for mine, theirs in replayed(own):
            for one, other in zip(mine, theirs, strict=True):
                np.testing.assert_array_equal(one, other)
    assert episodes(recorded) == episodes(train(cli, tmp_path, "bare", words, "-n", "1024", "--seed", "5"))
