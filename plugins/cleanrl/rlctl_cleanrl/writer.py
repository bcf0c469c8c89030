"""A stand-in for TensorBoard's SummaryWriter while a script runs: scalars go to a callback, the rest nowhere.

Without `write_tensorboard` the `tensorboard` package is neither needed nor imported.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

OnScalar = Callable[[str, float, int], None]

_MODULE = "torch.utils.tensorboard"


def to_float(value: Any) -> float:
    """Return a Python float from a number, a numpy scalar, an array of one element or a tensor of one element."""
    if type(value) is float:
        return value
    item = getattr(value, "item", None)
    return float(value if item is None else item())


def _silent_writer(on_scalar: OnScalar) -> type:
    """Return a SummaryWriter class that writes no file."""

    class SummaryWriter:
        """Reports scalars and ignores everything else."""

        def __init__(self, log_dir: str | None = None, *_args: Any, **_kwargs: Any) -> None:
            self.log_dir = log_dir or "runs"
            # Scripts save their models into this folder and never make it themselves.
            Path(self.log_dir).mkdir(parents=True, exist_ok=True)

        def add_scalar(self, tag: str, scalar_value: Any, global_step: Any = None, *_: Any, **__: Any) -> None:
            """Report one scalar."""
            on_scalar(tag, to_float(scalar_value), 0 if global_step is None else int(global_step))

        def __getattr__(self, name: str) -> Callable[..., None]:
            if name.startswith("_"):
                raise AttributeError(name)
            return _nothing

    return SummaryWriter


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    """Take the place of add_text, add_histogram, flush, close and so on."""


def _writing_writer(on_scalar: OnScalar) -> type:
    """Return the real SummaryWriter class, which reports scalars as well."""
    from torch.utils.tensorboard import SummaryWriter as Original

    class SummaryWriter(Original):
        """Reports scalars and writes everything."""

        def add_scalar(self, tag: str, scalar_value: Any, global_step: Any = None, *args: Any, **kwargs: Any) -> None:
            """Report one scalar and write it."""
            value = to_float(scalar_value)
            on_scalar(tag, value, 0 if global_step is None else int(global_step))
            super().add_scalar(tag, value, global_step, *args, **kwargs)

    return SummaryWriter


@contextlib.contextmanager
def redirected(on_scalar: OnScalar, write_tensorboard: bool) -> Iterator[None]:
    """Let `from torch.utils.tensorboard import SummaryWriter` give a reporting class inside the `with` block."""
    utils = importlib.import_module("torch.utils")
    module = types.ModuleType(_MODULE)
    make = _writing_writer if write_tensorboard else _silent_writer
    vars(module).update(SummaryWriter=make(on_scalar))
    previous = sys.modules.get(_MODULE)
    sys.modules[_MODULE] = module
    vars(utils).update(tensorboard=module)
    try:
        yield
    finally:
        if previous is None:
            del sys.modules[_MODULE]
            delattr(utils, "tensorboard")
        else:
            sys.modules[_MODULE] = previous
            vars(utils).update(tensorboard=previous)
