"""sb3-contrib's algorithms: trained, resumed exactly, evaluated with what they remember and what is allowed."""

from __future__ import annotations

import inspect
import json
from importlib.machinery import PathFinder
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from rlctl import RlctlError
from rlctl_sb3.algorithms import ALGORITHMS, CONTRIB
from rlctl_sb3.masks import ActionMasks
from rlctl_sb3.plugin import rlctl_workers

slow = pytest.mark.slow
OFF_POLICY = ["--set", "hyperparameters.learning_starts=50"]
ROLLOUTS = ["--set", "hyperparameters.n_steps=64"]
RUNS = {
    "qrdqn": OFF_POLICY, "trpo": ROLLOUTS, "recurrent_ppo": ROLLOUTS, "maskable_ppo": ROLLOUTS,
    "ars": ["--set", "hyperparameters.n_delta=2"], "tqc": OFF_POLICY, "crossq": OFF_POLICY,
}  # fmt: skip


@pytest.mark.parametrize("algo", [*list(RUNS)[:5], *(pytest.param(algo, marks=slow) for algo in list(RUNS)[5:])])
def test_each_of_them_goes_on_where_it_was_stopped(algo, cli):
    """Trained in one go and in two it is the same: LSTM states, masks, quantiles, normalizations and all."""
    answer = cli("verify", "resume", f"sb3/{algo}", "-n", "256", *RUNS[algo], "--json", timeout=280)

    assert answer.code == 0, answer.err
    assert answer.json()["holds"] is True


def test_ars_reports_the_episodes_of_its_candidates(cli):
    """All of them: what they took is the training, step by step; and SB3 opens its model."""
    answer = cli("run", "sb3/ars", "-n", "400", "--set", "hyperparameters.n_delta=2", "--run-id", "a", "--json")
    assert answer.code == 0, answer.err
    folder = Path(answer.json()["directory"])
    lengths = [json.loads(line)["length"] for line in (folder / "episodes.jsonl").read_text().splitlines()]
    assert sum(lengths) == json.loads((folder / "result.json").read_text())["step"] >= 400
    from sb3_contrib import ARS

    model = ARS.load(folder / "backend" / "model.zip")
    assert model.num_timesteps == sum(lengths)
    assert callable(model._do_one_update)


def test_all_of_them_are_tested():
    """So that one that comes later is not forgotten."""
    assert set(RUNS) == {name for name, algorithm in ALGORITHMS.items() if algorithm.package == CONTRIB}


def test_without_the_package_they_are_listed_with_what_to_install(monkeypatch):
    """And SB3's own stay available."""
    find = PathFinder.find_spec
    monkeypatch.setattr(PathFinder, "find_spec", lambda name, *more: None if name == CONTRIB else find(name, *more))
    (worker,) = rlctl_workers()
    reasons = {algorithm.name: algorithm.unavailable for algorithm in worker.algorithms}
    assert "pip install 'rlctl-sb3[contrib]'" in reasons["tqc"]
    assert reasons["sac"] is None


# ---- what is allowed -----------------------------------------------------------------------------------------------


def test_masks_are_those_of_the_info():
    """Taxi's, in the reset and in each step."""
    env = ActionMasks(gymnasium.make("Taxi-v4"))
    _, info = env.reset(seed=3)
    assert np.array_equal(env.action_masks(), info["action_mask"].astype(bool))
    for _ in range(5):
        *_, info = env.step(int(np.flatnonzero(env.action_masks())[0]))
        assert np.array_equal(env.action_masks(), info["action_mask"].astype(bool))


class Picky(gymnasium.Env):
    """Allows one action, the one after the last."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,))
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._next, self._left = 0, 12
        return np.zeros(1, np.float32), {}

    def step(self, action):
        if action != self._next:
            raise RuntimeError(f"{action} is not allowed")
        self._next, self._left = (self._next + 1) % 3, self._left - 1
        return np.zeros(1, np.float32), 1.0, self._left == 0, False, {}

    def action_masks(self):
        return np.arange(3) == self._next


def test_an_environment_s_own_method_comes_first():
    """As sb3-contrib's users write it."""
    env = ActionMasks(Picky())
    env.reset()
    assert env.action_masks().tolist() == [True, False, False]


def test_an_environment_that_does_not_say_is_refused():
    """With the algorithm that does not ask."""
    with pytest.raises(RlctlError, match=r"no method action_masks\(\), and no info.*sb3/ppo"):
        ActionMasks(gymnasium.make("CartPole-v1")).reset()


PICKY = f"""
import gymnasium
import numpy as np

{inspect.getsource(Picky)}
gymnasium.register("Picky-v0", Picky)
"""


def test_neither_training_nor_evaluation_takes_what_is_forbidden(cli):
    """In an environment that breaks then, several of them at a time."""
    (cli.folder / "picky.py").write_text(PICKY)
    env = ["--set", "env.imports=[picky]", "--num-envs", "2"]
    answer = cli("run", "sb3/maskable_ppo", "Picky-v0", *env, *ROLLOUTS, "-n", "256", "--run-id", "p")
    assert answer.code == 0, answer.err
    measured = cli("evaluate", "p", "--episodes", "3", "--json")
    assert measured.code == 0, measured.err
    assert measured.json()["evaluations"][0]["returns"] == [12.0] * 3
