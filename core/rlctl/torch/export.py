"""A policy's network as a file, ONNX or TorchScript, which is held to the policy's own actions before anybody gets it."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rlctl.errors import NotAvailableError, RlctlError
from rlctl.exports import Exportable, Network, Observed
from rlctl.worker.protocol import NetworkPolicy

TOLERANCE = 1e-5
"""How far an action, or the score of one that is as good, may be off: absolutely, or relatively where that is more."""

OBSERVATION, MASKS, ACTION = "observation", "action_masks", "action"
"""Names of inputs and outputs; of a Dict space the inputs are called by its keys."""

Run = Callable[[Observed], "tuple[NDArray[Any], ...]"]
"""Lets a file act: returns the actions and, where there are any, their scores."""


def to_onnx(exportable: Exportable) -> dict[str, Any]:
    """Write the network as ONNX; returns what the check found, and the names of inputs and outputs."""
    return _exported(exportable, _write_onnx, _run_onnx)


def to_torchscript(exportable: Exportable) -> dict[str, Any]:
    """Write the network as TorchScript, with who it is in its extra file rlctl.json; returns the same."""
    return _exported(exportable, _write_torchscript, _run_torchscript)


def detached(module: nn.Module) -> nn.Module:
    """Return a copy on the CPU, in evaluation mode, whose parameters nobody else holds and nothing learns."""
    # PyTorch refuses to copy a tensor that has a history, and nobody needs that here.
    known = {id(tensor): tensor.detach().clone() for tensor in _in_a_graph(module, set())}
    made = copy.deepcopy(module, known).cpu().eval().requires_grad_(requires_grad=False)
    for parameter in made.parameters():
        parameter.data = parameter.data.contiguous().clone()
    return made


def _in_a_graph(holder: Any, seen: set[int]) -> Iterator[torch.Tensor]:
    """Yield the tensors that a computation has left in attributes, of a distribution say, with their history."""
    if id(holder) in seen or isinstance(holder, (type, types.ModuleType, types.FunctionType)):
        return
    seen.add(id(holder))
    if isinstance(holder, torch.Tensor):
        if not holder.is_leaf:
            yield holder
        return
    parts = holder if isinstance(holder, (list, tuple)) else getattr(holder, "__dict__", holder)
    for part in parts.values() if isinstance(parts, dict) else parts if isinstance(parts, (list, tuple)) else ():
        yield from _in_a_graph(part, seen)


def checked(run: Run, network: Network, observed: Observed) -> dict[str, Any]:
    """Return by how much what `run` does differs from what the policy does; raises RlctlError where that is too much.

    It is asked for batches of several sizes. Integers must be equal, but for ties: actions whose scores are the same within
    TOLERANCE, between which rounding decides.
    """
    expected = np.asarray(network.act(*observed.arguments()))
    count = len(observed)
    ends = [0, *(end for end in (1, 3, *range(64, count, 64)) if end < count), count]
    parts = [observed.part(start, end) for start, end in itertools.pairwise(ends)]
    actions, *scores = (np.concatenate(batches) for batches in zip(*map(run, parts), strict=True))
    if actions.shape != expected.shape:
        raise RlctlError(f"what was exported gives actions of shape {actions.shape}, the policy of {expected.shape}.")
    differs = _differences(actions, expected)
    ties = _ties(actions, expected, scores[0], network.first_action) if scores else np.zeros(count, bool)
    wrong = (differs > TOLERANCE) & ~ties
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise RlctlError(
            f"what was exported does not act as the policy does: differently for {int(wrong.sum())} of {count} "
            f"observations, {actions[first].tolist()} instead of {expected[first].tolist()} for the first of them."
        )
    largest = float(differs[~ties].max(initial=0.0))
    return {"observations": count, "max_difference": largest, **({"ties": int(ties.sum())} if scores else {})}


def _differences(actions: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    """Return for each observation by how much the action differs, relatively where it is larger than 1."""
    there, here = (array.reshape(len(array), -1).astype(np.float64) for array in (actions, expected))
    with np.errstate(invalid="ignore"):  # infinities
        differences = np.abs(there - here) / np.maximum(1.0, np.abs(here))
    differences[(there == here) | (np.isnan(there) & np.isnan(here))] = 0.0
    largest: NDArray[np.float64] = np.nan_to_num(differences, nan=np.inf).max(axis=1, initial=0.0)
    return largest


def _ties(actions: NDArray[Any], expected: NDArray[Any], scores: NDArray[Any], first_action: int) -> NDArray[np.bool_]:
    """Return where another action was taken than expected, (count,), whose score is the same."""
    rows = np.arange(len(scores))
    own, other = (scores[rows, taken.astype(np.int64) - first_action] for taken in (actions, expected))
    near = np.abs(own - other) <= TOLERANCE * np.maximum(1.0, np.abs(other))
    ties: NDArray[np.bool_] = (actions != expected) & near
    return ties


def _exported(
    exportable: Exportable,
    write: Callable[[Network, Observed, Exportable], None],
    opened: Callable[[Path, Network], Run],
) -> dict[str, Any]:
    assert exportable.state is not None and exportable.observe is not None
    with exportable.state.policy(exportable.seed) as policy:
        network = _network_of(policy, exportable)
        observed = exportable.observe(network)
        with torch.no_grad(), _quietly():
            write(network, observed.part(0, 2), exportable)
            found = checked(opened(exportable.path, network), network, observed)
    return {**found, "inputs": list(_inputs(observed)), "outputs": _outputs(network)}


def _network_of(policy: Any, exportable: Exportable) -> Network:
    """Return the policy's network; raises NotAvailableError, with the reason, where it has none."""
    worker, algo = exportable.identity["worker"], exportable.identity["algo"]
    if not isinstance(policy, NetworkPolicy):
        raise NotAvailableError(
            f"{worker}/{algo} is not available as a network, because its worker does not say which one it is.",
            hint="A worker's policy does, if it has a method network().",
        )
    try:
        return policy.network(exportable.config["env"])
    except NotAvailableError as error:
        message = f"{worker}/{algo} is not available as a network, because {error.message}"
        raise NotAvailableError(message, hint=error.hint) from error


def _inputs(observed: Observed) -> dict[str, NDArray[Any]]:
    """Return the inputs by their names."""
    seen = observed.observations
    named = dict(seen) if isinstance(seen, dict) else {OBSERVATION: seen}
    if observed.masks is None:
        return named
    if MASKS in named:
        raise NotAvailableError(f'observations have a part "{MASKS}", and so are the masks called.')
    return {**named, MASKS: observed.masks}


def _outputs(network: Network) -> list[str]:
    return [ACTION] if network.scores is None else [ACTION, network.scores]


def _tensors(observed: Observed) -> tuple[Any, ...]:
    """Return what the module is called with."""
    seen = observed.observations
    made = {name: torch.from_numpy(array) for name, array in seen.items()} if isinstance(seen, dict) else None
    masks = () if observed.masks is None else (torch.from_numpy(observed.masks),)
    return (made or torch.from_numpy(seen), *masks)


def _arrays(outputs: Any) -> tuple[NDArray[Any], ...]:
    return tuple(output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,)))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep to itself what PyTorch says of its own inside, and let no distribution look at values that are none yet."""
    checks = torch.distributions.Distribution._validate_args  # noqa: SLF001 - it can be set, but not be asked for
    torch.distributions.Distribution.set_default_validate_args(value=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.distributions.Distribution.set_default_validate_args(checks)


# ---- ONNX ------------------------------------------------------------------------------------------------------------


class _Named(nn.Module):
    """Takes each input by itself, in their order, as ONNX knows no dictionaries."""

    def __init__(self, module: nn.Module, keys: tuple[str, ...]) -> None:
        super().__init__()
        self.module = module
        self._keys = keys

    def forward(self, *tensors: torch.Tensor) -> Any:
        count = len(self._keys)
        return self.module(dict(zip(self._keys, tensors, strict=False)), *tensors[count:])


def _write_onnx(network: Network, observed: Observed, exportable: Exportable) -> None:
    seen, inputs = observed.observations, _inputs(observed)
    module = _Named(network.module, tuple(seen)) if isinstance(seen, dict) else network.module
    tensors = tuple(map(torch.from_numpy, inputs.values()))
    batch = torch.export.Dim("batch")
    dynamic = tuple({0: batch} for _ in tensors)
    try:
        program = torch.onnx.export(
            module.eval(),
            tensors,
            dynamo=True,
            input_names=list(inputs),
            output_names=_outputs(network),
            dynamic_shapes=(dynamic,) if isinstance(module, _Named) else dynamic,
            opset_version=exportable.options["opset"],
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        raise RlctlError(f"PyTorch cannot make ONNX of this network: {_cause(error)}") from error
    assert program is not None
    program.model.metadata_props.update({f"rlctl.{key}": _text(value) for key, value in exportable.identity.items()})
    program.save(str(exportable.path), external_data=False)


def _cause(error: BaseException) -> str:
    """Return the first line of what it all began with."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _run_onnx(path: Path, network: Network) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda observed: tuple(session.run(_outputs(network), _inputs(observed)))


# ---- TorchScript -----------------------------------------------------------------------------------------------------


def _write_torchscript(network: Network, observed: Observed, exportable: Exportable) -> None:
    traced = torch.jit.trace(network.module.eval(), _tensors(observed), check_trace=False)  # type: ignore[no-untyped-call]
    said = json.dumps(dict(exportable.identity))
    torch.jit.save(traced, str(exportable.path), _extra_files={"rlctl.json": said})


def _run_torchscript(path: Path, _: Network) -> Run:
    loaded: Callable[..., Any] = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    return lambda observed: _arrays(loaded(*_tensors(observed)))
