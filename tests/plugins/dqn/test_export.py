"""The agent as a network: values, distributions, streams and noise; flattened spaces, frames, masks and first actions."""

import numpy as np
import pytest
from tests.plugins.dqn.making import train_to, training_of
from tests.plugins.dqn.screens import screens
from tests.plugins.dqn.test_training import odd
from tests.plugins.exporting import both_formats, exportable, run_onnx

from rlctl import NotAvailableError
from rlctl.torch.export import to_onnx

slow = pytest.mark.slow
CASES = {
    "dqn": ("dqn", "CartPole-v1", {}),
    "reference": ("dqn", "CartPole-v1", {"path": "reference"}),
    "dueling": ("dueling_dqn", "CartPole-v1", {}),
    "c51": ("c51", "CartPole-v1", {"atoms": 7}),
    "discrete": ("dqn", odd("discrete"), {}),
    "dict": ("dqn", odd("dict"), {}),
    "masked": ("dqn", odd(masked=True), {}),
    "frames": ("dqn", screens(shape=(40, 40)), {"extractor": "nature"}),
}
SLOW_CASES = {
    "qr_dqn": ("qr_dqn", "CartPole-v1", {}),
    "rainbow": ("rainbow", "CartPole-v1", {"atoms": 7}),
    "impala": ("dueling_dqn", screens(shape=(12, 12)), {"extractor": "impala"}),
    "multi_discrete": ("dqn", odd("multi_discrete"), {}),
    "multi_binary": ("dqn", odd("multi_binary"), {}),
    "number": ("dqn", odd("number"), {}),
}


@pytest.mark.parametrize("case", [*CASES, *(pytest.param(name, marks=slow) for name in SLOW_CASES)])
def test_what_is_exported_acts_as_the_agent_does(case, tmp_path):
    """ONNX by onnxruntime and TorchScript, each loaded anew; noise is off, masks are an input."""
    algo, env, changes = {**CASES, **SLOW_CASES}[case]
    training, _ = training_of(tmp_path, algo, env=env, **changes)
    train_to(training, 100)
    before = training.agent.online.training

    found = both_formats(training, env, tmp_path)

    assert (found["observations"], found["max_difference"]) == (512, 0.0)
    assert found["outputs"] == ["action", "q_values"]
    assert found["inputs"] == {"dict": ["held", "seen"], "masked": ["observation", "action_masks"]}.get(
        case, ["observation"]
    )
    assert training.agent.online.training == before


def test_actions_are_those_of_the_environment_and_what_is_forbidden_is_not_taken(tmp_path):
    """The first action is 5; with one action allowed it is that one."""
    training, _ = training_of(tmp_path, env=odd(masked=True))
    to_onnx(exportable(training, odd(masked=True), tmp_path / "policy.onnx"))

    seen = np.random.default_rng(0).normal(size=(3, 3))
    actions, values = run_onnx(tmp_path / "policy.onnx", observation=seen, action_masks=np.eye(3, dtype=bool))
    assert actions.tolist() == [5, 6, 7]
    assert values.shape == (3, 3)


def test_observations_that_are_no_arrays_are_refused(tmp_path):
    """A tuple has no names for its parts."""
    training, _ = training_of(tmp_path, env=odd("tuple"))
    with pytest.raises(NotAvailableError, match=r"because its observations, Tuple.* are neither an array nor"):
        to_onnx(exportable(training, odd("tuple"), tmp_path / "policy.onnx"))
