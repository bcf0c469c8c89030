"""Record the episodes that an unmodified CleanRL script logs in a reference environment, as exact test data.

Run by the REFERENCE interpreter, never by rlctl: `python record.py SCRIPT OUT.json -- --seed 1 --env-id Pendulum-v1`.
`README.md` beside this file has the recipe of the environment and every command that was used.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

from fingerprint import fingerprint

PACKAGES = ("gymnasium", "gym", "numpy", "torch", "mujoco", "ale-py", "shimmy", "opencv-python-headless")


class Episodes:
    """Collects (global_step, return, length) from the two scalars that every CleanRL script logs for an episode."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []

    def add_scalar(self, _writer: object, tag: str, value: Any, step: int = 0, *_: Any, **__: Any) -> None:
        """Stand in for `SummaryWriter.add_scalar`; the return is always logged right before its length."""
        number = value.item() if hasattr(value, "item") else value
        if tag == "charts/episodic_return":
            # Hexadecimal keeps every bit of the float32 sum.
            self.rows.append([int(step), float(number).hex(), None])
        elif tag == "charts/episodic_length":
            self.rows[-1][2] = int(number)


def versions() -> dict[str, str]:
    """Return what the values depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if "stable_baselines3" in sys.modules:
        found["stable-baselines3"] = sys.modules["stable_baselines3"].__version__
    return found


def run(script: Path, argv: list[str]) -> tuple[list[list[Any]], int]:
    """Execute the script as `python SCRIPT ARGV` would, in a folder that is thrown away.

    Returns its episodes and the step until which it does not learn: an on-policy script's batch is a rollout.
    """
    import torch
    from torch.utils.tensorboard import SummaryWriter

    torch.set_num_threads(1)
    episodes = Episodes()
    setattr(SummaryWriter, "add_scalar", lambda *args, **more: episodes.add_scalar(*args, **more))  # noqa: B010, PLW0108
    sys.path[0:0] = [str(script.parent), str(script.parent.parent)]
    sys.argv = [str(script), *argv]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        args = runpy.run_path(str(script), run_name="__main__")["args"]
        os.chdir("/")
    return episodes.rows, int(args.learning_starts if hasattr(args, "learning_starts") else args.batch_size)


def main() -> None:
    """Record one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("script", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("argv", nargs="*")
    args = parser.parse_args()
    script, out = args.script.resolve(), args.out.resolve()
    rows, learning_starts = run(script, args.argv)
    head = {
        "script": f"{script.parent.name}/{script.name}",
        "sha256": hashlib.sha256(script.read_bytes()).hexdigest(),
        "argv": args.argv,
        "versions": versions(),
        "fingerprint": fingerprint(),
        "learning_starts": learning_starts,
    }
    body = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    text = json.dumps(head, indent=1)[:-2] + ',\n "columns": ["global_step", "episodic_return", "episodic_length"],'
    out.write_text(f'{text}\n "episodes": [\n{body}\n]}}\n')


if __name__ == "__main__":
    main()
