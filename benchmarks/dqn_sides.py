"""Who trains a DQN on CartPole-v1 in the section `dqn`: our worker and its peers, each as a command and two budgets."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from benchmarks.reference import old_sb3, versions

SMALL = 12_000
"""Beyond the 10,000 steps before the first update, so that the steps between the two budgets are training alone."""
_RLCTL = str(Path(sys.executable).with_name("rlctl"))
_BY_HAND = Path(__file__).parent / "by_hand"
_OLD_SB3 = Path(__file__).parent.parent / ".venv-reference-sb3-1.2.0"
_BARE = str(_BY_HAND / "cleanrl_script.py")


@frozen
class Side:
    """A training: a command with {steps} and {seed} to fill in, and the larger budget, for some seconds beside SMALL."""

    command: tuple[str, ...]
    large: int
    environment: Mapping[str, str] = field(factory=dict)


def ours() -> dict[str, Side]:
    """Return our worker's sides; callbacks and everything else are as they are by default."""
    often: dict[str, Any] = {"train_frequency": 1}
    smaller = {**often, "batch_size": 64}
    return {
        "rlctl": _rlctl(1, 162_000),
        "rlctl, 16 envs": _rlctl(16, 212_000),
        "rlctl, 64 envs": _rlctl(64, 262_000),
        "rlctl, every step": _rlctl(1, 52_000, **often),
        "rlctl, 16 envs, every step": _rlctl(16, 52_000, **often),
        "rlctl, every step, batch 64": _rlctl(1, 62_000, **smaller),
        "rlctl, 16 envs, every step, batch 64": _rlctl(16, 72_000, **smaller),
        "rlctl c51, PyTorch, every step": _rlctl(1, 22_000, "dqn/c51", path="reference", **often),
    }


def _rlctl(num_envs: int, large: int, worker: str = "dqn", **settings: Any) -> Side:
    sets = [word for name, value in settings.items() for word in ("--set", f"hyperparameters.{name}={value}")]
    envs = ("--num-envs", str(num_envs)) if num_envs > 1 else ()
    options = ("-n", "{steps}", "-s", "{seed}", "--device", "cpu", *envs, *sets)
    return Side((_RLCTL, "run", worker, "CartPole-v1", *options), large)


def cleanrl(reference: str) -> dict[str, Side]:
    """Return CleanRL's scripts, unmodified, in the reference Python; c51.py is of the time of gym."""
    from rlctl_cleanrl.sources import ensure

    folder = ensure(None, print).path / "cleanrl"
    often = ("--train-frequency", "1")

    def side(script: str, large: int, *flags: str, **environment: str) -> Side:
        options = ("--env-id", "CartPole-v1", "--seed", "{seed}", "--total-timesteps", "{steps}", "--cuda", "False")
        return Side((reference, _BARE, str(folder / script), *options, *flags), large, environment)

    return {
        "CleanRL": side("dqn.py", 52_000),
        "CleanRL, every step": side("dqn.py", 24_000, *often),
        "CleanRL, every step, batch 64": side("dqn.py", 24_000, *often, "--batch-size", "64"),
        "CleanRL c51.py, every step": side("c51.py", 20_000, *often, PYTHONPATH=old_sb3(_OLD_SB3)),
    }


def sb3() -> dict[str, Side]:
    """Return SB3's DQN in this Python."""
    command = (sys.executable, str(_BY_HAND / "sb3_dqn.py"), "{steps}", "{seed}")
    return {"SB3": Side((*command, "1"), 52_000), "SB3, 8 envs": Side((*command, "8"), 72_000)}


def leanrl(reference: str, checkout: Path) -> dict[str, Side]:
    """Return LeanRL's script, unmodified, in the reference Python, with wandb switched off."""
    options = ("--seed", "{seed}", "--total-timesteps", "{steps}", "--no-cuda")
    command = (reference, _BARE, str(leanrl_script(checkout)), *options)
    return {"LeanRL": Side(command, 52_000, {"WANDB_MODE": "disabled"})}


def leanrl_script(checkout: Path) -> Path:
    """Return the script of a checkout of pytorch-labs/LeanRL."""
    return checkout.resolve() / "leanrl" / "dqn.py"


def tianshou(python: str) -> dict[str, Side]:
    """Return Tianshou's DQN in its own Python."""
    return {"Tianshou": Side((python, str(_BY_HAND / "tianshou_dqn.py"), "{steps}", "{seed}"), 24_000)}


def peers_versions(reference: str, tianshou_python: str, checkout: Path | None) -> dict[str, Any]:
    """Return what the peers are, for the history."""
    from rlctl_cleanrl.sources import ensure

    names = ("torch", "numpy", "gymnasium")
    leanrl_hash = None if checkout is None else hashlib.sha256(leanrl_script(checkout).read_bytes()).hexdigest()
    return {
        "reference": versions(reference, (*names, "stable-baselines3")),
        "tianshou": versions(tianshou_python, (*names, "tianshou")),
        "cleanrl": ensure(None, print).version,
        "leanrl_dqn_sha256": leanrl_hash,
    }
