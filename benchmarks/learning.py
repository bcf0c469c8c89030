"""What agents have learned: `python -m benchmarks.learning train` measures, `report` writes the table of docs/benchmarks/dqn.md.

Each training is one `rlctl run`, each measurement one `rlctl evaluate` of its last checkpoint: greedy, 20 episodes, whose
seeds the training never had. Ours and the peers take the same way. Results are kept as lines of results/learning.jsonl;
what is there already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

RESULTS = Path(__file__).parent / "results" / "learning.jsonl"
EPISODES = 20
_RLCTL = str(Path(sys.executable).with_name("rlctl"))


@frozen
class Case:
    """An environment, a budget, and what each system is set to there: name of the row → worker/algo and settings.

    `env_kwargs` are the environment's arguments.
    """

    env: str
    steps: int
    systems: Mapping[str, tuple[str, Mapping[str, Any]]]
    num_envs: Mapping[str, int] = field(factory=dict)
    env_kwargs: Mapping[str, Any] = field(factory=dict)


def _sb3(**settings: Any) -> dict[str, Any]:
    """Return SB3's settings for CleanRL's dqn.py; its gradient clipping is put out of reach, its Huber loss cannot be."""
    return {
        "learning_rate": 2.5e-4, "buffer_size": 10_000, "learning_starts": 10_000, "batch_size": 128, "train_freq": 10,
        "target_update_interval": 500, "exploration_fraction": 0.5, "exploration_final_eps": 0.05,
        "max_grad_norm": 1e9, "policy_kwargs": {"net_arch": [120, 84]}, **settings,
    }  # fmt: skip


_SB3_NAMES = {
    "target_update_frequency": "target_update_interval", "train_frequency": "train_freq",
    "exploration_final": "exploration_final_eps",
}  # fmt: skip
"""Ours → SB3's, where they differ."""


def _tuned(**settings: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return both sides of a preset that was tuned for SB3, in our names: its loss and its clipping are part of it."""
    ours = {"loss": "huber", "max_grad_norm": 10.0, "hidden_sizes": [256, 256], **settings}
    theirs = {_SB3_NAMES.get(name, name): value for name, value in settings.items()}
    return {
        "rlctl dqn": ("dqn/dqn", ours),
        "SB3 DQN": ("sb3/dqn", {"policy_kwargs": {"net_arch": [256, 256]}, **theirs}),
    }


_SHORT_ATARI = {
    "buffer_size": 50_000, "learning_starts": 2_000, "exploration_fraction": 0.3, "exploration_final": 0.01,
}  # fmt: skip
"""Beside the settings of CleanRL's dqn_atari.py, which are for 10 million steps."""

CASES: dict[str, Case] = {
    "CartPole, CleanRL's hyper-parameters": Case(
        "CartPole-v1", 500_000,
        {
            "rlctl dqn, 1 env": ("dqn/dqn", {}),
            "rlctl dqn, 16 envs": ("dqn/dqn", {}),
            "CleanRL dqn.py": ("cleanrl/dqn", {}),
            "rlctl dqn, Huber loss": ("dqn/dqn", {"loss": "huber"}),
            "SB3 DQN (Huber loss)": ("sb3/dqn", _sb3()),
        },
        num_envs={"rlctl dqn, 16 envs": 16},
    ),
    "CartPole, SB3's tuned preset": Case(
        "CartPole-v1", 50_000,
        _tuned(
            learning_rate=2.3e-3, batch_size=64, buffer_size=100_000, learning_starts=1_000, target_update_frequency=10,
            train_frequency=256, gradient_steps=128, exploration_fraction=0.16, exploration_final=0.04,
        ),
    ),
    "Acrobot, CleanRL's hyper-parameters": Case(
        "Acrobot-v1", 100_000,
        {
            "rlctl dqn": ("dqn/dqn", {}),
            "CleanRL dqn.py": ("cleanrl/dqn", {}),
            "SB3 DQN (Huber loss)": ("sb3/dqn", _sb3()),
        },
    ),
    "MountainCar, SB3's tuned preset": Case(
        "MountainCar-v0", 120_000,
        _tuned(
            learning_rate=4e-3, batch_size=128, buffer_size=10_000, gamma=0.98, learning_starts=1_000,
            target_update_frequency=600, train_frequency=16, gradient_steps=8, exploration_fraction=0.2,
            exploration_final=0.07,
        ),
    ),
    "LunarLander, SB3's tuned preset": Case(
        "LunarLander-v3", 100_000,
        _tuned(
            learning_rate=6.3e-4, batch_size=128, buffer_size=50_000, learning_starts=128, target_update_frequency=250,
            train_frequency=4, gradient_steps=4, exploration_fraction=0.12, exploration_final=0.1,
        ),
    ),
    "RoadRunner, a short training": Case(
        "rlctl/Atari-v0", 60_000,
        {
            "rlctl dqn": ("dqn/dqn_atari", _SHORT_ATARI),
            "SB3 DQN (Huber loss)": (
                "sb3/dqn",
                {
                    **{_SB3_NAMES.get(name, name): value for name, value in _SHORT_ATARI.items()},
                    "train_freq": 4, "target_update_interval": 1_000, "learning_rate": 1e-4, "max_grad_norm": 1e9,
                },
            ),
        },
        env_kwargs={"game": "RoadRunner"},
    ),
}  # fmt: skip


def train(cases: list[str], systems: list[str], seeds: range) -> None:
    """Train and measure what is asked for and not there yet, all systems of a seed one after the other."""
    done = {(line["case"], line["system"], line["seed"]) for line in read()}
    for name in cases:
        case = CASES[name]
        for seed in seeds:
            for system in case.systems:
                if (name, system, seed) not in done and any(word in system for word in systems):
                    _keep(_measured(name, case, system, seed))


def _measured(name: str, case: Case, system: str, seed: int) -> dict[str, Any]:
    worker, settings = case.systems[system]
    sets = [word for key, value in settings.items() for word in ("--set", f"hyperparameters.{key}={_said(value)}")]
    sets += [word for key, value in case.env_kwargs.items() for word in ("--set", f"env.kwargs.{key}={_said(value)}")]
    envs = ("--num-envs", str(case.num_envs[system])) if system in case.num_envs else ()
    run = (worker, case.env, "-n", str(case.steps), "-s", str(seed), "--device", "cpu", *envs, *sets)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        _call(folder, "run", *run, "--run-id", "it")
        seconds = time.perf_counter() - start
        late = _late_return(Path(folder) / "runs" / "it", case.steps)
        answer = json.loads(_call(folder, "evaluate", "it", "--episodes", str(EPISODES), "--json"))
    returns = answer["evaluations"][0]["returns"]
    print(f"{name}: {system}, seed {seed}: {np.mean(returns):.1f} after {seconds:.0f} s", flush=True)
    return {
        "case": name, "system": system, "seed": seed, "returns": returns, "late_return": late, "seconds": round(seconds, 1),
        "command": "rlctl run " + " ".join(run), "date": time.strftime("%Y-%m-%d"),
        "versions": {package: version(package) for package in ("rlctl", "torch", "gymnasium", "stable-baselines3")},
    }  # fmt: skip


def _late_return(run: Path, steps: int) -> float | None:
    """Return the mean return of the training's episodes that ended in its last fifth, exploration included."""
    episodes = [json.loads(line) for line in (run / "episodes.jsonl").read_text(encoding="utf-8").splitlines()]
    late = [episode["return"] for episode in episodes if episode["step"] > 0.8 * steps]
    return float(np.mean(late)) if late else None


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _call(folder: str, *words: str) -> str:
    answer = subprocess.run([_RLCTL, *words], cwd=folder, check=False, capture_output=True, text=True)
    if answer.returncode != 0:
        raise RuntimeError(f"rlctl {' '.join(words)} exited with {answer.returncode}:\n{answer.stderr[-2000:]}")
    return answer.stdout


def _keep(line: Mapping[str, Any]) -> None:
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read() -> Iterator[dict[str, Any]]:
    """Yield what was measured so far."""
    if RESULTS.exists():
        yield from map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())


def iqm(values: NDArray[np.float64]) -> float:
    """Return the interquartile mean of `values` (n,): the mean without the lowest and the highest quarter.

    Where n is no multiple of four, the values at the edges count by the share of them that is inside (Agarwal et al. 2021).
    """
    ordered, count = np.sort(values), len(values)
    edge = count / 4
    inside = np.minimum(np.arange(count) + 1, count - edge) - np.maximum(np.arange(count), edge)
    weights = np.clip(inside, 0.0, 1.0)
    return float(ordered @ weights / weights.sum())


def interval(values: NDArray[np.float64], draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the interquartile mean over seeds, `values` (n,)."""
    generator = np.random.default_rng(seed)
    resampled = values[generator.integers(0, len(values), (draws, len(values)))]
    low, high = np.percentile([iqm(row) for row in resampled], [2.5, 97.5])
    return float(low), float(high)


def table() -> str:
    """Return what was measured as Markdown: one table for each case."""
    lines = list(read())
    parts = []
    for name, case in CASES.items():
        rows = [f"### {name}: {case.env}, {case.steps:,} steps", "", _HEAD, _RULE]
        for system in case.systems:
            own = [line for line in lines if (line["case"], line["system"]) == (name, system)]
            if own:
                rows.append(_row(system, own))
        if len(rows) > 4:
            parts.append("\n".join(rows))
    return "\n\n".join(parts)


_HEAD = "| | seeds | IQM | 95 % interval | lowest | highest |"
_RULE = "|---|---|---|---|---|---|"


def _row(system: str, lines: list[dict[str, Any]]) -> str:
    means = np.array([np.mean(line["returns"]) for line in lines])
    low, high = interval(means)
    return f"| {system} | {len(means)} | {iqm(means):.1f} | {low:.1f} to {high:.1f} | {means.min():.1f} | {means.max():.1f} |"


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("train", "report"))
    parser.add_argument("--case", nargs="*", default=[""], help="those whose name contains one of these")
    parser.add_argument("--system", nargs="*", default=[""], help="the same of systems")
    parser.add_argument("--seeds", type=int, default=10, help="how many, from 1")
    options = parser.parse_args()
    if options.what == "report":
        print(table())
        return
    cases = [name for name in CASES if any(word in name for word in options.case)]
    train(cases, options.system, range(1, options.seeds + 1))


if __name__ == "__main__":
    main()
