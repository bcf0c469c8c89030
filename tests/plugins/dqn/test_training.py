"""The training loop: observations of all kinds, masks, updates that fall due, numbers that are none."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from tests.plugins.dqn.making import CPU, parameters, train_to, training_of

from rlctl import RlctlError
from rlctl.evaluations import EvaluationRequest
from rlctl.gym.evaluation import measure
from rlctl_dqn import replay_buffer
from rlctl_dqn.observations import layout_of, make_observed, mask_of

ODD = {
    "discrete": spaces.Discrete(3),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_binary": spaces.MultiBinary(4),
    "tuple": spaces.Tuple([spaces.Discrete(2), spaces.Box(-1, 1, (2,))]),
    "dict": spaces.Dict({"seen": spaces.Box(-1, 1, (2, 2)), "held": spaces.Discrete(2)}),
    "number": spaces.Box(-1, 1, ()),
    "vector": spaces.Box(-1, 1, (3,), np.float64),
    "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
}
SIZES = {"discrete": 3, "multi_discrete": 5, "multi_binary": 4, "tuple": 4, "dict": 6, "number": 1, "vector": 3}


class Odd(gymnasium.Env):
    """Random observations of one of the spaces above, episodes of seven steps, every third of them truncated.

    With `masked` an action is forbidden, another one in each step, and taking it raises. `bad` says what is no number
    from step 100 on, or "reset", where it is the very first observation.
    """

    def __init__(self, kind="vector", masked=False, bad=None):
        self.observation_space = ODD[kind]
        self.action_space = spaces.Discrete(3, start=5)
        self._masked, self._bad = masked, bad
        self._steps = self._episodes = self._total = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self._steps = 0
        self._episodes += 1
        if self._bad == "reset" and self._episodes == 1:
            return np.full(3, np.nan), self._info()
        return self._observe(), self._info()

    def step(self, action):
        assert self.action_space.contains(action), action
        if self._masked:
            assert self._info()["action_mask"][action - 5], "a forbidden action was taken"
        self._steps += 1
        self._total += 1
        ended = self._steps == 7
        by_time = self._episodes % 3 == 0
        reward = float("nan") if self._bad == "reward" and self._total >= 100 else float(action - 5)
        return self._observe(), reward, ended and not by_time, ended and by_time, self._info()

    def _observe(self):
        observation = self.observation_space.sample()
        if self._bad == "observation" and self._total >= 100:
            observation = np.full_like(observation, np.inf)
        return observation

    def _info(self):
        return {"action_mask": np.arange(3) != self._steps % 3} if self._masked else {}


gymnasium.register("RlctlOdd-v0", Odd, disable_env_checker=True)


def odd(kind="vector", **kwargs):
    """The configuration of such an environment."""
    return {"id": "RlctlOdd-v0", "kwargs": {"kind": kind, **kwargs}, "num_envs": 2}


# ---- observations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "size"), SIZES.items())
def test_any_space_becomes_a_vector_of_float32(kind, size):
    """A Discrete is one-hot; the parts of a Dict or Tuple lie end to end."""
    env = make_observed(odd(kind))
    assert layout_of(env.observation_space).shape == (size,)
    assert layout_of(env.observation_space).dtype == "float32"
    observation, _ = env.reset(seed=0)
    assert np.shape(observation) == (size,)
    if kind == "discrete":
        assert sorted(observation) == [0, 0, 1]


def test_an_image_is_stored_in_bytes():
    """In its own shape."""
    layout = layout_of(make_observed(odd("image")).observation_space)
    assert (layout.shape, layout.dtype) == ((36, 36, 1), "uint8")


def test_a_space_without_a_fixed_size_is_refused(monkeypatch):
    """A sequence can be of any length."""
    monkeypatch.setitem(ODD, "sequence", spaces.Sequence(spaces.Discrete(2)))
    with pytest.raises(RlctlError, match=r"Sequence.* cannot be made one array"):
        make_observed(odd("sequence"))


@pytest.mark.parametrize("kind", ODD)
def test_it_trains_and_evaluates_on_any_space(kind, tmp_path):
    """Also on actions that begin at 5, with noise, priorities and returns over three steps."""
    training, run = training_of(tmp_path, "rainbow", env=odd(kind), atoms=5, features=8)
    train_to(training, 100)
    assert training.updates > 0
    assert run.recorded_episodes
    with training.policy(3) as policy:
        env = policy.make_env(odd(kind))
        observation, _ = env.reset(seed=1)
        for greedy in (True, False):
            (action,) = policy.act(np.stack([observation]), greedy=greedy, started=[True])
            assert action in (5, 6, 7)


# ---- masks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algo", ["dqn", "rainbow"])
def test_forbidden_actions_are_taken_neither_in_training_nor_in_evaluation(algo, tmp_path):
    """The environment raises if one is; masks are stored with the transitions."""
    training, _ = training_of(tmp_path, algo, env=odd(masked=True), atoms=5, n_step=2)
    train_to(training, 200)
    batch = training.buffer.batch(training.buffer.draw(np.linspace(0, 0.99, 8)))
    assert batch.masks.sum(dim=1).tolist() == [2] * 8
    assert batch.next_masks.sum(dim=1).tolist() == [2] * 8
    with training.policy(3) as policy:
        envs = [policy.make_env(odd(masked=True)) for _ in range(3)]
        seen = [env.reset(seed=index)[0] for index, env in enumerate(envs)]
        envs[1].reset(seed=9)
        for moment in range(6):
            actions = policy.act(np.stack(seen), greedy=moment % 2 == 0, started=None)
            seen = [env.step(action)[0] for env, action in zip(envs, actions, strict=True)]


def test_an_evaluation_takes_no_forbidden_action(tmp_path):
    """More seeds than environments, which end at their own times and begin again."""
    training, _ = training_of(tmp_path, env=odd(masked=True))
    request = EvaluationRequest(env=odd(masked=True), seeds=(1, 2, 3, 4, 5), num_envs=3)
    with training.policy(3) as policy:
        assert [episode.length for episode in measure(policy, request)] == [7] * 5


def test_an_environment_without_masks_stores_none(tmp_path):
    """As most do not have any."""
    training, _ = training_of(tmp_path)
    train_to(training, 20)
    assert training.envs.masks is None
    assert training.buffer.batch(training.buffer.draw(np.zeros(4))).masks is None


def test_a_mask_that_allows_nothing_is_refused():
    """The message has it. Where the episode is over nothing need be allowed."""
    assert mask_of({}, 2) is None
    assert mask_of({"action_mask": [0, 1]}, 2).tolist() == [False, True]
    assert mask_of({"action_mask": [0, 0]}, 2, ended=True) is None
    for senseless in ([0, 0], [1, 1, 1]):
        with pytest.raises(RlctlError, match="at least one of 2 actions"):
            mask_of({"action_mask": senseless}, 2)


# ---- when it learns ------------------------------------------------------------------------------------------------


def test_updates_fall_due_by_steps(tmp_path):
    """Every tenth step after the first 60: four in 100 steps, and three times as many with gradient_steps 3."""
    for index, (gradient_steps, updates) in enumerate(((1, 4), (3, 12))):
        training, _ = training_of(tmp_path / str(index), train_frequency=10, gradient_steps=gradient_steps)
        train_to(training, 100)
        assert training.updates == updates


def test_a_policy_is_lent_without_a_replay_buffer(tmp_path, monkeypatch):
    """To evaluate on a small machine what was trained on a large one, no memory for transitions is needed."""
    monkeypatch.setattr(replay_buffer, "available_bytes", lambda: 10)
    training, _ = training_of(tmp_path)
    with training.policy(1) as policy:
        assert policy.act(np.zeros((1, 4)), greedy=True, started=None) in (0, 1)
    with pytest.raises(RlctlError, match="10 are free"):
        training.iterate()


def test_priorities_follow_the_errors(tmp_path):
    """Once updates have been made, not all transitions have the priority that they came with."""
    training, _ = training_of(tmp_path, prioritized=True)
    train_to(training, 60)
    assert set(training.buffer._tree.leaves[:60]) == {1.0}
    train_to(training, 100)
    assert len(set(training.buffer._tree.leaves[:100])) > 10


@pytest.mark.parametrize(
    "changes",
    [
        {"n_step": 3}, {"prioritized": True}, {"prioritized": True, "priority_exponent": 1.0},
        {"prioritized": True, "priority_epsilon": 1.0}, {"prioritized": True, "importance_initial": 1.0},
        {"prioritized": True, "importance_final": 0.5}, {"exploration_schedule": "exponential"},
        {"exploration_schedule": "exponential", "exploration_decay": 0.5}, {"exploration_fraction": 0.2},
        {"exploration_initial": 0.5}, {"exploration_final": 0.5}, {"target_update_frequency": 20}, {"batch_size": 17},
        {"learning_starts": 50}, {"train_frequency": 4}, {"gradient_steps": 2}, {"buffer_size": 50},
        {"noisy": True}, {"gamma": 0.5},
    ],
    ids=str,
)  # fmt: skip
def test_each_setting_of_the_training_changes_it(changes, tmp_path):
    """After 150 steps from the same seed the network is another one than without the setting."""
    owner = {
        key: changes[key] for key in ("prioritized", "exploration_schedule") if len(changes) > 1 and key in changes
    }
    plain, changed = training_of(tmp_path / "a", **owner)[0], training_of(tmp_path / "b", **changes)[0]
    for training in (plain, changed):
        train_to(training, 150)
    own, other = parameters(plain.agent.online), parameters(changed.agent.online)
    assert own.shape != other.shape or not np.array_equal(own, other)


# ---- numbers that are none -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "words"), [("reward", "the reward of environment 0 is nan"), ("observation", "observation")]
)
def test_a_number_that_is_none_ends_the_run(bad, words, tmp_path):
    """With the step, what it was, and that there is no checkpoint."""
    training, _ = training_of(tmp_path, env=odd(bad=bad))
    with pytest.raises(RlctlError, match=rf"step 200: .*{words}.*There is no checkpoint.*on_nan=skip"):
        train_to(training, 300)


def test_a_first_observation_that_is_no_number_ends_the_run(tmp_path):
    """It is noticed with the first step."""
    training, _ = training_of(tmp_path, env=odd(bad="reset"))
    with pytest.raises(RlctlError, match="step 2: an observation of environment 0 has a number that is not finite"):
        train_to(training, 2)


@pytest.mark.filterwarnings("ignore:invalid value")  # it may be acted on before it is noticed
@pytest.mark.parametrize("bad", ["reward", "observation", "reset"])
@pytest.mark.parametrize("algo", ["dqn", "rainbow"])
def test_what_is_no_number_can_be_left_out(bad, algo, tmp_path, capsys):
    """Then it is in no replay and no update, and the log says so once."""
    training, _ = training_of(tmp_path, algo, env=odd(bad=bad), on_nan="skip", atoms=5)
    train_to(training, 300)
    assert np.isfinite(parameters(training.agent.online)).all()
    held = training.buffer.storage.batch(np.arange(training.buffer.size), CPU, None)
    assert all(torch.isfinite(part).all() for part in held if part is not None)
    assert capsys.readouterr().err.count("on_nan: skip") == 1


def test_enormous_numbers_are_numbers(tmp_path, monkeypatch):
    """Their squares overflow, they do not."""
    monkeypatch.setitem(ODD, "vector", spaces.Box(1e30, 1e31, (3,), np.float32))
    training, _ = training_of(tmp_path, env=odd())
    train_to(training, 20)
    assert training.buffer.size == 20


def test_a_loss_that_is_no_number_names_the_last_checkpoint(tmp_path):
    """The step of it and where it is."""
    training, run = training_of(tmp_path)
    train_to(training, 60)
    bundle = run.directory.path / "checkpoints" / "step-000000000050"
    bundle.mkdir(parents=True)
    (bundle / "checkpoint.json").write_text('{"format": 1, "step": 50, "members": {}}')
    training.buffer.storage.rows[:, training.buffer.storage.reward] = np.nan
    with pytest.raises(
        RlctlError, match=r"step 65: the loss is nan\. The last checkpoint: step 50, .*step-000000000050"
    ):
        train_to(training, 70)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "path: fast"),
        ({"path": "reference"}, "path: reference, as asked for"),
        ({"dueling": True}, "path: reference, as the fast one does not do dueling"),
    ],
)
def test_the_log_says_which_path_was_taken(changes, words, tmp_path, capsys):
    """And why, if it is not the fast one."""
    training_of(tmp_path, **changes)
    assert f"rlctl: {words}\n" in capsys.readouterr().err
