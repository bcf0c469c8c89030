"""`transitions`, `actions` and `frames`: each step of real trainings is on the disk as it was, and changes nothing."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from tests.plugins.callbacks.stepping import dqn_run, observer, replayed, seen_run, trajectory

from rlctl import Result, RlctlError, load_actions, load_episodes, load_frames, load_transitions
from rlctl.errors import NotAvailableError, UsageError
from rlctl.gym.env_state import env_state, set_env_state
from rlctl.gym.observing import observed
from rlctl.runs.files import read_lines
from rlctl.testing import fake_run
from rlctl_callbacks.recording import Records

TRANSITIONS = ("transitions", {"chunk_steps": 64})


def assert_as_by_hand(episodes):
    """Each environment's episodes are what the environment itself gives for these actions, to the last bit."""
    for recorded, by_hand in replayed(episodes):
        for mine, theirs in zip(recorded, by_hand, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.fixture(scope="module")
def dqn(tmp_path_factory):
    """A training of DQN of which everything but pictures was recorded."""
    return dqn_run(tmp_path_factory.mktemp("dqn"), TRANSITIONS, ("actions", {}))


def test_transitions_are_those_of_the_environment(dqn):
    """Replayed by hand after the same seed, the recorded actions give the recorded observations, rewards and ends."""
    episodes = list(load_transitions(dqn.info.directory))
    assert sum(map(len, episodes)) == 600
    assert episodes[0].seed == dqn.seed
    assert_as_by_hand(episodes)


def test_transitions_are_those_of_the_reported_episodes(dqn):
    """Each episode that the run reports is there with its return and length, and the one that was going on at the end."""
    found = [(item.episode_return, len(item)) for item in load_transitions(dqn.info.directory) if item.ended]
    assert found == [(item.episode_return, item.length) for item in dqn.recorded_episodes]


def test_next_observations_follow_observations(dqn):
    """What a step led to is what the next one begins with, and the last one is the episode's end."""
    episode = next(load_transitions(dqn.info.directory))
    assert len(episode.observations) == len(episode) + 1
    np.testing.assert_array_equal(episode.next_observations, episode.observations[1:])


def test_actions_alone_are_those_of_the_transitions(dqn):
    """The callback `actions` records the same actions."""
    whole = [item.actions.tolist() for item in load_transitions(dqn.info.directory)]
    assert [item.actions.tolist() for item in load_actions(dqn.info.directory)] == whole


def test_a_training_that_is_recorded_is_the_same(dqn, tmp_path):
    """The episodes of a training are the same to the last bit with and without."""
    assert trajectory(dqn) == trajectory(dqn_run(tmp_path))


def test_dqns_vectorised_environments_are_recorded(tmp_path):
    """Those of gymnasium's own class too: nothing is lost, and they stay as fast as they are."""
    run = dqn_run(tmp_path / "seen", TRANSITIONS, num_envs=4)
    found = [(item.env_index, item.episode_return) for item in load_transitions(run.info.directory) if item.ended]
    reported = [(item.env_index, item.episode_return) for item in run.recorded_episodes]
    assert sorted(found) == sorted(reported)
    assert sum(map(len, load_transitions(run.info.directory))) == run.step
    assert trajectory(run) == trajectory(dqn_run(tmp_path / "unseen", num_envs=4))


@pytest.mark.parametrize("vectorization", ["sync", pytest.param("async", marks=pytest.mark.slow)])
def test_sb3s_environments_are_recorded(tmp_path, vectorization):
    """Each of two environments of a PPO, also in processes of their own, is as by hand."""
    from rlctl_sb3.signatures import hyperparameters
    from rlctl_sb3.worker import Sb3Worker

    settings = {"n_steps": 64, "vectorization": vectorization}
    run = seen_run(
        tmp_path, [TRANSITIONS], env={"id": "CartPole-v1", "num_envs": 2}, algo="ppo", hyperparameters=settings,
        parameters=hyperparameters("ppo"), total_timesteps=256,
    )  # fmt: skip
    Sb3Worker().train(run)
    for index in range(2):
        episodes = list(load_transitions(run.info.directory, index))
        assert sum(map(len, episodes)) == 128
        assert episodes[0].seed == run.seed + index
        assert_as_by_hand(episodes)


# ---- one environment -------------------------------------------------------------------------------------------------


class Odd(gymnasium.Env):
    """Observes a dictionary with a tuple in it, acts in a tuple, and says something in its infos now and then."""

    observation_space = spaces.Dict(
        {"a/b": spaces.Box(-1, 1, (2,), np.float32), "c": spaces.Tuple((spaces.Discrete(5), spaces.MultiBinary(3)))}
    )
    action_space = spaces.Tuple((spaces.Discrete(3), spaces.Box(-1, 1, (1,), np.float32)))
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    render_mode = "rgb_array"

    def __init__(self):
        self.count = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._seen(), {}

    def step(self, action):
        self.count += 1
        info = {"actual_reward": 10.0 * self.count} if self.count % 2 else {}
        return self._seen(), 1.0, self.count == 4, False, info

    def _seen(self):
        number = float(self.count)
        return {"a/b": np.array([number, 0.1], np.float32), "c": (self.count, np.array([1, 0, 1], np.int8))}

    def render(self):
        return np.full((4, 6, 3), self.count, np.uint8)


ACTION = (2, np.array([0.5], np.float32))


def play(env, episodes):
    """Play so many episodes of `Odd`."""
    for _ in range(episodes):
        env.reset()
        ended = False
        while not ended:
            ended = env.step(ACTION)[2]


def seen(tmp_path, *callbacks, env=None):
    """Return an environment that these callbacks, (name, options), see; and the run's info."""
    info = fake_run(tmp_path).info
    return observed(env or Odd(), [observer(info, name, **options) for name, options in callbacks], 0), info


def test_observations_that_are_dictionaries_come_back_as_such(tmp_path):
    """Dictionaries and tuples, one in another, keep their form; names may have any letters."""
    env, info = seen(tmp_path, ("transitions", {}))
    play(env, 1)
    env.close()
    (episode,) = load_transitions(info.directory)
    assert set(episode.observations) == {"a/b", "c"}
    assert episode.observations["a/b"].tolist() == [[n, np.float32(0.1)] for n in range(5)]
    assert episode.observations["c"][0].tolist() == [0, 1, 2, 3, 4]
    assert episode.next_observations["c"][1].shape == (4, 3)
    assert episode.actions[0].tolist() == [2] * 4
    assert episode.actions[1].tolist() == [[0.5]] * 4


def test_infos_are_recorded_where_they_are_given(tmp_path):
    """Of an entry that is not always there it is known where it was."""
    env, info = seen(tmp_path, ("transitions", {"infos": ["actual_reward", "never"]}))
    play(env, 1)
    env.close()
    (episode,) = load_transitions(info.directory)
    assert episode.infos["actual_reward"].tolist() == [0.0, 10.0, 0.0, 30.0, 0.0]
    assert episode.has_infos["actual_reward"].tolist() == [False, True, False, True, False]
    assert set(episode.infos) == {"actual_reward"}


def test_frames_are_recorded_of_every_so_many_episodes(tmp_path):
    """The pictures are those of the reset and of each step, of the first and every second episode after it."""
    env, info = seen(tmp_path, ("frames", {"every_episodes": 2}))
    play(env, 3)
    env.close()
    found = list(load_frames(info.directory))
    assert [item.index for item in found] == [0, 2]
    assert [picture[0, 0, 0] for picture in found[1].frames] == [0, 1, 2, 3, 4]
    assert found[0].frames.shape == (5, 4, 6, 3)


def test_an_observer_goes_on_where_its_environment_does(tmp_path):
    """The state of an environment has with it where its observers are: put into it, nothing is there twice."""
    env, info = seen(tmp_path, ("transitions", {}), ("frames", {}))
    play(env, 2)
    env.reset()
    env.step(ACTION)
    state = env_state(env)
    env.step(ACTION)
    env.close()
    again = observed(Odd(), [observer(info, name) for name in ("transitions", "frames")], 0)
    again.reset(seed=9)
    set_env_state(again, state)
    for _ in range(3):
        again.step(ACTION)
    again.close()
    assert [len(item) for item in load_transitions(info.directory)] == [4, 4, 4]
    last = list(load_transitions(info.directory))[-1]
    assert (last.seed, last.ended, last.observations["c"][0].tolist()) == (None, True, [0, 1, 2, 3, 4])
    assert [len(item.frames) for item in load_frames(info.directory)] == [5, 5, 5]


def test_what_waits_is_written_when_the_training_ends(tmp_path):
    """Also where nobody closes the environments: of a run that failed, say."""
    env, info = seen(tmp_path, ("transitions", {}))
    play(env, 1)
    assert list(load_transitions(info.directory)) == []
    Records(info).rlctl_training_ended(Result(status="failed", reason="told to"))
    assert len(next(load_transitions(info.directory))) == 4


class Lying(Odd):
    """Observes something else than its space says, from the second step on."""

    def _seen(self):
        found = super()._seen()
        return found if self.count < 2 else {**found, "a/b": np.zeros(3, np.float32)}


def test_an_observer_that_fails_costs_itself_alone(tmp_path, capsys):
    """It is reported once and switched off, the training goes on, and what was whole by then can be read."""
    env, info = seen(tmp_path, ("transitions", {}), ("actions", {}), env=Lying())
    play(env, 2)
    env.close()
    Records(info).rlctl_training_ended(Result(status="finished", reason="over"))
    failed = [line for line in read_lines(info.directory / "events.jsonl") if line["type"] == "callback_failed"]
    assert [line["callback"] for line in failed] == ["transitions"]
    assert "callback transitions failed at a step and is switched off" in capsys.readouterr().err
    assert [len(item) for item in load_transitions(info.directory)] == [1]
    assert [len(item.actions[0]) for item in load_actions(info.directory)] == [4, 4]


def test_a_worker_that_shows_no_steps_is_found_out(tmp_path):
    """One that never asks who looks on does not begin to train: nothing would be recorded."""
    run = seen_run(tmp_path, [TRANSITIONS])
    with pytest.raises(RlctlError, match="test shows no steps of its environments, which transitions asks for"):
        run.restore()


# ---- episode records -------------------------------------------------------------------------------------------------


def test_episode_records_put_everything_together(tmp_path):
    """A record has the seeds, and by option actions, frames, transitions and what the agent has logged meanwhile."""
    env, info = seen(tmp_path, ("transitions", {}), ("actions", {}), ("frames", {"every_episodes": 2}))
    env.reset(seed=5)  # and again at once by what follows: no episode of its own
    play(env, 3)
    env.close()
    lines = [
        f'{{"episode": {n}, "step": {4 * n + 4}, "return": 4.0, "length": 4, "env": 0, "seconds": 1.0}}'
        for n in range(3)
    ]
    (info.directory / "episodes.jsonl").write_text("\n".join(lines) + "\n")
    (info.directory / "metrics.jsonl").write_text('{"step": 6, "seconds": 1.0, "values": {"train/loss": 0.5}}\n')
    records = list(load_episodes(info.directory, actions=True, frames=True, transitions=True, agent_logs=True))
    assert [item["episode_index"] for item in records] == [0, 1, 2]
    assert [item["agent_seed"] for item in records] == [1, 1, 1]
    assert [len(item["frames"]) for item in records] == [1, 0, 1]
    assert [len(item["transitions"][0]) for item in records] == [4, 4, 4]
    assert [item["agent_logs"] for item in records] == [[], [{"step": 6, "train/loss": 0.5}], []]
    assert "actions" not in next(load_episodes(info.directory))


def test_the_environments_seed_stays_until_it_is_given_another(dqn):
    """Only the first reset has a seed; the later episodes are of the same one."""
    (dqn.info.directory / "episodes.jsonl").write_text(
        "".join(
            f'{{"episode": {n}, "step": 1, "return": 1.0, "length": 1, "env": 0, "seconds": 1.0}}\n' for n in range(3)
        )
    )
    assert [item["env_seed"] for item in load_episodes(dqn.info.directory)] == [dqn.seed] * 3


def test_another_reward_counts_where_it_is_given(tmp_path):
    """With `reward_info`, that entry stands for the reward in each step that has it; one that was not recorded is refused."""
    env, info = seen(tmp_path, ("transitions", {"infos": ["actual_reward"]}))
    play(env, 1)
    env.close()
    config = {**info.config, "callbacks": {"transitions": {"infos": ["actual_reward"]}}}
    from rlctl.runs.files import write_json

    write_json(info.directory / "config.json", {"config": config})
    line = '{"episode": 0, "step": 4, "return": 4.0, "length": 4, "env": 0, "seconds": 1.0}\n'
    (info.directory / "episodes.jsonl").write_text(line)
    (record,) = load_episodes(info.directory, reward_info="actual_reward")
    assert record["ep_return"] == 10.0 + 1.0 + 30.0 + 1.0
    with pytest.raises(UsageError, match=r'info\["other"\] was not recorded'):
        next(load_episodes(info.directory, reward_info="other"))


def test_what_was_not_recorded_is_said(tmp_path):
    """A run without the callback says which one would have recorded it."""
    info = fake_run(tmp_path).info
    for load in (load_transitions, load_actions, load_frames, lambda run: load_episodes(run, frames=True)):
        with pytest.raises(NotAvailableError, match="nothing recorded them"):
            next(load(info.directory))
