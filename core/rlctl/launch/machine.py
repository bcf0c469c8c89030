"""What this machine is: cores, memory, GPU and the rest of a manifest's hardware, without importing anything heavy."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from rlctl.compatibility import MachineFacts


def machine_facts() -> MachineFacts:
    """Return cores that this process may use, memory in MiB and whether there is a GPU."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return MachineFacts(cpu_cores=cores, memory_mb=_memory_mb(), has_gpu=_has_gpu())


def hardware() -> dict[str, Any]:
    """Return the hardware part of a manifest."""
    facts = machine_facts()
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cpu_cores": facts.cpu_cores,
        "memory_mb": facts.memory_mb,
        "gpus": _gpus(),
    }


def _memory_mb() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (ValueError, OSError):
        return None


def _has_gpu() -> bool:
    if os.environ.get("CUDA_VISIBLE_DEVICES", "unset") in ("", "-1"):
        return False
    # WSL shows its GPU as /dev/dxg, and Apple's chips have one always.
    return (
        Path("/dev/nvidiactl").exists()
        or Path("/dev/dxg").exists()
        or (sys.platform == "darwin" and platform.machine() == "arm64")
    )


def _gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if not program or not _has_gpu():
        return []
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return answer.stdout.strip().splitlines() if answer.returncode == 0 else []


def gpu_names() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES takes them."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is not None:
        return [name for name in said.split(",") if name and name != "-1"]
    return [str(index) for index in range(len(_gpus()))]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
