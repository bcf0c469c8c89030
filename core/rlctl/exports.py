"""Exporting as data: what a format declares, what its exporter is handed, a policy as a network, and rlctl's own formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from rlctl.descriptors import API_VERSION, Parameter

if TYPE_CHECKING:
    from rlctl.worker.protocol import Resumable


def _tuple(values: Any) -> tuple[Any, ...]:
    return tuple(values)


@frozen(kw_only=True)
class ExportDescriptor:
    """A file that a policy, or the records of a run, can be made into. `entry_point` ("module:function") is called with an
    `rlctl.Exportable` in the process that has the policy; what it returns, a mapping or None, is shown to the user.

    `filename` is the name that the file has where the user gives none. `workers` are those whose policies it is for; all
    if it names none. Without `needs_policy` no training is built, and a run needs no checkpoint. `install` says how to get
    what `requires` asks for.
    """

    name: str
    summary: str
    entry_point: str
    filename: str
    workers: tuple[str, ...] = field(default=(), converter=_tuple)
    needs_policy: bool = True
    options: tuple[Parameter, ...] = field(default=(), converter=_tuple)
    requires: tuple[str, ...] = field(default=(), converter=_tuple)
    install: str = ""
    api_version: int = API_VERSION

    def __attrs_post_init__(self) -> None:
        if not self.filename or "/" in self.filename or self.filename.startswith("."):
            raise ValueError(f'format "{self.name}": "{self.filename}" is no name of a file')


@frozen(kw_only=True)
class Network:
    """A policy as a PyTorch module that takes what the environment gives, and what it can be held to.

    `module(observations)` maps a batch of observations, as the environments of `make_env` give them, to greedy actions as
    they take them: scaling, normalisation, one-hot and clipping are inside. Of a Dict space a batch is a dict of tensors.
    It returns the actions, (batch, ...), and with `scores`, which is what they are called, a tuple of these and a number for
    each action, (batch, num_actions): the highest allowed one is taken, and `first_action` is the first one's action. `act`
    is the policy's own way to the same actions, on arrays. With `mask`, which says of an environment of `make_env` what it
    allows now, (num_actions,), both take masks, (batch, num_actions), as a second argument.
    """

    module: Any
    make_env: Callable[..., Any]
    act: Callable[..., Any]
    scores: str | None = None
    first_action: int = 0
    mask: Callable[[Any], Any] | None = None


@frozen
class Observed:
    """A batch of observations, (count, ...) or a dict of such arrays, and which actions were allowed, (count, num_actions)."""

    observations: Any
    masks: Any = None

    def __len__(self) -> int:
        arrays = self.observations
        return len(next(iter(arrays.values())) if isinstance(arrays, dict) else arrays)

    def part(self, start: int, end: int) -> Observed:
        """Return those from `start` to before `end`."""
        arrays = self.observations
        cut = {name: array[start:end] for name, array in arrays.items()} if isinstance(arrays, dict) else None
        return Observed(cut or arrays[start:end], None if self.masks is None else self.masks[start:end])

    def arguments(self) -> tuple[Any, ...]:
        """Return what a network's `act` is called with."""
        return (self.observations,) if self.masks is None else (self.observations, self.masks)


@frozen(kw_only=True)
class Exportable:
    """What an exporter is handed: it writes `path`, and what belongs beside it into the same folder, which is empty.

    rlctl puts the files in their place when the exporter has returned, and none of them when it has raised. `identity` says
    whose policy it is, as data for the file: run_id, worker, algo, env, step, checkpoint, spaces, version of rlctl.
    `config` is the whole configuration, `options` those of the format, `source` the bundle or file that the weights came
    from, `directory` the run's own, to read from; None for a file. `state` has the weights; it and `observe`, which gathers
    observations of a network's environments, drawn from their space and met in episodes, are None for a format that needs
    no policy. `seed` is for `state.policy`.
    """

    path: Path
    identity: Mapping[str, Any]
    config: Mapping[str, Any]
    options: Mapping[str, Any]
    source: Path | None
    directory: Path | None
    seed: int
    state: Resumable | None = None
    observe: Callable[[Network], Observed] | None = None


BUILT_IN = (
    ExportDescriptor(
        name="onnx",
        summary="the policy as a network in ONNX, for any of its runtimes",
        entry_point="rlctl.torch.export:to_onnx",
        filename="policy.onnx",
        options=(
            Parameter(
                name="opset", kinds=("integer",), default=18, minimum=18, maximum=23, doc="Version of ONNX's operators."
            ),
        ),
        requires=("torch>=2.9", "onnx>=1.18", "onnxruntime>=1.20", "onnxscript>=0.5"),
        install="pip install 'rlctl[onnx]'",
    ),
    ExportDescriptor(
        name="torchscript",
        summary="the policy as a network in TorchScript, for PyTorch without Python",
        entry_point="rlctl.torch.export:to_torchscript",
        filename="policy.pt",
        requires=("torch>=2.3",),
        install="pip install 'rlctl[torch]'",
    ),
)
"""They need nothing but a policy that says what its network is, so they are for every worker."""
