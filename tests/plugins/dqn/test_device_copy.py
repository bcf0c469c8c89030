"""What is done for a GPU, on a CPU: batches out of a copy on the device, and losses that nobody waits for."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plugins.dqn.making import CPU, agent_of, batch_of, differences, parameters, train_to, training_of
from tests.plugins.dqn.test_frame_storage import Play

from rlctl import RlctlError
from rlctl_dqn.device_copy import has_room
from rlctl_dqn.replay_buffer import ReplayBuffer
from rlctl_dqn.storage import Steps

FEW = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def buffers_of(capacity, shape, **arguments):
    """A buffer whose batches come from a copy, and one whose do not."""
    copied, plain = (ReplayBuffer(capacity, shape, CPU, gamma=0.9, masked_actions=2, **arguments) for _ in range(2))
    copied.storage.copy_to(CPU)
    return copied, plain


@pytest.mark.parametrize("frames", [2, None], ids=["frames kept once", "whole images"])
@FEW
@given(seed=seeds, capacity=st.integers(1, 12), odd=st.sampled_from([0.0, 0.5]))
def test_images_out_of_a_copy_are_the_same(frames, seed, capacity, odd):
    """Also where the pool of frames has to grow, as few of them are shared, and after what was saved is taken up again."""
    shape = (2, 3, 3)
    play = Play(seed, 2, shape, values=None, odd=odd)
    copied, plain = buffers_of(capacity, shape, dtype="uint8", frames=frames)
    for _ in range(4 * capacity + 10):
        play.moment([copied, plain])
        assert differences(copied, plain) == []
    again, _ = buffers_of(capacity, shape, dtype="uint8", frames=frames)
    again.set_state(plain.state())
    assert differences(again, plain) == []


@FEW
@given(seed=seeds, capacity=st.integers(1, 12), counts=st.lists(st.integers(0, 15), max_size=6))
def test_vectors_out_of_a_copy_are_the_same(seed, capacity, counts):
    """One by one, many at once, over the end of the ring, and after what was saved is taken up again."""
    drawn = np.random.default_rng(seed)
    made = [ReplayBuffer(capacity, 3, CPU, gamma=0.9) for _ in range(3)]
    copied, plain, again = made
    copied.storage.copy_to(CPU)
    again.storage.copy_to(CPU)
    for count in counts:
        seen = drawn.standard_normal((2, count, 3)).astype(np.float32)
        rewards = drawn.standard_normal(count).astype(np.float32)
        steps = Steps(seen[0], drawn.integers(0, 2, count), rewards, seen[1], drawn.random(count) < 0.5)
        for buffer in (copied, plain):
            buffer.add_many(steps)
            buffer.add(np.zeros(3, np.float32), 1, 1.0, np.ones(3, np.float32), False)
        assert differences(copied, plain) == []
    again.set_state(plain.state())
    assert differences(again, plain) == []


def test_a_copy_is_made_where_a_gpu_has_room(monkeypatch):
    """Of what is free a fifth is left for the rest; a CPU needs none."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    assert has_room(torch.device("cuda"), 800)
    assert not has_room(torch.device("cuda"), 801)
    assert not has_room(CPU, 1)


def looking_later(agent):
    """An agent as it would be on a GPU."""
    agent._looks_now, agent._looks_later = False, True
    return agent


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_a_loss_that_nobody_waited_for_changes_nothing(optimizer):
    """The update is left out on the device, is counted once, and the next one is as if it had not been."""
    later, now = (agent_of(optimizer=optimizer, weight_decay=0.1) for _ in range(2))
    looking_later(later)
    for rewards in (None, math.nan, None, math.inf, None):
        batch = batch_of() if rewards is None else batch_of(rewards=torch.full((8,), rewards))
        for agent in (later, now):
            agent.update(batch)
    assert np.array_equal(parameters(later.online), parameters(now.online))
    assert later.left_out() == 2
    assert later.left_out() == 0


def test_a_training_whose_losses_nobody_waits_for_ends_at_its_next_report(tmp_path):
    """With how many there were since the last; the weights are those before them."""
    training, _ = training_of(tmp_path, path="reference", train_frequency=1)
    looking_later(training.agent)
    train_to(training, 100)
    before = parameters(training.agent.online)
    training.buffer.storage.rows[:, training.buffer.storage.reward] = np.nan
    training._next_due = lambda step: step + 1
    with pytest.raises(RlctlError, match=r"of the last 100 updates \d+ had a loss that is not finite"):
        train_to(training, 300)
    assert np.array_equal(parameters(training.agent.online), before)
