"""Devices: what `device: auto` means, and the threads of a worker."""

from __future__ import annotations

import torch

from rlctl.errors import NotAvailableError


def resolve_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is CUDA, else Apple's MPS, else the CPU. Raises NotAvailableError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise NotAvailableError(f"device {name}: this PyTorch sees no CUDA", hint=f"torch {torch.__version__}.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise NotAvailableError(f"device {name}: there are {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise NotAvailableError(f"device {name}: this PyTorch sees no MPS", hint=f"torch {torch.__version__}.")
    return device


def limit_threads(threads: int | None) -> None:
    """Let PyTorch use so many CPU threads; None leaves its own choice."""
    if threads is not None:
        torch.set_num_threads(threads)
