"""What docs/cleanrl.md says of each script is what `rlctl workers show` says of it; test_recordings: what runs, runs."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import pytest

from rlctl_cleanrl.catalogue import CATALOGUE
from rlctl_cleanrl.plugin import _FITTED

MASTER = os.environ.get("RLCTL_TEST_CLEANRL_MASTER")
PAGE = Path(__file__).parents[3] / "docs" / "cleanrl.md"

# The algorithms that a table of another system's CleanRL worker promises, by its families.
PROMISED = {
    "PPO": "ppo ppo_continuous_action ppo_atari ppo_atari_multigpu ppo_atari_lstm ppo_atari_envpool "
    "ppo_atari_envpool_xla_jax ppo_atari_envpool_xla_jax_scan ppo_procgen ppo_rnd_envpool ppo_pettingzoo_ma_atari",
    "policy optimization": "ppg_procgen pqn pqn_atari_envpool pqn_atari_envpool_lstm rpo_continuous_action",
    "Q-learning": "dqn dqn_atari dqn_jax dqn_atari_jax rainbow_atari qdagger_dqn_atari_impalacnn "
    "qdagger_dqn_atari_jax_impalacnn",
    "distributional RL": "c51 c51_jax c51_atari c51_atari_jax",
    "continuous control": "ddpg_continuous_action ddpg_continuous_action_jax td3_continuous_action "
    "td3_continuous_action_jax sac_continuous_action sac_atari",
}


def rows() -> dict[str, dict[str, str]]:
    """Return the rows of the page's table, by script."""
    lines = [line.strip("| \n").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    start = next(number for number, line in enumerate(lines) if line[:2] == ["family", "script"])
    table = [dict(zip(lines[start], line, strict=True)) for line in lines[start + 1 :] if len(line) == 6]
    return {row["script"].strip("`"): row for row in table}


def said_of(row: dict[str, str], version: str) -> str:
    """Return what a row says of one version: "runs", "needs …" or "cannot: …"."""
    different = dict(part.split(": ", 1) for part in row["runs"].split("; ") if part.startswith(("1.2.0:", "master:")))
    return different.get(version, row["runs"])


def contradiction(algorithm: dict[str, Any], row: dict[str, str], version: str) -> str | None:
    """Return how `workers show` contradicts a row of the table on this machine, None where it does not."""
    text, reason = said_of(row, version), algorithm["unavailable"] or ""
    spaces = " or ".join(algorithm["action_spaces"]) or "any"
    if (algorithm["family"], spaces) != (row["family"], row["actions"]):
        return f"{algorithm['family']}, {spaces}: {row}"
    taken = [row["observations"]] if row["observations"] == "image" else [str(space.value) for space in _FITTED]
    if algorithm["observation_spaces"] != (taken if algorithm["action_spaces"] or taken == ["image"] else []):
        return f"{algorithm['observation_spaces']}: {row}"
    if text == "runs":
        return reason or None
    if text.startswith("cannot: "):
        return None if reason == f"{text.removeprefix('cannot: ')}." else reason or "it runs"
    packages = re.fullmatch(r"needs `pip install (.*)`", text)
    assert packages, text
    modules = {"ale-py": "ale_py", "opencv-python-headless": "cv2", "huggingface-hub": "huggingface_hub"}
    lacking = [
        name for name in packages[1].split() if importlib.util.find_spec(modules.get(name, name)) is None
    ]  # fmt: skip
    right = f"`pip install {' '.join(lacking)}`" in reason if lacking else not reason
    return None if right else f"lacking {lacking}: {reason}"


def test_each_promised_algorithm_has_a_row_in_its_family() -> None:
    """All 33 are there: what runs, and what cannot with its reason."""
    table = rows()
    promised = {name: family for family, names in PROMISED.items() for name in names.split()}
    assert len(promised) == 33
    assert {name: table[name]["family"] for name in promised} == promised
    assert set(table) - set(promised) == {"ppo_continuous_action_isaacgym", "ppo_trxl"}


@pytest.mark.network
def test_the_table_is_what_workers_show_says_of_the_release(cli: Any, cleanrl_cache: Path) -> None:
    """Family, spaces, whether it runs, and what is missing, of each script of 1.2.0."""
    shown = {item["name"]: item for item in cli("workers", "show", "cleanrl", "--json").json()["algorithms"]}
    table = {name: row for name, row in rows().items() if "1.2.0" in row["in"]}
    assert set(shown) == set(table)
    wrong = {name: contradiction(shown[name], row, "1.2.0") for name, row in table.items()}
    assert {name: text for name, text in wrong.items() if text} == {}


@pytest.mark.network
@pytest.mark.skipif(not MASTER, reason="RLCTL_TEST_CLEANRL_MASTER names no checkout of CleanRL master")
def test_the_table_is_what_workers_show_says_of_master(cli: Any) -> None:
    """The same of a checkout of master, as a source with a name."""
    assert cli("workers", "setup", "cleanrl").code == 0
    assert cli("workers", "setup", "cleanrl", "--source", MASTER, "--name", "master").code == 0
    algorithms = cli("workers", "show", "cleanrl", "--json").json()["algorithms"]
    shown = {item["name"].removeprefix("master/"): item for item in algorithms if item["name"].startswith("master/")}
    table = {name: row for name, row in rows().items() if "master" in row["in"]}
    assert set(shown) == set(table)
    wrong = {name: contradiction(shown[name], row, "master") for name, row in table.items()}
    assert {name: text for name, text in wrong.items() if text} == {}


def test_before_anything_is_fetched_it_is_said_what_cannot_run(cli: Any) -> None:
    """An empty cache has no scripts, and still the list says what each needs."""
    shown = {item["name"]: item for item in cli("workers", "list", "--json").json()}["cleanrl"]["algorithms"]
    assert shown[0] == "ppo" and len(shown) == len(CATALOGUE)
    out = cli("workers", "show", "cleanrl").out
    assert re.search(r"ppo_continuous_action_isaacgym +PPO +box +any.*isaacgym is not on PyPI", out)
