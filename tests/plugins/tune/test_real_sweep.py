"""A sweep of a real training finds what the defaults lack; its examples can be run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "examples" / "sweeps").glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sweep_beats_the_defaults_on_fresh_seeds(cli: Callable[..., Any]) -> None:
    """With little time to learn, DQN's learning rate and how often it learns matter, also on seeds that were not searched."""
    pytest.importorskip("torch")
    outcome = cli("sweep", "run", ROOT / "examples" / "sweeps" / "dqn_cartpole.yaml", "--json", timeout=880)
    assert outcome.code == 0, outcome.err
    data = outcome.json()
    assert data["counts"]["complete"] == 4
    assert data["fresh"]["winner"]["fresh"] > data["fresh"]["defaults"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_can_be_run(path: Path, fast_cli: Callable[..., Any]) -> None:
    """Each edge of its space is a configuration without a problem."""
    pytest.importorskip("stable_baselines3")
    outcome = fast_cli("sweep", "run", path, "--dry-run")
    assert outcome.code == 0, outcome.err
