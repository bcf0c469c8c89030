"""What of a script's globals is its state."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch


def test_a_batch_is_no_buffer(tmp_path: Any) -> None:
    """CleanRL's own buffer hands out named tuples of its module: saving leaves them out, and saves the buffer."""
    pytest.importorskip("rlctl_cleanrl")
    from rlctl_cleanrl.state import ScriptState

    class Batch(NamedTuple):
        observations: torch.Tensor

    class Buffer:
        def __init__(self) -> None:
            self.observations = np.arange(3.0)

    for kind in (Batch, Buffer):
        kind.__module__ = "cleanrl_utils.buffers"
    state = ScriptState(True)
    state.script = {"rb": Buffer(), "data": Batch(torch.zeros(2))}
    state.write_state(tmp_path)
    restored = ScriptState(True)
    restored.script = {"rb": Buffer(), "data": None}
    restored.script["rb"].observations[:] = 0.0
    restored.read_state(tmp_path)

    assert restored.script["rb"].observations.tolist() == [0.0, 1.0, 2.0]
