"""Bad input: refused before anything starts, in one line that says what, where and what was meant, all of it at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rlctl_dqn", reason="the plugin dqn is not installed")

Cli = Callable[..., Any]


@pytest.fixture
def refused(cli: Cli, tmp_path: Path) -> Callable[..., list[str]]:
    """Return `refused(code, *args)`: runs `rlctl run`, which must refuse with `code`; returns its lines, without the count.

    Wherever it is used, it also holds that stdout stays empty, that no traceback is shown, and that nothing is written.
    """

    def files() -> list[Path]:
        return sorted(path for path in cli.folder.rglob("*") if "__pycache__" not in path.parts)  # type: ignore[attr-defined]

    def refuse(code: int, *arguments: object) -> list[str]:
        before = files()
        outcome = cli("run", *arguments)
        assert (outcome.code, outcome.out) == (code, ""), outcome.err
        assert "Traceback" not in outcome.err
        assert not (tmp_path / "runs").exists()
        assert files() == before
        lines = outcome.err.splitlines()
        assert all(line.startswith("rlctl: ") for line in lines), outcome.err
        return [line.removeprefix("rlctl: ") for line in lines if not line.endswith("nothing was started")]

    return refuse


# ---- names ----------------------------------------------------------------------------------------------------------


def test_an_unknown_worker(refused: Callable[..., list[str]], site: Callable[..., Any]) -> None:
    """An unknown worker is one line with the nearest name, exit code 3."""
    site("toy_worker")

    (line,) = refused(3, "toi")

    assert line == 'worker: there is no worker "toi". (from command line) Did you mean "toy"?'


def test_an_unknown_algorithm(refused: Callable[..., list[str]], site: Callable[..., Any]) -> None:
    """An unknown algorithm is one line with the nearest one of that worker."""
    site("toy_worker")

    (line,) = refused(2, "toy/bandits")

    assert line == 'algo: worker "toy" has no algorithm "bandits". (from command line) Did you mean "bandit"?'


def test_an_unknown_environment(refused: Callable[..., list[str]]) -> None:
    """An unknown environment is one line with the nearest id, exit code 3."""
    (line,) = refused(3, "dqn", "CartPol-v1")

    assert line.startswith('env.id: there is no environment "CartPol-v1".')
    assert 'Did you mean "CartPole-v1"?' in line
    assert "(from command line)" in line


@pytest.mark.parametrize(
    "env", ["CartPole-v7", "nomodule:CartPole-v1", "NoSpace/CartPole-v1", "CartPole-v", "x y", "../CartPole-v1", ""]
)
def test_strange_environments(refused: Callable[..., list[str]], env: str) -> None:
    """A version, module or namespace that does not exist, and what is no id at all, are one line each."""
    (line,) = refused(3, "dqn", "--env", env)

    assert line.startswith("env.id: ")
    assert env in line


def test_a_module_for_environments_that_does_not_import(refused: Callable[..., list[str]]) -> None:
    """A module of env.imports that is not there is named."""
    (line,) = refused(3, "dqn", "CartPole-v1", "--set", "env.imports=[no_such_module]")

    assert 'cannot import "no_such_module": ModuleNotFoundError' in line


def test_an_argument_that_an_environment_does_not_take(refused: Callable[..., list[str]]) -> None:
    """env.kwargs that the environment refuses are told with the environment's own words."""
    (line,) = refused(3, "dqn", "CartPole-v1", "--set", "env.kwargs.gravitation=3")

    assert line.startswith("env.id: CartPole-v1 cannot be made: TypeError")
    assert "gravitation" in line


@pytest.mark.parametrize(
    ("key", "meant"),
    [("total_timestep", "total_timesteps"), ("env.nun_envs", "num_envs"), ("hyperparameters.raise_ad", "raise_at")],
)
def test_an_unknown_key(refused: Callable[..., list[str]], site: Callable[..., Any], key: str, meant: str) -> None:
    """An unknown key, at the top, of the environment or of the algorithm, is one line with the nearest one."""
    site("toy_worker")

    (line,) = refused(2, "toy", "--set", f"{key}=1")

    assert line.startswith(f"{key}: ")
    assert line.endswith(f'(from --set {key}) Did you mean "{meant}"?')


def test_an_unknown_key_of_a_file_has_its_line(
    refused: Callable[..., list[str]], cli: Cli, site: Callable[..., Any]
) -> None:
    """In a file, the line of the slip is named."""
    site("toy_worker")
    (cli.folder / "e.yaml").write_text("worker: toy\nenv:\n  id: moon\n  num_env: 2\n")  # type: ignore[attr-defined]

    (line,) = refused(2, "e.yaml")

    assert line == 'env.num_env: unknown key. (from e.yaml:4) Did you mean "num_envs"?'


@pytest.mark.parametrize("name", ["jsonll", "no-jsonll"])
def test_an_unknown_callback(refused: Callable[..., list[str]], site: Callable[..., Any], name: str) -> None:
    """A callback that is not installed is refused, switched on or off."""
    site("toy_worker")

    (line,) = refused(3, "toy", "--callback", name)

    assert line == f'callbacks.jsonll: there is no callback "jsonll". (from --callback {name}) Did you mean "jsonl"?'


def test_an_unknown_option_of_a_callback(refused: Callable[..., list[str]], site: Callable[..., Any]) -> None:
    """Options of callbacks are strict, too."""
    site("toy_worker")

    (line,) = refused(2, "toy", "--set", "callbacks.progress.intervall=3")

    assert line.startswith('callbacks.progress.intervall: callback "progress" has no such setting.')
    assert 'Did you mean "interval"?' in line


def test_an_unknown_executor(refused: Callable[..., list[str]], site: Callable[..., Any]) -> None:
    """An executor that is not installed is one line with where it was said, exit code 3."""
    site("toy_worker", "toy_executor")

    (line,) = refused(3, "toy", "--executor", "toys")

    assert line == 'executor: there is no executor "toys". (from --executor) Did you mean "toy"?'


@pytest.mark.parametrize(
    ("worker", "words"),
    [
        ("toy_unmet", "surely-not-installed>=1 is not installed"),
        ("toy_unlisted", "cannot list the hyper-parameters: FileNotFoundError"),
    ],
)
def test_a_worker_that_cannot_be_used(
    refused: Callable[..., list[str]], site: Callable[..., Any], worker: str, words: str
) -> None:
    """A worker whose needs are not met says which, with exit code 3."""
    site("unusable_workers")

    (line,) = refused(3, worker)

    assert words in line


def test_an_algorithm_that_cannot_run_here(refused: Callable[..., list[str]], site: Callable[..., Any]) -> None:
    """An algorithm that its plugin declares unavailable is refused with the plugin's reason."""
    site("toy_worker")

    (line,) = refused(3, "toy/unavailable")

    assert line.startswith("algo: toy/unavailable cannot run here: the moon is full")


# ---- what does not fit ------------------------------------------------------------------------------------------------


def test_dqn_on_pendulum(refused: Callable[..., list[str]]) -> None:
    """A value method in an environment with continuous actions is refused with both spaces."""
    (line,) = refused(2, "dqn", "Pendulum-v1")

    assert line.startswith(
        "env.id: Pendulum-v1 has box actions (Box(-2.0, 2.0, (1,), float32)), dqn/dqn needs discrete."
    )


@pytest.mark.parametrize(("target", "env"), [("sb3/sac", "CartPole-v1"), ("sb3/dqn", "Pendulum-v1")])
def test_sb3_on_the_wrong_environment(refused: Callable[..., list[str]], target: str, env: str) -> None:
    """SAC on CartPole and DQN on Pendulum are refused, with the algorithms of the worker that do fit."""
    pytest.importorskip("rlctl_sb3", reason="the plugin sb3 is not installed")

    (line,) = refused(2, target, env)

    assert line.startswith(f"env.id: {env} has ")
    assert "These of sb3 fit: " in line
    assert "ppo" in line


def test_words_for_a_network_of_numbers(refused: Callable[..., list[str]], cli: Cli) -> None:
    """Observations that the algorithm cannot take are refused as well as actions."""
    (cli.folder / "words_env.py").write_text(  # type: ignore[attr-defined]
        "import gymnasium as g\n"
        "class E(g.Env):\n"
        "    action_space = g.spaces.Discrete(2)\n"
        "    observation_space = g.spaces.Text(8)\n"
        "g.register('Words-v0', lambda **k: E())\n"
    )

    (line,) = refused(2, "dqn", "Words-v0", "--set", "env.imports=[words_env]")

    assert "has other observations" in line
    assert "needs vector or image or " in line


def test_a_gymnasium_environment_with_several_agents(refused: Callable[..., list[str]], cli: Cli) -> None:
    """A gym.Env with `possible_agents` is a multi-agent environment, and refused with their number."""
    (cli.folder / "agents.py").write_text(  # type: ignore[attr-defined]
        "import gymnasium as g\n"
        "class E(g.Env):\n"
        "    possible_agents = ['a', 'b', 'c']\n"
        "    action_space = g.spaces.Discrete(2)\n"
        "    observation_space = g.spaces.Box(-1, 1, (2,))\n"
        "g.register('Agents-v0', E)\n"
    )

    (line,) = refused(2, "dqn", "Agents-v0", "--set", "env.imports=[agents]")

    assert line.startswith("env.id: Agents-v0 has 3 agents, dqn trains 1")


def test_a_pettingzoo_environment(refused: Callable[..., list[str]], cli: Cli) -> None:
    """A ParallelEnv in gymnasium's registry, which gymnasium cannot make, is refused for its agents all the same."""
    (cli.folder / "zoo.py").write_text(  # type: ignore[attr-defined]
        "import gymnasium as g\n"
        "class ParallelEnv:\n"
        "    metadata = {'name': 'zoo'}\n"
        "    possible_agents = ['a', 'b']\n"
        "    def observation_space(self, agent): return g.spaces.Discrete(2)\n"
        "    def action_space(self, agent): return g.spaces.Discrete(2)\n"
        "    def reset(self, seed=None, options=None): return {}, {}\n"
        "    def step(self, actions): return {}, {}, {}, {}, {}\n"
        "g.register('Zoo-v0', ParallelEnv)\n"
    )

    (line,) = refused(2, "dqn", "Zoo-v0", "--set", "env.imports=[zoo]")

    assert line.startswith("env.id: Zoo-v0 has 2 agents, dqn trains 1")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise RuntimeError('no\\nlicence\\nfound')", "RuntimeError: no"),
        ("sys.exit(0)", "SystemExit"),
        ("os._exit(5)", "code 5"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("print('garbage' * 100000)", "AttributeError"),
    ],
)
def test_an_environment_that_cannot_be_made(refused: Callable[..., list[str]], cli: Cli, body: str, words: str) -> None:
    """An environment that raises, exits, crashes or floods stdout when it is made is one line with the reason."""
    (cli.folder / "broken_env.py").write_text(  # type: ignore[attr-defined]
        f"import gymnasium as g, os, sys\nclass E(g.Env):\n    def __init__(self):\n        {body}\ng.register('Broken-v0', E)\n"
    )

    (line,) = refused(3, "dqn", "Broken-v0", "--set", "env.imports=[broken_env]")

    assert "Broken-v0" in line
    assert words in line


def test_more_environments_than_the_algorithm_steps(
    refused: Callable[..., list[str]], site: Callable[..., Any]
) -> None:
    """A number of environments beyond the algorithm's is refused with its limit."""
    site("toy_worker")

    (line,) = refused(2, "toy", "--num-envs", "5")

    assert line == "env.num_envs: toy/count steps at most 4, got 5 (from --num-envs)"


def test_a_gpu_that_is_not_there(
    refused: Callable[..., list[str]], site: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that this machine lacks is refused with what to say instead, exit code 3."""
    site("toy_worker")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    (line,) = refused(3, "toy", "--device", "cuda:0")

    assert "device cuda:0 was asked for, and this machine shows none." in line
    assert "--device cpu" in line


# ---- budgets and seeds --------------------------------------------------------------------------------------------------


def test_two_budgets(refused: Callable[..., list[str]], site: Callable[..., Any]) -> None:
    """Steps and episodes together are refused with both places."""
    site("toy_worker")

    (line,) = refused(2, "toy", "-n", "100", "--total-episodes", "5")

    assert "two budgets: total_timesteps = 100 and total_episodes = 5" in line
    assert "(from --total-timesteps and --total-episodes) Keep one." in line


@pytest.mark.parametrize(
    "arguments", [("-n", "null"), ("-n", "null", "--total-episodes", "null"), ("--set", "total_timesteps=")]
)
def test_no_budget(refused: Callable[..., list[str]], site: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    """Who takes the preset's budget away without another one is told so."""
    site("toy_worker")

    (line,) = refused(2, "toy", *arguments)

    assert line.startswith("total_timesteps: ")
    assert "no budget" in line or 'expected an integer or null, got ""' in line


@pytest.mark.parametrize(
    "value", ["0", "-1", "-1e6", "2.5", "1e-3", "abc", "1_0x", ".inf", ".nan", "true", "[1]", "", "1 000"]
)
@pytest.mark.parametrize("flag", ["--total-timesteps", "--total-episodes"])
def test_a_budget_that_is_none(
    refused: Callable[..., list[str]], site: Callable[..., Any], flag: str, value: str
) -> None:
    """Zero, negative, fractional and wordy budgets are refused with the flag they came from."""
    site("toy_worker")

    (line,) = refused(2, "toy", f"{flag}={value}")

    assert line.startswith(flag[2:].replace("-", "_") + ": ")
    assert f"(from {flag})" in line


@pytest.mark.parametrize(
    "value", ["abc", "-1", "1.5", "null", "true", "", "1e30", "9" * 5000, "0x", "[0]", "0 # zero is fine"]
)
def test_a_seed_that_is_none(cli: Cli, site: Callable[..., Any], value: str) -> None:
    """Only whole numbers from zero on are seeds; a comment behind one is YAML's own business."""
    site("toy_worker")

    outcome = cli("run", "toy", f"--seed={value}", "--dry-run", "--json")

    problems = [problem["path"] for problem in outcome.json()["problems"]]
    assert problems == ([] if value.startswith("0 #") else ["seed"])


@pytest.mark.parametrize(
    ("value", "seed"), [("0", 0), ("-0", 0), ("007", 7), ("1e3", 1000), ("0x10", 16), ("4.0", 4), ("'5'", None)]
)
def test_a_seed_in_other_spellings(cli: Cli, site: Callable[..., Any], value: str, seed: int | None) -> None:
    """A seed is read as YAML 1.2 reads a number; in quotes it is text and refused."""
    site("toy_worker")

    data = cli("run", "toy", f"--seed={value}", "--dry-run", "--json").json()

    assert bool(data["problems"]) is (seed is None)
    assert seed is None or (type(data["config"]["seed"]), data["config"]["seed"]) == (int, seed)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--num-envs", "0"),
        ("--num-envs", "x"),
        ("--threads", "0"),
        ("--grace", "-1"),
        ("--grace", "soon"),
        ("--device", ""),
    ],
)
def test_other_flags_with_impossible_values(
    refused: Callable[..., list[str]], site: Callable[..., Any], flag: str, value: str
) -> None:
    """Every flag's value is checked, and the refusal names the flag."""
    site("toy_worker")

    (line,) = refused(2, "toy", f"{flag}={value}")

    assert f"(from {flag})" in line


@pytest.mark.parametrize("text", ["x", "=x", ""])
def test_a_label_without_a_name(refused: Callable[..., list[str]], site: Callable[..., Any], text: str) -> None:
    """A label is name=text."""
    site("toy_worker")

    (line,) = refused(2, "toy", "--label", text)

    assert line == f'--label: expected name=text, got "{text}"'


# ---- all at once --------------------------------------------------------------------------------------------------------


def test_all_problems_at_once(refused: Callable[..., list[str]]) -> None:
    """One invocation with ten different mistakes is answered with ten lines, of every kind of check."""
    lines = refused(
        2, "dqn", "Pendulum-v1", "--seed", "abc", "--num-envs", "0", "--device", "gpu", "--executor", "nobody", "--grace", "-1",
        "--total-timesteps", "10", "--total-episodes", "10", "--callback", "nope", "--set", "worke=3",
        "--set", "hyperparameters.learning_rate=-1", "--set", "hyperparameters.batchsize=3", "--set", "labels.x=3",
    )  # fmt: skip

    assert sorted(line.split(": ")[0] for line in lines) == [
        "callbacks.nope", "device", "env.id", "env.num_envs", "executor", "grace", "hyperparameters.batchsize",
        "hyperparameters.learning_rate", "labels.x", "seed", "total_timesteps", "worke",
    ]  # fmt: skip


def test_problems_of_a_file_and_of_flags_come_together(
    refused: Callable[..., list[str]], cli: Cli, site: Callable[..., Any]
) -> None:
    """Each of several problems says its own place: a line of the file, a flag, a --set."""
    site("toy_worker")
    text = "worker: toy\nseed: -3\nenv:\n  num_envs: 99\nhyperparameters:\n  raise_at: soon\n"
    (cli.folder / "e.yaml").write_text(text)  # type: ignore[attr-defined]

    lines = refused(2, "e.yaml", "--device", "x", "--set", "threads=0")

    places = {line.split(": ")[0]: line.rpartition("(from ")[2].partition(")")[0] for line in lines}
    assert places == {
        "seed": "e.yaml:2", "env.num_envs": "e.yaml:4", "hyperparameters.raise_at": "e.yaml:6", "device": "--device",
        "threads": "--set threads",
    }  # fmt: skip


def test_the_number_of_problems_is_said(cli: Cli, site: Callable[..., Any]) -> None:
    """Behind several problems stands how many they are, and that nothing was started."""
    site("toy_worker")

    outcome = cli("run", "toy", "--seed", "x", "--device", "y")

    assert outcome.err.splitlines()[-1] == "rlctl: 2 problems; nothing was started"


# ---- files ---------------------------------------------------------------------------------------------------------------


def test_a_configuration_file_that_is_not_there(refused: Callable[..., list[str]]) -> None:
    """A missing file is named with the reason."""
    (line,) = refused(2, "-c", "nowhere.yaml")

    assert line.startswith('cannot read the configuration file "nowhere.yaml": No such file or directory')


def test_a_folder_as_configuration_file(refused: Callable[..., list[str]], cli: Cli) -> None:
    """A folder is named with the reason."""
    (cli.folder / "exp.yaml").mkdir()  # type: ignore[attr-defined]

    (line,) = refused(2, "exp.yaml")

    assert "Is a directory" in line


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n\x00\x00", b"worker: toy\nname: \x00\n", "worker: dqn".encode("utf-16")]
)
def test_a_binary_configuration_file(refused: Callable[..., list[str]], cli: Cli, content: bytes) -> None:
    """What is no text is refused in one line."""
    (cli.folder / "exp.yaml").write_bytes(content)  # type: ignore[attr-defined]

    (line,) = refused(2, "exp.yaml")

    assert "exp.yaml" in line


def test_a_configuration_file_of_another_kind(refused: Callable[..., list[str]], cli: Cli) -> None:
    """A suffix that is none of ours is refused with those that are."""
    (cli.folder / "exp.ini").write_text("[run]\nworker = dqn\n")  # type: ignore[attr-defined]

    (line,) = refused(2, "-c", "exp.ini")

    assert ".yaml, .yml, .toml, .json" in line


def test_an_empty_configuration_file(refused: Callable[..., list[str]], cli: Cli) -> None:
    """Nothing in a file means that the worker is missing."""
    (cli.folder / "exp.yaml").write_text("")  # type: ignore[attr-defined]

    assert refused(2, "exp.yaml") == ["worker: is required"]


@pytest.mark.parametrize(
    "code",
    [("--set", "hyperparameters.step_seconds=.inf"), ("--set", "env.kwargs.x=.nan"), ("--set", "env.kwargs.y=[-.inf]")],
)
def test_numbers_without_end(
    refused: Callable[..., list[str]], site: Callable[..., Any], code: tuple[str, ...]
) -> None:
    """An infinite or undefined number is refused before a folder is made."""
    site("toy_worker")

    lines = refused(2, "toy", *code)

    assert any("must be a finite number" in line or "must be at most 86400, got inf" in line for line in lines)
