"""A short training on an Atari game learns something. Slow: it plays 240,000 frames."""

from __future__ import annotations

import pytest

SETTINGS = {"buffer_size": 50_000, "learning_starts": 2_000, "exploration_fraction": 0.3, "exploration_final": 0.01}
"""As in `benchmarks/learning.py`, whose table has the figures of several seeds."""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_short_training_on_road_runner_learns_to_collect_seeds(cli):
    """A seed is 100 points. Chance gets one in few games; this training had 245 when it was written. 60,000 steps are little."""
    pytest.importorskip("ale_py", reason="needs ale-py")
    pytest.importorskip("cv2", reason="the wrappers need OpenCV")
    sets = [word for name, value in SETTINGS.items() for word in ("--set", f"hyperparameters.{name}={value}")]
    words = ["rlctl/Atari-v0", "-n", "60000", "-s", "1", "--set", "env.kwargs.game=RoadRunner", "--device", "cpu"]

    trained = cli("run", "dqn/dqn_atari", *words, *sets, "--run-id", "it", timeout=3000)
    assert trained.code == 0, trained.err
    evaluated = cli("evaluate", "it", "--episodes", "20", "--json", timeout=900).json()
    by_chance = cli("play", "it", "--random", "--render", "rgb_array", "--episodes", "20", "--json", timeout=900).json()

    assert evaluated["evaluations"][0]["return_mean"] >= by_chance["return_mean"] + 100
