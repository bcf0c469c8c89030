"""Replay: the ring, returns over n steps, priorities and importance weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plugins.dqn.making import CPU, agent_of

from rlctl import RlctlError
from rlctl_dqn import memory, replay_buffer
from rlctl_dqn.prioritized import PrioritizedReplayBuffer
from rlctl_dqn.replay_buffer import ReplayBuffer as Buffer

FEW = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)
GAMMA = 0.9


def uniform(capacity, shape=1, **arguments):
    """A buffer without priorities."""
    return Buffer(capacity, shape, CPU, gamma=GAMMA, **arguments)


def prioritized(capacity=8, exponent=1.0, epsilon=1e-9, **arguments):
    """A prioritised buffer of vectors of one number."""
    return PrioritizedReplayBuffer(capacity, 1, CPU, gamma=GAMMA, exponent=exponent, epsilon=epsilon, **arguments)


def sample(buffer, size, seed=0, importance=0.0):
    """A batch of so many transitions."""
    return buffer.batch(buffer.draw(np.random.default_rng(seed).random(size), importance))


def fill(buffer, count):
    """Store transitions whose observation is their number."""
    for number in range(count):
        buffer.add(np.array([number], np.float32), 0, float(number), np.array([number + 1], np.float32), False)
    return buffer


def stored(buffer):
    """What a buffer of vectors of one number holds, oldest first: (observation, action, reward, next one, bootstrap)."""
    order = np.arange(buffer._next, buffer._next + buffer.size) % buffer.size
    batch = buffer.storage.batch(order, CPU, None)
    columns = (
        batch.observations[:, 0], batch.actions[:, 0], batch.rewards, batch.next_observations[:, 0], batch.bootstrap,
    )  # fmt: skip
    return list(zip(*(column.tolist() for column in columns), strict=True))


# ---- the ring ------------------------------------------------------------------------------------------------------


def test_the_oldest_transition_makes_room():
    """Of five transitions a buffer of three holds the last three."""
    buffer = fill(uniform(3), 5)
    assert [row[0] for row in stored(buffer)] == [2.0, 3.0, 4.0]


def test_a_plain_batch_says_nothing_of_masks_and_weights():
    """Those fields are None, so that plain DQN does nothing with them."""
    batch = sample(fill(uniform(3), 3), 4)
    assert (batch.masks, batch.next_masks, batch.weights) == (None, None, None)
    assert batch.observations.shape == (4, 1)


def test_images_stay_bytes():
    """Observations of uint8 are stored, sampled and handed to the network as such."""
    buffer = uniform(2, (2, 2), dtype="uint8")
    buffer.add(np.full((2, 2), 200, np.uint8), 0, 0.0, np.full((2, 2), 255, np.uint8), False)
    batch = sample(buffer, 1)
    assert batch.next_observations.dtype == torch.uint8
    assert batch.next_observations.tolist() == [[[255, 255], [255, 255]]]


def test_masks_are_stored_with_their_transitions():
    """Both states' masks come back; where the environment said nothing all actions are allowed."""
    buffer = uniform(2, masked_actions=2)
    zero = np.zeros(1, np.float32)
    buffer.add(zero, 0, 0.0, zero, False, mask=np.array([True, False]), next_mask=np.array([False, True]))
    buffer.add(zero, 0, 0.0, zero, False)
    batch = buffer.storage.batch(np.array([0, 1]), CPU, None)
    assert batch.masks.tolist() == [[True, False], [True, True]]
    assert batch.next_masks.tolist() == [[False, True], [True, True]]


def test_a_buffer_that_does_not_fit_is_refused_in_bytes(monkeypatch):
    """Nothing is allocated: 10**12 images would be some terabytes."""
    monkeypatch.setattr(replay_buffer, "available_bytes", lambda: 1_000_000)
    with pytest.raises(RlctlError, match=r"takes 14,128,000,000,000,000 bytes, and 1,000,000 are free.*buffer_size"):
        uniform(10**12, (84, 84), dtype="uint8")


def test_free_memory_is_what_the_system_and_the_container_leave(tmp_path):
    """The smaller of both counts, and caches of files are free."""
    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 900 kB\nMemAvailable:   300 kB\n")
    assert memory.available_bytes(info, tmp_path / "none") == 300 * 1024
    (tmp_path / "memory.max").write_text("100000\n")
    (tmp_path / "memory.current").write_text("80000\n")
    (tmp_path / "memory.stat").write_text("anon 50000\nactive_file 10000\ninactive_file 20000\n")
    assert memory.available_bytes(info, tmp_path) == 50_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes(info, tmp_path) == 300 * 1024


def test_where_nothing_tells_the_free_memory_the_whole_of_it_counts(tmp_path):
    """There is no /proc on macOS."""
    assert memory.available_bytes(tmp_path / "none", tmp_path) > 10**6


# ---- returns over n steps ------------------------------------------------------------------------------------------


def returns_by_loop(episodes, steps):
    """The transitions of one environment, worked out episode by episode with all of its future in sight.

    An episode is a list of (observation, reward, next observation) and whether its end was a termination.
    """
    made = []
    for rows, terminated in episodes:
        for start in range(len(rows)):
            window = rows[start : start + steps]
            reward = sum(GAMMA**k * row[1] for k, row in enumerate(window))
            is_last = start + steps >= len(rows)
            bootstrap = 0.0 if is_last and terminated else GAMMA ** len(window)
            made.append((rows[start][0], 0.0, reward, window[-1][2], bootstrap))
    return made


@FEW
@given(seeds, st.integers(2, 5), st.integers(1, 3))
def test_returns_over_n_steps_are_those_of_a_loop(seed, steps, num_envs):
    """Random episodes in environments side by side: no window crosses an end, and truncation keeps its power of gamma."""
    drawn = np.random.default_rng(seed)
    buffer = uniform(1000, n_step=steps)
    expected, number = [], 0.0
    plans = []
    for env_index in range(num_envs):
        episodes = []
        for length in drawn.integers(1, 8, 4):
            rows = []
            for _ in range(length):
                rows.append((number, float(drawn.normal()), number + 0.5))
                number += 1.0
            episodes.append((rows, bool(drawn.random() < 0.5)))
        expected += returns_by_loop(episodes, steps)
        plans.append([
            (*row, env_index, terminated and row is rows[-1], not terminated and row is rows[-1])
            for rows, terminated in episodes for row in rows
        ])  # fmt: skip
    held = np.zeros((num_envs, 1), np.float32)  # overwritten at each step, as the training's observations are
    for moment in range(max(map(len, plans))):
        for plan in plans:
            if moment < len(plan):
                observation, reward, following, env_index, terminated, truncated = plan[moment]
                held[env_index] = observation
                after = np.array([following], np.float32)
                buffer.add(held[env_index], 0, reward, after, terminated, truncated=truncated, env_index=env_index)

    assert np.allclose(sorted(stored(buffer)), sorted(expected), atol=1e-5)


def test_a_truncated_episode_bootstraps_over_the_steps_it_had():
    """Three steps of reward 1 in an episode of two: 1 + 0.9 with gamma**2, then 1 with gamma, neither terminated."""
    buffer = uniform(9, n_step=3)
    one, two, three = (np.array([number], np.float32) for number in (1, 2, 3))
    buffer.add(one, 0, 1.0, two, False)
    assert buffer.size == 0
    buffer.add(two, 0, 1.0, three, False, truncated=True)
    assert np.allclose(stored(buffer), [(1, 0, 1.9, 3, 0.81), (2, 0, 1.0, 3, 0.9)])


def test_what_is_dropped_is_in_no_return():
    """After `drop` a window begins anew, in that environment only."""
    buffer = uniform(9, n_step=2)
    zero = np.zeros(1, np.float32)
    for env_index in (0, 1):
        buffer.add(zero, 0, 100.0, zero, False, env_index=env_index)
    buffer.drop(0)
    for env_index in (0, 1):
        buffer.add(zero, 0, 1.0, zero, False, env_index=env_index)
    assert [row[2] for row in stored(buffer)] == [pytest.approx(100.9)]


# ---- priorities ----------------------------------------------------------------------------------------------------


def test_a_new_transition_has_the_highest_priority_so_far():
    """1 at first, and what the highest error was later, also when that has been forgotten."""
    buffer = fill(prioritized(), 2)
    assert buffer._tree.leaves[:3].tolist() == [1.0, 1.0, 0.0]
    buffer.set_priorities(np.array([0]), np.array([7.0], np.float32))
    buffer.set_priorities(np.array([0]), np.array([0.5], np.float32))
    fill(buffer, 1)
    assert np.allclose(buffer._tree.leaves[:3], [0.5, 1.0, 7.0])


def test_a_priority_is_a_power_of_the_error_and_epsilon():
    """(|-3| + 1)**0.5 is 2."""
    buffer = fill(prioritized(exponent=0.5, epsilon=1.0), 1)
    buffer.set_priorities(np.array([0]), np.array([-3.0], np.float32))
    assert buffer._tree.leaves[0] == 2.0


def test_an_error_that_is_no_number_gets_the_highest_priority():
    """With `on_nan: ignore` such an error comes in; the tree stays sound."""
    buffer = fill(prioritized(), 2)
    buffer.set_priorities(np.array([0, 1]), np.array([np.nan, 3.0], np.float32))
    assert np.allclose(buffer._tree.leaves[:2], [3.0, 3.0])


@FEW
@given(seeds, st.floats(0, 1), st.integers(1, 12))
def test_importance_weights_are_those_of_a_loop(seed, importance, count):
    """(N * P(i))**-beta over the highest of the batch, as Schaul et al. write it."""
    drawn = np.random.default_rng(seed)
    buffer = fill(prioritized(12), count)
    errors = drawn.uniform(0.1, 5, count)
    buffer.set_priorities(np.arange(count), errors.astype(np.float32))
    found = buffer.draw(drawn.random(6), importance)
    total = sum(errors)
    weights = [(count * errors[row] / total) ** -importance for row in found.rows]
    assert np.allclose(found.weights, np.array(weights) / max(weights), rtol=1e-4)


def test_transitions_are_drawn_in_proportion_to_their_priorities():
    """A chi-square test over 20,000 batches of one: three degrees of freedom, 16.3 is exceeded once in a thousand."""
    buffer = fill(prioritized(4), 4)
    errors = np.array([1.0, 2.0, 3.0, 10.0])
    buffer.set_priorities(np.arange(4), errors.astype(np.float32))
    generator = np.random.default_rng(5)
    counts = np.bincount([int(buffer.draw(generator.random(1)).rows[0]) for _ in range(20_000)], minlength=4)
    expected = errors / errors.sum() * 20_000
    assert ((counts - expected) ** 2 / expected).sum() < 16.3


def test_importance_is_annealed_over_the_horizon():
    """From the first exponent to the last, and no further."""
    agent = agent_of(prioritized=True, importance_initial=0.4, importance_final=0.8, horizon=200)
    assert [round(agent.importance(step), 6) for step in (0, 100, 200, 999)] == [0.4, 0.6, 0.8, 0.8]


# ---- state ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 11])
def test_a_buffer_goes_on_as_the_one_it_was_saved_from(count):
    """Priorities, the ring's place and pending windows, in a buffer that is full and in one that is not."""
    first = fill(prioritized(6, n_step=3), count)
    first.set_priorities(np.array([0]), np.array([4.0], np.float32))
    second = prioritized(6, n_step=3)
    second.set_state(first.state())
    assert np.array_equal(first._tree._nodes, second._tree._nodes)
    for buffer in (first, second):
        fill(buffer, 4)
    assert stored(first) == stored(second)
    assert np.array_equal(first._tree._nodes, second._tree._nodes)
    drawn = [sample(buffer, 5, 3, 0.5) for buffer in (first, second)]
    assert all(torch.equal(one, other) for one, other in zip(*drawn, strict=True) if one is not None)


def test_a_buffer_of_another_capacity_is_refused():
    """Its rows would be elsewhere."""
    with pytest.raises(RlctlError, match=r"another one: 6 transitions of rows \(5,\), here 4"):
        uniform(4).set_state(fill(uniform(6), 2).state())
