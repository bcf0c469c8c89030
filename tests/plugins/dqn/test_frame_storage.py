"""Stacked frames are kept once each, and nobody who draws a batch can tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plugins.dqn.making import CPU, differences

from rlctl import RlctlError
from rlctl_dqn import frame_pool, replay_buffer
from rlctl_dqn.frame_storage import FrameStorage
from rlctl_dqn.prioritized import PrioritizedReplayBuffer
from rlctl_dqn.replay_buffer import ReplayBuffer
from rlctl_dqn.storage import ColumnStorage

FEW = settings(max_examples=60, deadline=None)
PADDINGS = ("reset", "zero", "none")


def buffer_of(capacity, shape, *, frames, kind=ReplayBuffer, **arguments):
    """A buffer of images, as a stack of frames or, with None, as they are."""
    more = {"exponent": 0.5, "epsilon": 1e-6} if kind is PrioritizedReplayBuffer else {}
    return kind(capacity, shape, CPU, gamma=0.9, dtype="uint8", frames=frames, **more, **arguments)


class Play:
    """Random play in environments side by side, put into buffers; what the next moment brings is drawn from a seed.

    Frames are of one of so many `values`, or noise where that is None: with few the same ones come up again and again. With
    the probability `odd` a stack shares nothing with the one before it, and sometimes what is pending is dropped, too.
    """

    def __init__(self, seed, num_envs, shape, *, values=256, padding="reset", ending=0.2, odd=0.0):
        self._drawn = np.random.default_rng(seed)
        self._shape, self._values, self._padding = shape, values, padding
        self._ending, self._odd = ending, odd
        self._stacks = [self._first() for _ in range(num_envs)]

    def _frame(self):
        if self._values is None:
            return self._drawn.integers(0, 256, self._shape[1:], np.uint8)
        return np.full(self._shape[1:], self._drawn.integers(self._values), np.uint8)

    def _first(self):
        frame = self._frame()
        padding = {"reset": frame, "zero": np.zeros_like(frame)}.get(self._padding)
        before = [self._frame() if padding is None else padding for _ in range(self._shape[0] - 1)]
        return np.stack([*before, frame])

    def moment(self, buffers):
        """One step in a random one of the environments."""
        drawn, env_index = self._drawn, int(self._drawn.integers(len(self._stacks)))
        before = self._stacks[env_index]
        after = np.concatenate([before[1:], self._frame()[None]])
        if drawn.random() < self._odd:
            after = drawn.integers(0, 256, self._shape, np.uint8)
        terminated, truncated = drawn.random() < self._ending, drawn.random() < self._ending
        masks = {"mask": drawn.random(2) < 0.5, "next_mask": drawn.random(2) < 0.5}
        action, reward, drops = int(drawn.integers(2)), float(drawn.normal()), drawn.random() < self._odd / 3
        for buffer in buffers:
            if drops:
                buffer.drop(env_index)
            buffer.add(
                before, action, reward, after, terminated, truncated=truncated, env_index=env_index, **masks
            )  # fmt: skip
        self._stacks[env_index] = self._first() if terminated or truncated else after


def play_on(play, buffer, moments, *others):
    """So many steps of a play."""
    for _ in range(moments):
        play.moment([buffer, *others])


def references(storage):
    """How many references there are to each place, counted anew."""
    rows = np.concatenate([storage._columns.arrays[name].ravel() for name in ("observations", "next_observations")])
    recent = [place for frames in storage._recent.values() for place in frames]
    return np.bincount(np.concatenate([rows[rows >= 0], recent]).astype(int), minlength=storage._pool.room)


# ---- the same batches ----------------------------------------------------------------------------------------------


@FEW
@given(
    seed=st.integers(0, 2**32 - 1), capacity=st.integers(1, 12), frames=st.integers(1, 4), n_step=st.integers(1, 4),
    num_envs=st.integers(1, 3), values=st.sampled_from([2, 5, 256]), padding=st.sampled_from(PADDINGS),
    ending=st.sampled_from([0.0, 0.05, 0.5]), odd=st.sampled_from([0.0, 0.3]), colour=st.booleans(),
)  # fmt: skip
def test_any_play_gives_the_batches_of_whole_stacks(
    seed, capacity, frames, n_step, num_envs, values, padding, ending, odd, colour
):
    """Episodes that end anywhere and environments in any order, while the ring is written over many times."""
    shape = (frames, 2, 3, 3) if colour else (frames, 2, 2)
    play = Play(seed, num_envs, shape, values=values, padding=padding, ending=ending, odd=odd)
    made = {"n_step": n_step, "masked_actions": 2}
    once, whole = (buffer_of(capacity, shape, frames=count, **made) for count in (frames, None))
    assert isinstance(once.storage, FrameStorage)
    assert isinstance(whole.storage, ColumnStorage)
    for _ in range(8 * capacity + 20):
        play.moment([once, whole])
        assert once.size == whole.size
        assert differences(once, whole) == []
    counted = references(once.storage)
    assert np.array_equal(once.storage._pool._counts, counted)
    assert once.storage.num_frames == np.count_nonzero(counted)


@FEW
@given(seed=st.integers(0, 2**32 - 1), n_step=st.integers(1, 3))
def test_priorities_draw_the_batches_of_whole_stacks(seed, n_step):
    """The same rows with the same weights."""
    play = Play(seed, 2, (3, 2, 2))
    kind = PrioritizedReplayBuffer
    once, whole = (buffer_of(9, (3, 2, 2), frames=count, kind=kind, n_step=n_step) for count in (3, None))
    generator = np.random.default_rng(seed)
    for _ in range(40):
        play.moment([once, whole])
        if not once.size:
            continue
        uniforms, errors = generator.random(4), generator.random(4).astype(np.float32)
        first, second = (buffer.draw(uniforms, 0.5) for buffer in (once, whole))
        assert np.array_equal(first.rows, second.rows)
        assert np.array_equal(first.weights, second.weights)
        assert differences(once, whole, first.rows) == []
        for buffer, drawn in ((once, first), (whole, second)):
            buffer.set_priorities(drawn.rows, errors)


def test_a_stack_that_is_written_over_by_its_owner_is_not_changed_in_the_buffer():
    """The training's observations are an array that each step overwrites."""
    buffer = buffer_of(4, (2, 1, 1), frames=2)
    held = np.array([[[1]], [[2]]], np.uint8)
    buffer.add(held, 0, 0.0, np.array([[[2]], [[3]]], np.uint8), False)
    held[...] = 9
    assert buffer.storage.batch(np.array([0]), CPU, None).observations.ravel().tolist() == [1, 2]


# ---- memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_step", [1, 3, 6])
def test_each_step_adds_one_frame(n_step):
    """Beside the first ones of an episode, whatever the number of steps that returns are of, more than are stacked included."""
    play = Play(5, 2, (4, 9, 9), values=None, ending=0.0)
    buffer = buffer_of(10_000, (4, 9, 9), frames=4, n_step=n_step)
    play_on(play, buffer, 500)
    assert 500 - 2 * n_step <= buffer.storage.num_frames <= 500 + 2


def test_a_transition_of_four_frames_takes_the_bytes_of_little_more_than_one():
    """In a buffer that has been written over several times, with episodes of 200 steps."""
    frame, capacity = 84 * 84, 400
    play = Play(1, 1, (4, 84, 84), values=None, ending=0.0025)
    once, whole = (buffer_of(capacity, (4, 84, 84), frames=count) for count in (4, None))
    play_on(play, once, 3 * capacity)
    indices = 2 * 4 * 4
    assert once.storage.num_bytes / capacity < 1.3 * frame + indices + 32
    assert once.storage.num_bytes <= capacity * once.storage.row_bytes, "what was asked for before is what was taken"
    assert whole.storage.row_bytes > 6 * once.storage.row_bytes


def test_what_is_taken_is_asked_for_before(monkeypatch):
    """Places, counts and a frame and an eighth each, in bytes."""
    monkeypatch.setattr(replay_buffer, "available_bytes", lambda: 1_000_000)
    per_row = 8 * 4 + 8 + 4 + 4 + (84 * 84 + 4) * 9 // 8 + 1
    with pytest.raises(RlctlError, match=rf"takes {per_row * 10**9:,} bytes, and 1,000,000 are free.*buffer_size"):
        buffer_of(10**9, (4, 84, 84), frames=4)


def test_where_nothing_is_shared_more_memory_is_taken_if_there_is_some(monkeypatch):
    """All frames of all transitions at most; what is not there is refused, and what is held stays whole."""
    play = Play(2, 1, (4, 8, 8), odd=1.0)
    once, whole = (buffer_of(100, (4, 8, 8), frames=count) for count in (4, None))
    play_on(play, once, 60, whole)
    assert once.storage.num_frames > 4 * 60
    assert differences(once, whole) == []
    monkeypatch.setattr(frame_pool, "available_bytes", lambda: 10)
    with pytest.raises(RlctlError, match=r"room for 16 more frames, .* and 10 are free.*buffer_size lower"):
        play_on(play, once, 60)
    assert differences(once, whole, np.arange(60)) == []


# ---- state ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 5, 33])
@pytest.mark.parametrize("odd", [0.0, 0.5])
def test_a_buffer_goes_on_as_the_one_it_was_saved_from(count, odd):
    """Frame by frame and place by place, also where more memory had been taken; the next write shares as it would have."""
    play = Play(3, 2, (3, 2, 2), odd=odd)
    first, second = (buffer_of(10, (3, 2, 2), frames=3, n_step=2, masked_actions=2) for _ in range(2))
    play_on(play, first, count)
    Play(4, 3, (3, 2, 2)).moment([second])  # what it held is forgotten
    second.set_state(first.state())
    for _ in range(30):
        play.moment([first, second])
        one, other = (buffer.state()["arrays"] for buffer in (first, second))
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)
        assert np.array_equal(first.storage._pool._counts, second.storage._pool._counts)
    assert differences(first, second) == []


@pytest.mark.parametrize(("shape", "frames"), [((3, 2, 5), 3), ((3, 2, 4), None)])
def test_a_buffer_of_other_frames_is_refused(shape, frames):
    """Of another size, or of whole stacks."""
    saved = buffer_of(6, (3, 2, 4), frames=3).state()
    with pytest.raises(RlctlError, match=r"another one: 6 transitions of observations \(3,\).* frames \(2, 4\)"):
        buffer_of(6, shape, frames=frames).set_state(saved)
