"""Nothing in between: the same seed gives the same episode returns as the same training by hand, to the last bit.

CleanRL's scripts: tests/plugins/cleanrl/test_recordings.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SB3 = [
    ("ppo", "CartPole-v1", 5000, 7), ("a2c", "CartPole-v1", 2000, 7), ("dqn", "CartPole-v1", 2000, 7),
    ("sac", "Pendulum-v1", 600, 7), ("td3", "Pendulum-v1", 600, 7),
    pytest.param("ppo", "CartPole-v1", 5000, 0, marks=pytest.mark.slow),
]  # fmt: skip


@pytest.mark.parametrize(("algo", "env", "steps", "seed"), SB3)
def test_sb3_gives_the_returns_of_its_script_by_hand(algo, env, steps, seed, cli, tmp_path):
    """`rlctl run sb3/ppo` is what SB3's users would have got without us."""
    script = REPOSITORY / "benchmarks" / "by_hand" / "sb3_script.py"
    by_hand = subprocess.run(
        [sys.executable, script, algo, env, str(steps), str(seed)],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip

    options = ("-n", steps, "-s", seed, "--device", "cpu", "--run-id", "r", "--runs-dir", tmp_path)
    answer = cli("run", f"sb3/{algo}", env, *options)

    assert answer.code == 0, answer.err
    ours = [json.loads(line)["return"] for line in (tmp_path / "r" / "episodes.jsonl").read_text().splitlines()]
    assert len(ours) > (20 if env == "CartPole-v1" else 2)
    assert ours == json.loads(by_hand.stdout)
