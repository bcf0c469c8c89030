"""The Python in which CleanRL's scripts run bare, as their authors meant them to: gymnasium 0.29.1 and gym 0.23.1."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PACKAGES = ("numpy==2.4.6", "tensorboard", "matplotlib", "pandas", "cloudpickle", "tyro")
OF_THE_TIME = ("gymnasium==0.29.1", "gym==0.23.1", "gym-notices", "Farama-Notifications", "stable-baselines3==2.9.2")
"""Installed without what they ask for: their authors could not know today's numpy, whose arithmetic is to be the same."""


def reference_python(folder: Path) -> str:
    """Return the interpreter of `folder`, making the environment first if it is not there."""
    python = folder / "bin" / "python"
    done = folder / ".made"
    if not done.exists():
        print(f"Making {folder.name} for the bare scripts (once, some minutes)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "torch==2.13.0"], check=True)
        subprocess.run([*pip, "torch==2.13.0", *PACKAGES], check=True)
        subprocess.run([*pip, "--no-deps", *OF_THE_TIME], check=True)
        done.touch()
    return str(python)
