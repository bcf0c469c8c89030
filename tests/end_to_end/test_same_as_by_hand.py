"""Nothing in between: the same seed gives the same episode returns as the same training by hand, to the last bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", [0, 7])
def test_sb3_ppo_gives_the_returns_of_its_script_by_hand(seed, cli, tmp_path):
    """`rlctl run sb3/ppo` is what SB3's users would have got without us."""
    script = REPOSITORY / "benchmarks" / "by_hand" / "sb3_ppo.py"
    by_hand = subprocess.run(
        [sys.executable, script, "5000", str(seed)], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    answer = cli(
        "run",
        "sb3/ppo",
        "CartPole-v1",
        "-n",
        "5000",
        "-s",
        seed,
        "--device",
        "cpu",
        "--run-id",
        "r",
        "--runs-dir",
        tmp_path,
    )

    assert answer.code == 0, answer.err
    ours = [json.loads(line)["return"] for line in (tmp_path / "r" / "episodes.jsonl").read_text().splitlines()]
    assert len(ours) > 50
    assert ours == json.loads(by_hand.stdout)


def test_a_cleanrl_script_gives_the_returns_of_its_bare_run_in_gymnasium_0_29(cli, cleanrl_cache, tmp_path):
    """CleanRL's PPO under rlctl has the recorded returns of the bare script, whose recipe is in plugins/cleanrl/reference."""
    recorded = json.loads((REPOSITORY / "plugins" / "cleanrl" / "reference" / "1.2.0-ppo.json").read_text())
    bare = [(step, float.fromhex(value)) for step, value, *_ in recorded["episodes"]]

    answer = cli("run", "cleanrl/ppo", "-n", "20000", "--run-id", "r", "--runs-dir", tmp_path, "--device", "cpu")

    assert answer.code == 0, answer.err
    lines = (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()
    ours = [
        (line["step"], line["values"]["backend/charts/episodic_return"])
        for line in map(json.loads, lines)
        if "backend/charts/episodic_return" in line["values"]
    ]
    assert len(ours) > 300
    assert ours == bare
