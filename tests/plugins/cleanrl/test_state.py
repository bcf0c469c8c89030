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


def test_weights_with_counters_beside_them_are_taken(tmp_path: Any) -> None:
    """As MOSAIC's PPO saves them; a script saves the weights alone."""
    pytest.importorskip("rlctl_cleanrl")
    from types import SimpleNamespace

    from rlctl_cleanrl.state import ScriptState

    saved = torch.nn.Linear(3, 2)
    for name, content in (
        ("plain", saved.state_dict()),
        ("beside", {"model_state_dict": saved.state_dict(), "global_step": 5, "iteration": 1}),
    ):
        torch.save(content, tmp_path / name)
        agent = torch.nn.Linear(3, 2)
        state = ScriptState(True)
        state.script = {"agent": agent, "args": SimpleNamespace(total_timesteps=5)}
        state.read_artefact(tmp_path / name, trust=False)
        assert torch.equal(agent.weight, saved.weight)
