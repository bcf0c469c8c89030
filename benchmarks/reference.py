"""The Pythons in which peers run as their authors meant them to: CleanRL's and LeanRL's scripts, and Tianshou."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_TORCH = "torch==2.13.0"
PACKAGES = ("numpy==2.4.6", "tensorboard", "matplotlib", "pandas", "cloudpickle", "tyro", "tqdm", "wandb")
OF_THE_TIME = ("gymnasium==0.29.1", "gym==0.23.1", "gym-notices", "Farama-Notifications", "stable-baselines3==2.9.2")
"""Installed without what they ask for: their authors could not know today's numpy, whose arithmetic is to be the same."""
TIANSHOU = ("numpy==2.4.6", "gymnasium==1.4.0", "tianshou==2.0.0")


def reference_python(folder: Path) -> str:
    """Return the interpreter for bare scripts of `folder`, making the environment first if it is not there or has aged."""
    return _made(folder, "the bare scripts", (_TORCH,), (_TORCH, *PACKAGES), ("--no-deps", *OF_THE_TIME))


def old_sb3(folder: Path) -> str:
    """Return `folder` with SB3 1.2.0 in it, fetched first if it is not there: CleanRL's scripts for gym need its buffer.

    On the path of the reference Python it comes before the newer one, as in plugins/cleanrl/reference/README.md.
    """
    if not folder.exists():
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
        subprocess.run([*pip, "--target", str(folder), "stable-baselines3==1.2.0"], check=True)
    return str(folder)


def tianshou_python(folder: Path) -> str:
    """Return the interpreter with Tianshou of `folder`, making the environment first if it is not there or has aged."""
    return _made(folder, "Tianshou", (_TORCH,), (_TORCH, *TIANSHOU))


def versions(python: str, packages: Sequence[str]) -> dict[str, str]:
    """Return what an interpreter has of packages, by name."""
    code = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    answer = subprocess.run([python, "-c", code, *packages], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(answer.stdout)
    return found


def _made(folder: Path, what: str, *installs: tuple[str, ...]) -> str:
    python, done = folder / "bin" / "python", folder / ".made"
    wanted = json.dumps(installs)
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        print(f"Making {folder.name} for {what} (once, some minutes)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for arguments in installs:
            pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            subprocess.run([*pip, *arguments], check=True)
        done.write_text(wanted, encoding="utf-8")
    return str(python)
