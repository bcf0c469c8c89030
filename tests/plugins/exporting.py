"""What the tests of exports share: a state as an exporter is handed it, and ONNX files that act."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlctl import Exportable
from rlctl.gym.observations import gather
from rlctl.torch.export import to_onnx, to_torchscript

IDENTITY = {
    "run_id": "first", "worker": "mine", "algo": "best", "env": "CartPole-v1", "step": 7, "checkpoint": "abc",
    "spaces": {"action": "Discrete(2)", "observation": "Box(4)"}, "rlctl": "0.1.0",
}  # fmt: skip


def exportable(state: Any, env: Any, path: Any, **fields: Any) -> Exportable:
    """What an exporter gets that is to write `path`."""
    config = {"env": {"id": env} if isinstance(env, str) else env}
    given = {"options": {"opset": 18}, "source": None, "directory": None, **fields}
    return Exportable(
        path=path, identity=IDENTITY, config=config, state=state, seed=1,
        observe=lambda network: gather(network, config["env"], 1), **given,
    )  # fmt: skip


def both_formats(state: Any, env: Any, folder: Any) -> dict[str, Any]:
    """Export a state as ONNX and as TorchScript; returns what was found, which is the same for both."""
    found = to_onnx(exportable(state, env, folder / "policy.onnx"))
    assert to_torchscript(exportable(state, env, folder / "policy.pt")) == {
        **found, "max_difference": found["max_difference"] if found["max_difference"] == 0 else _small
    }  # fmt: skip
    return found


class _Small:
    """Equal to every number that rounding explains."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and other <= 1e-5

    __hash__ = None  # type: ignore[assignment]


_small = _Small()


def run_onnx(path: Any, **inputs: Any) -> list[np.ndarray]:
    """The outputs of an ONNX file, by a session of its own."""
    import onnxruntime

    return onnxruntime.InferenceSession(str(path)).run(None, inputs)
