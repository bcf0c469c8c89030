"""How SB3's environments are stepped: in processes it is the same training, to the bit, and nobody is left behind."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from tests.end_to_end.lifecycle import episodes, events, train
from tests.plugins.sb3.test_contrib import PICKY

from rlctl.runs.files import read_json
from rlctl.verify import differences

slow = pytest.mark.slow
ASYNC = ["--set", "hyperparameters.vectorization=async"]
SHORT = ["--set", "hyperparameters.n_steps=32"]
LEARNING = ["--set", "hyperparameters.learning_starts=50"]
TRAININGS = {
    # Rewards that no float32 has, episodes that are truncated, running statistics of both.
    "ppo, normalised": ["sb3/ppo", "Pendulum-v1", "--num-envs", "2", *SHORT, "--set", "hyperparameters.normalize=true"],
    "sac": ["sb3/sac", "Pendulum-v1", "--num-envs", "2", *LEARNING],
    "maskable_ppo": ["sb3/maskable_ppo", "Taxi-v4", "--num-envs", "2", *SHORT],
    "recurrent_ppo": ["sb3/recurrent_ppo", "CartPole-v1", "--num-envs", "2", *SHORT],
}  # fmt: skip


@pytest.mark.parametrize(
    "words", [pytest.param(words, id=name, marks=() if "norm" in name else slow) for name, words in TRAININGS.items()]
)
def test_processes_and_one_by_one_are_the_same_training(words, cli, tmp_path):
    """The same episodes and, at the end, the same weights, optimizer, generators and statistics."""
    runs = [
        train(cli, tmp_path, kind, words, "-n", "512", "--set", f"hyperparameters.vectorization={kind}")
        for kind in ("sync", "async")
    ]
    assert len(episodes(runs[0])) >= 2
    assert differences(*runs) == []
    assert ["rlctl: vectorization: async" in (run / "logs" / "worker.log").read_text() for run in runs] == [False, True]


@pytest.mark.parametrize(
    "words",
    [pytest.param(words, id=name, marks=slow if name != "maskable_ppo" else ()) for name, words in TRAININGS.items()],
)
def test_a_training_in_processes_resumes_exactly(words, cli):
    """The state of each environment goes back to its process."""
    answer = cli("verify", "resume", *words, *ASYNC, "-n", "512", "--json", timeout=280)
    assert answer.code == 0, answer.err
    assert (answer.json()["declared"], answer.json()["differences"]) == ("exact", [])


RANDOM = """
import random
import gymnasium
import numpy as np

class Dice(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._left = 10
        return self._seen(), {}
    def step(self, action):
        self._left -= 1
        return self._seen(), random.random(), self._left == 0, False, {}
    def _seen(self):
        return np.random.rand(2)

gymnasium.register("Dice-v0", Dice)
"""


def test_the_generators_of_a_process_are_seeded_and_resumed(cli, tmp_path):
    """An environment that draws from those of all is told to be unchecked, and goes on where it was all the same."""
    (cli.folder / "dice.py").write_text(RANDOM)
    words = ["sb3/ppo", "Dice-v0", "--set", "env.imports=[dice]", "--num-envs", "2", *SHORT, *ASYNC]
    answer = cli("verify", "resume", *words, "-n", "256", "--keep", tmp_path / "kept", "--json", timeout=280)
    assert answer.code == 0, answer.err
    assert (answer.json()["declared"], answer.json()["differences"]) == ("state", [])
    (event,) = events(tmp_path / "kept" / "whole", "resume_limited")
    assert event["reason"] == "nobody has checked that all of the state of dice.Dice is saved"


# ---- what goes wrong -----------------------------------------------------------------------------------------------

FAILING = """
import os
import gymnasium
import numpy as np

class Failing(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    def __init__(self, how="raise"):
        self._how = how
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self._how == "reset":
            raise ValueError("no beginning")
        return np.zeros(2, np.float32), {}
    def step(self, action):
        if self._how == "exit":
            os._exit(3)
        raise ValueError("no luck")

gymnasium.register("Failing-v0", Failing)
"""


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raise", "an environment failed in its process: ValueError: no luck"),
        ("reset", "an environment failed in its process: ValueError: no beginning"),
        ("exit", "the process of an environment has ended with code 3."),
    ],
)
def test_what_goes_wrong_in_a_process_ends_the_run_with_its_words(how, words, cli, tmp_path):
    """And its traceback is in the log."""
    (cli.folder / "failing.py").write_text(FAILING)
    env = ["--set", "env.imports=[failing]", "--set", f"env.kwargs.how={how}"]
    run = train(cli, tmp_path, "r", ["sb3/ppo", "Failing-v0", *env, *SHORT, *ASYNC], "-n", "64", code=1)
    assert words in read_json(run / "result.json")["reason"]
    assert how == "exit" or "failing.py" in (run / "logs" / "worker.log").read_text()


def test_a_masked_algorithm_asks_in_processes_too(cli):
    """Neither training nor evaluation takes what is forbidden; an environment that does not say is refused alike."""
    (cli.folder / "picky.py").write_text(PICKY)
    env = ["--set", "env.imports=[picky]", "--num-envs", "2"]
    answer = cli("run", "sb3/maskable_ppo", "Picky-v0", *env, *SHORT, *ASYNC, "-n", "128", "--run-id", "p")
    assert answer.code == 0, answer.err
    measured = cli("evaluate", "p", "--episodes", "2", "--json")
    assert measured.json()["evaluations"][0]["returns"] == [12.0] * 2, measured.err
    refused = cli("run", "sb3/maskable_ppo", "CartPole-v1", *SHORT, *ASYNC, "-n", "128")
    assert "does not say which actions are allowed" in refused.err


# ---- nobody is left ------------------------------------------------------------------------------------------------


def processes_below(ancestor: int) -> set[int]:
    """Return the ids of all that descend from a process."""
    children: dict[int, set[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), set()).add(int(path.parent.name))
    found: set[int] = set()
    queue = [ancestor]
    while queue:
        more = children.get(queue.pop(), set()) - found
        found |= more
        queue += more
    return found


def is_alive(process: int) -> bool:
    """Return whether a process is there, and is no zombie that waits for who has to ask for it."""
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("victims", ["worker", "worker and host"])
def test_killing_the_worker_leaves_no_environment_behind(victims, cli, tmp_path, wait_until):
    """SIGKILL cannot be handled: their pipes end, and so do they; also where no host is left that would kill them."""
    words = ["sb3/ppo", "CartPole-v1", "--num-envs", "3", *SHORT, *ASYNC, "-n", "1000000"]
    host = cli.start("run", *words, "--callback", "no-progress", "--run-id", "r", "--runs-dir", tmp_path)
    status = tmp_path / "r" / "status.json"
    wait_until(lambda: (read_json(status) or {}).get("step", 0) > 0, timeout=120)
    worker = json.loads(status.read_text())["process"]["pid"]
    below = processes_below(worker)
    assert len(below) >= 4, "three environments, and who forks them"

    for victim in [worker] if victims == "worker" else [host.pid, worker]:
        os.kill(victim, signal.SIGKILL)

    wait_until(lambda: not any(map(is_alive, below)), timeout=30)
    if victims == "worker":
        host.wait(60)
        assert read_json(tmp_path / "r" / "result.json")["status"] == "failed"
