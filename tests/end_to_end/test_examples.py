"""The configurations in examples/ can be run as they are, and their comments are true."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.lifecycle import events

from rlctl.config.files import read_config
from rlctl.runs.files import read_json
from rlctl.runs.files import read_lines as lines_of

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(
    path
    for path in (ROOT / "examples").rglob("*.yaml")
    if ".source" not in path.name and path.parent.name not in ("plans", "sweeps")
)
SEED = ROOT / "examples" / "seeds" / "dqn_orchestration.yaml"
SHORT = ["--total-episodes", 30, "--set", "evaluation.every_episodes=10", "--set", "evaluation.episodes=2"]
"""Some hundreds of steps of CartPole, with three evaluations."""
WITHOUT_LEARNING = ["--set", "hyperparameters.learning_starts=100000"]
AT_ONCE = ["--set", "early_stopping.min_timesteps=0", "--set", "early_stopping.threshold=null"]
OPTIONS_THERE = """
    --config -c --episodes -e --resume -r --eval-only --checkpoint --output -o --seed --wandb --agent-type --eval-episodes
    max_episodes max_steps_per_episode eval_frequency eval_episodes checkpoint_frequency checkpoint_dir early_stopping
    patience min_episodes log_frequency use_wandb save_best_only verbose plot_frequency seed
    hidden_dims dueling learning_rate weight_decay gamma epsilon_start epsilon_end epsilon_decay buffer_size batch_size
    prioritized_replay target_update_freq max_grad_norm device
    best.pt latest.pt checkpoint_epN.pt emergency_epN.pt training.log training_curves.png metrics.json
    train_rewards train_lengths eval_rewards eval_episodes losses epsilons q_values
    Trainer train() load_checkpoint evaluate_only plot_training_curves
    total_episodes best_eval_reward total_time avg_episode_time final_epsilon final_train_reward_mean
    final_train_reward_std final_eval_reward
""".split()  # noqa: SIM905 - a table of fifty words
"""What the system of examples/seeds/dqn_orchestration.yaml has on its command line, in its settings and as its outputs."""


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file as data."""
    return list(lines_of(path))


every_example = pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of the examples are meant for the folder that has them."""
    pytest.importorskip("torch")
    monkeypatch.chdir(ROOT)


def packages_of(file: Path) -> list[str]:
    """Return the packages beside gymnasium's own that the environment of an example needs."""
    needed = {
        "lunar_lander": ["Box2D"], "indra_ppo": ["Box2D"], "half_cheetah": ["mujoco"],
        "atari": ["ale_py", "cv2", "stable_baselines3"], "breakout": ["ale_py", "cv2"],
    }  # fmt: skip
    return next((packages for name, packages in needed.items() if file.stem.endswith(name)), [])


def words_without_packages(file: Path) -> list[str]:
    """Return what of the command line lets an example do without those packages."""
    if not packages_of(file):
        return []
    return ["--env", "Pendulum-v1" if "half_cheetah" in file.stem else "CartPole-v1", "--set", "env.wrappers=[]"]


# ---- all of them ---------------------------------------------------------------------------------------------------


@every_example
def test_an_example_is_accepted(file: Path, fast_cli: Callable[..., Any]) -> None:
    """`--dry-run` of the command in its comment finds nothing wrong, where the packages of its environment are installed."""
    missing = [name for name in packages_of(file) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    outcome = fast_cli("run", "-c", file.relative_to(ROOT), "--dry-run")
    assert outcome.code == 0, outcome.err


@every_example
def test_an_example_is_accepted_without_its_environment(file: Path, fast_cli: Callable[..., Any]) -> None:
    """All else in it is right, also where those packages are not installed."""
    outcome = fast_cli("run", "-c", file.relative_to(ROOT), "--dry-run", *words_without_packages(file))
    assert outcome.code == 0, outcome.err


@every_example
def test_an_example_begins_with_what_it_is_and_how_to_run_it(file: Path) -> None:
    """The comment at the top has the command, with the file's own path."""
    top = re.match(r"(?:#.*\n)+", file.read_text(encoding="utf-8"))
    assert top and f"rlctl run -c {file.relative_to(ROOT).as_posix()}" in top[0]


def test_a_preset_learns_from_what_it_says(cli: Any) -> None:
    """cartpole_tuned takes 128 updates at step 1024, its first multiple of 256 after 1000 steps, and is evaluated."""
    run = trained(cli, ROOT / "examples" / "dqn" / "cartpole_tuned.yaml", "-n", 1100, "--evaluate-every", 1100)
    (update,) = [line["values"] for line in read_lines(run / "metrics.jsonl") if "train/updates" in line["values"]]
    assert update["train/updates"] == 100
    assert len(read_lines(run / "evaluations.jsonl")) == 1


# ---- sb3 -----------------------------------------------------------------------------------------------------------


def test_a_preset_for_games_trains_and_plays_whole_games(cli: Any) -> None:
    """On four stacked frames; scores are true ones, and lengths in frames of the game: four of them are a step."""
    for name in ("ale_py", "cv2"):
        pytest.importorskip(name)
    small = [
        "hyperparameters.n_steps=64",
        "hyperparameters.batch_size=64",
        "env.num_envs=2",
        "hyperparameters.n_epochs=1",
    ]
    words = [word for setting in small for word in ("--set", setting)]
    run = trained(cli, ROOT / "examples" / "sb3" / "ppo_breakout.yaml", "-n", 256, *words)
    (evaluation,) = read_lines(run / "evaluations.jsonl")
    assert len(evaluation["returns"]) == 10
    games = read_lines(run / "episodes.jsonl")
    assert all(length > 100 for length in [*evaluation["lengths"], *(game["length"] for game in games)])
    assert all(score >= 0 and score == int(score) for score in evaluation["returns"])


def test_the_page_of_sb3_names_every_preset() -> None:
    """Its table has the files of examples/sb3, with their environments and steps."""
    text = (ROOT / "docs" / "sb3.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+\.yaml)` \| ([^|;]+)[^|]*\| ([\d ]+) \|", text, re.MULTILINE)
    said = {name: (env.strip(), int(steps.replace(" ", ""))) for name, env, steps in rows}
    found = {file.name: read_config(file)[0] for file in EXAMPLES if file.parent.name == "sb3"}
    assert all(f"`{name}`" in text for name in found)
    for name, (env_id, steps) in said.items():
        env = found[name]["env"]
        assert (env_id, steps) == (env if isinstance(env, str) else env["id"], found[name]["total_timesteps"])


# ---- docs/dqn.md ---------------------------------------------------------------------------------------------------


def page() -> str:
    """Return the text of the page on the worker dqn."""
    return (ROOT / "docs" / "dqn.md").read_text(encoding="utf-8")


def test_the_page_names_every_preset() -> None:
    """Its table has the files of examples/dqn, with their environments and steps."""
    rows = re.findall(r"^\| `(\w+\.yaml)` \| ([^|;]+)[^|]*\| ([\d ]+) \|", page(), re.MULTILINE)
    said = {name: (env.strip(), int(steps.replace(" ", ""))) for name, env, steps in rows}
    found = {file.name: read_config(file)[0] for file in EXAMPLES if file.parent.name == "dqn"}
    assert {name: steps for name, (_, steps) in said.items()} == {
        name: config["total_timesteps"] for name, config in found.items()
    }
    plain = {name: config["env"] for name, config in found.items() if isinstance(config["env"], str)}
    assert {name: said[name][0] for name in plain} == plain


def test_the_pages_extractor_trains_and_is_evaluated(cli: Any) -> None:
    """From a file in the current folder, as the page says."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", page(), re.MULTILINE | re.DOTALL)
    (cli.folder / "my_networks.py").write_text(code, encoding="utf-8")
    own = ["--set", "hyperparameters.extractor=my_networks:Normed", "--set", "hyperparameters.learning_starts=200"]
    options = ["-n", 400, "--run-id", "own", "--callback", "no-progress", "--device", "cpu"]
    answer = cli("run", "dqn", *own, *options)
    assert answer.code == 0, answer.err
    assert cli("evaluate", "own", "--episodes", 1).code == 0


@pytest.mark.parametrize(
    ("train_frequency", "bytes_of_one"), [(10, 44), (1, 48)], ids=["by default", "whose targets are kept"]
)
def test_a_transition_takes_as_many_bytes_as_the_page_says(train_frequency: int, bytes_of_one: int) -> None:
    """Of CartPole; the targets are kept where a transition is drawn often between two target networks."""
    import torch

    from rlctl_dqn.config import DqnHyperparameters
    from rlctl_dqn.fast_agent import caches_targets
    from rlctl_dqn.replay_buffer import ReplayBuffer

    keeps = caches_targets(DqnHyperparameters(train_frequency=train_frequency))
    small = ReplayBuffer(10, 4, torch.device("cpu"), gamma=0.99, caches_targets=keeps)
    assert small.storage.row_bytes == bytes_of_one
    images = [
        ReplayBuffer(2, (4, 84, 84), torch.device("cpu"), gamma=0.99, dtype="uint8", frames=frames)
        for frames in (4, None)
    ]
    assert [buffer.storage.row_bytes for buffer in images] == [7_991, 56_464]


# ---- the seed's ----------------------------------------------------------------------------------------------------


def trained(cli: Any, file: Path, *options: object) -> Path:
    """Run an example to its end; returns the run's directory."""
    words = ("--device", "cpu", "--run-id", "example", "--runs-dir", cli.folder, *options)
    answer = cli("run", "-c", file, *words, timeout=200)
    assert answer.code == 0, answer.err
    return cli.folder / "example"


def steps_evaluated(run: Path) -> list[int]:
    """Return how many training episodes there were at each evaluation."""
    return [line["episodes"] for line in read_lines(run / "evaluations.jsonl")]


def test_every_option_of_the_seed_is_named() -> None:
    """Nothing of that system is passed over."""
    text = SEED.read_text(encoding="utf-8")
    missing = [name for name in OPTIONS_THERE if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)]
    assert missing == []


def test_another_algorithm_can_be_chosen_for_the_seed(fast_cli: Callable[..., Any]) -> None:
    """On the command line: no hyper-parameter of the file stands against it."""
    answer = fast_cli("run", "-c", SEED, "--algo", "double_dqn", "--dry-run", "--json").json()
    settings = answer["config"]["hyperparameters"]
    assert (settings["double"], settings["dueling"]) == (True, True)


def test_the_seeds_training_leaves_what_its_comments_say(cli: Any) -> None:
    """Trained for 30 episodes: evaluations, bundles with their links, records, the picture; then evaluated and resumed."""
    pytest.importorskip("matplotlib")
    run = trained(cli, SEED, *SHORT, "--set", "checkpoint.every_steps=150")
    result = read_json(run / "result.json") or {}
    assert (result["stopped_by"], result["episodes"]) == ("episodes", 30)
    assert {"seconds", "best_return", "best_step", "return_mean"} <= set(result)
    assert steps_evaluated(run) == [10, 20, 30]
    assert read_lines(run / "evaluations.jsonl")[-1]["greedy"]

    best = read_json(run / "checkpoints" / "best" / "checkpoint.json") or {}
    latest = read_json(run / "checkpoints" / "latest" / "checkpoint.json") or {}
    assert (best["step"], latest["step"]) == (result["best_step"], result["step"])
    assert all(member["sha256"] for member in best["members"].values())
    assert {event["reason"] for event in events(run, "checkpoint_saved")} >= {"periodic", "evaluation"}

    values = [line["values"] for line in read_lines(run / "metrics.jsonl")]
    updates = [line for line in values if "train/loss" in line]
    assert all({"train/exploration_rate", "train/q_value"} <= set(line) for line in updates)
    assert [line["train/updates"] for line in updates] == [100 * (index + 1) for index in range(len(updates))]
    assert updates[-1]["train/exploration_rate"] < 0.5
    assert {"return", "length"} <= set(read_lines(run / "episodes.jsonl")[0])
    assert (run / "plots" / "training_curves.png").read_bytes().startswith(b"\x89PNG")
    assert (run / "logs" / "worker.log").exists()

    evaluated = cli("evaluate", run, "--checkpoint", "best", "--episodes", 3, "--json").json()
    assert (evaluated["step"], len(evaluated["evaluations"][0]["returns"])) == (best["step"], 3)
    resumed = cli("resume", run, "--total-episodes", 32)
    assert resumed.code == 0, resumed.err
    assert (read_json(run / "result.json") or {})["episodes"] == 32
    again = cli("run", "-c", SEED, "--run-id", "example", "--runs-dir", cli.folder)
    assert again.code == 2, "a folder that exists is refused"


@pytest.mark.parametrize(
    ("options", "evaluated", "reason"),
    [
        (["patience=1"], [10, 20], "1 evaluations without improvement"),
        (["patience=2"], [10, 20, 30], "2 evaluations without improvement"),
        (["patience=1", "threshold=1"], [10], "reached the threshold 1"),
        (["patience=1", "threshold=1", "min_timesteps=100000"], [10, 20, 30, 40], "total_episodes = 40 reached"),
    ],
    ids=["patience counts evaluations", "and as many as it says", "a threshold", "neither before min_timesteps"],
)
def test_the_seeds_early_stopping_means_what_its_comments_say(
    cli: Any, options: list[str], evaluated: list[int], reason: str
) -> None:
    """With a mark that no evaluation can beat after the first."""
    said = ["min_delta=1e6", *options]
    settings = [word for option in said for word in ("--set", f"early_stopping.{option}")]
    quiet = ["--callback", "no-curves", "--callback", "no-progress"]
    run = trained(cli, SEED, *SHORT, "--total-episodes", 40, *WITHOUT_LEARNING, *AT_ONCE, *settings, *quiet)
    assert steps_evaluated(run) == evaluated
    assert reason in (read_json(run / "result.json") or {})["reason"]


def test_the_seeds_exploration_falls_as_it_does_there() -> None:
    """To 1/e of its distance to the last in 200 updates, as 0.995 each time does; each step is an update."""
    import math

    settings = read_config(SEED)[0]["hyperparameters"]
    (algorithm,) = [item for item in _algorithms() if item.name == "dqn"]
    assert settings["train_frequency"] == 1
    assert settings["exploration_decay"] * algorithm.default_total_timesteps == pytest.approx(
        -1 / math.log(0.995), rel=0.01
    )


def _algorithms() -> Any:
    from rlctl_dqn.plugin import rlctl_workers

    return rlctl_workers()[0].algorithms
