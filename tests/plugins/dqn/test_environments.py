"""The ways to step several environments: the same episodes, no transition across a reset, state that comes back."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from tests.plugins.dqn.making import CPU, train_to, training_of

from rlctl import NotAvailableError, RlctlError
from rlctl_dqn.vector_environments import AsyncEnvironments, NativeEnvironments, SyncEnvironments

KINDS = {"sync": SyncEnvironments, "async": AsyncEnvironments, "native": NativeEnvironments}


def cartpole(num_envs=3, **changes):
    """Some CartPoles."""
    return {"id": "CartPole-v1", "num_envs": num_envs, **changes}


def transitions(training):
    """All transitions held: observations, actions, next observations, and where the episode terminated."""
    batch = training.buffer.storage.batch(np.arange(training.buffer.size), CPU, None)
    return (
        batch.observations.numpy(), batch.actions[:, 0].numpy(), batch.next_observations.numpy(),
        batch.bootstrap.numpy() == 0,
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_setting_says_how_they_are_stepped(kind, tmp_path, capsys):
    """Each of the three ways is there for CartPole, and the log names it."""
    training, _ = training_of(tmp_path, env=cartpole(2), vectorization=kind)
    assert type(training.envs) is KINDS[kind]
    assert f"rlctl: vectorization: {kind}\n" in capsys.readouterr().err
    training.envs.close()


@pytest.mark.parametrize(
    ("env", "changes", "expected"),
    [
        (cartpole(2), {}, NativeEnvironments),
        (cartpole(1), {}, SyncEnvironments),
        (cartpole(2), {"n_step": 3}, SyncEnvironments),
        (cartpole(2, id="Acrobot-v1"), {}, SyncEnvironments),
        (cartpole(2, kwargs={"render_mode": "ansi"}), {}, NativeEnvironments),
        (cartpole(2, kwargs={"unheard": 1}), {}, None),
    ],
    ids=str,
)
def test_auto_takes_the_vectorised_class_where_there_is_one_that_fits(env, changes, expected, tmp_path):
    """Several environments, transitions that may be stored together, arguments that it takes."""
    if expected is None:
        with pytest.raises(TypeError, match="unheard"):  # the environment's own class does not take it either
            training_of(tmp_path, env=env, **changes)
    else:
        assert type(training_of(tmp_path, env=env, **changes)[0].envs) is expected


@pytest.mark.parametrize(
    ("env", "words"), [({"id": "Acrobot-v1"}, "no vectorised class"), (cartpole(2, kwargs={"unheard": 1}), "unheard")]
)
def test_a_vectorised_class_that_is_not_there_is_refused(env, words, tmp_path):
    """What was asked for is not silently something else."""
    with pytest.raises(NotAvailableError, match=words):
        training_of(tmp_path, env=env, vectorization="native")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_is_what_the_environment_did(kind, tmp_path):
    """Every transition, replayed by CartPole's own equations, leads where the buffer says, and ends where it says."""
    training, _ = training_of(tmp_path, env=cartpole(), vectorization=kind, buffer_size=1000)
    train_to(training, 300)
    model = gymnasium.make("CartPole-v1").unwrapped
    for before, action, after, terminated in zip(*transitions(training), strict=True):
        model.reset()
        model.state = tuple(before.tolist())
        found, _, ended, _, _ = model.step(int(action))
        assert np.allclose(found, after, atol=1e-5)
        assert ended == terminated
    training.envs.close()


@pytest.mark.parametrize("kind", KINDS)
def test_an_episode_s_length_is_counted_in_its_own_steps(kind, tmp_path):
    """Return and length of CartPole are one number; a truncated episode has its limit and goes on in value."""
    env = cartpole(max_episode_steps=20)
    training, run = training_of(tmp_path, env=env, vectorization=kind, buffer_size=1000, exploration_initial=1.0)
    train_to(training, 400)
    assert len(run.recorded_episodes) > 9
    assert all(item.episode_return == item.length <= 20 for item in run.recorded_episodes)
    assert {item.env_index for item in run.recorded_episodes} == {0, 1, 2}
    assert any(item.length == 20 for item in run.recorded_episodes)
    terminated = sum(item.length < 20 for item in run.recorded_episodes)
    assert terminated <= transitions(training)[3].sum() <= terminated + 3
    assert training.buffer.size == training.step
    training.envs.close()


def test_processes_and_one_by_one_are_the_same_training(tmp_path):
    """The same seeds give the same transitions and episodes."""
    made = [training_of(tmp_path / kind, env=cartpole(), vectorization=kind) for kind in ("sync", "async")]
    for training, _ in made:
        train_to(training, 240)
        training.envs.close()
    (one, first), (other, second) = made
    assert np.array_equal(one.buffer.storage.rows, other.buffer.storage.rows, equal_nan=True)
    ends = [[(item.step, item.length) for item in run.recorded_episodes] for run in (first, second)]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("algo", "changes"), [("dqn", {}), ("rainbow", {"n_step": 1})])
def test_a_training_that_was_saved_goes_on_as_if_it_had_not_been(algo, changes, kind, tmp_path):
    """Environments in processes and those of a vectorised class, too, where some are about to be reset."""
    one, other = (
        training_of(tmp_path / name, algo, env=cartpole(), vectorization=kind, atoms=5, **changes)[0]
        for name in ("one", "other")
    )
    while not (one.step > 100 and getattr(one.envs, "_had_ended", np.ones(1, bool)).any()):
        one.iterate()
    (tmp_path / "saved").mkdir()
    one.write_state(tmp_path / "saved")
    train_to(one, 300)
    one.envs.close()
    other.read_state(tmp_path / "saved")
    train_to(other, 300)
    other.envs.close()
    saved, again = one.buffer.state()["arrays"], other.buffer.state()["arrays"]
    assert all(np.array_equal(saved[name], again[name], equal_nan=True) for name in saved)
    assert np.array_equal(one.envs.observations, other.envs.observations)


def test_a_run_in_processes_ends_with_a_checkpoint(cli):
    """Its last state is saved while the processes are there."""
    words = [
        "run",
        "dqn",
        "CartPole-v1",
        "--num-envs",
        "2",
        "--set",
        "hyperparameters.vectorization=async",
        "-n",
        "300",
    ]
    answer = cli(*words, "--set", "hyperparameters.learning_starts=200", "--run-id", "r")
    assert answer.code == 0, answer.err
    assert [row["step"] for row in cli("runs", "checkpoints", "r", "--json").json()] == [300]


def test_several_steps_are_taken_up_to_what_falls_due(tmp_path):
    """Up to an update, the target's, the end of the budget, or the end of an episode; at most sixteen."""
    training, run = training_of(tmp_path, steps=47, train_frequency=20, target_update_frequency=30, learning_starts=20)
    seen = []
    while training.step < 47:
        training.iterate()
        seen.append(training.step)
    ends = {item.step for item in run.recorded_episodes}
    assert {20, 30, 40, 47} <= set(seen)
    assert ends <= set(seen)
    assert all(after - before <= 16 for before, after in zip([0, *seen[:-1]], seen, strict=True))


def test_a_mask_that_comes_late_is_refused(tmp_path):
    """The steps before it would have been stored without theirs."""
    training, _ = training_of(tmp_path)
    training.iterate()
    training.envs._begin(0, np.zeros(4), {"action_mask": [True, False]})
    with pytest.raises(RlctlError, match="from the first reset on"):
        training.iterate()


def test_a_vectorised_class_s_number_that_is_none_names_its_environment(tmp_path):
    """Also while another one is being reset."""
    training, _ = training_of(tmp_path, env=cartpole(), vectorization="native")
    envs = training.envs
    while not envs._had_ended[0] or envs._had_ended[2]:
        training.iterate()
    envs._vector.state[0, 2] = np.nan
    with pytest.raises(RlctlError, match="an observation of environment 2 has a number that is not finite"):
        training.iterate()
