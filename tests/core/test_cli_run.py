"""`rlctl run` on the command line: what each flag does, which one wins, what is printed where, and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from rlctl.cli.run import run as run_command
from rlctl.testing import fake_distribution

Cli = Callable[..., Any]
TOY = ("run", "toy", "-n", "100")
SLOW_TOY = ("run", "toy", "-n", "600", "--set", "hyperparameters.step_seconds=0.005")
FORGETFUL = """
import attrs
from rlctl import hookimpl
from toy_worker import plugin
from toy_worker.worker import ToyWorker, Training

class Forgetful(ToyWorker):
    def train(self, run):
        def read_state(training, folder):
            read(training, folder)
            training.generator.seed(99)
        read, Training.read_state = Training.read_state, read_state
        super().train(run)

@hookimpl
def rlctl_workers():
    (toy,) = plugin.rlctl_workers()
    return [attrs.evolve(toy, name="forgetful", entry_point="forgetful:Forgetful")]
"""


def one_run(root: Path) -> Path:
    """Return the only run below `root`."""
    (found,) = root.iterdir()
    return found


def config_of(outcome: Any) -> dict[str, Any]:
    """Return the effective configuration of a dry run with --json."""
    data = outcome.json()
    assert data["problems"] == []
    config: dict[str, Any] = data["config"]
    return config


# ---- without much -----------------------------------------------------------------------------------------------------


def test_rlctl_alone_says_what_it_can(cli: Cli) -> None:
    """Without a command all commands are listed with a line each, and the exit code is 2, as nothing was done."""
    outcome = cli()

    assert outcome.code == 2
    assert all(f"  {name} " in outcome.out + outcome.err for name in ("run", "runs", "workers", "doctor"))


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_is_asked_for(cli: Cli, flag: str) -> None:
    """Help that was asked for is data: on stdout, exit code 0."""
    outcome = cli(flag)

    assert (outcome.code, outcome.err) == (0, "")
    assert "rlctl run --worker cleanrl" in outcome.out


def test_run_alone_explains_itself_in_ten_lines(cli: Cli, site: Callable[..., Any]) -> None:
    """`rlctl run` with nothing else names the workers that are here, in at most ten lines, and exits with 2."""
    site("toy_worker")

    outcome = cli("run")

    assert (outcome.code, outcome.out) == (2, "")
    assert len(outcome.err.splitlines()) <= 10
    assert "toy" in outcome.err
    assert "--config" in outcome.err


def test_run_alone_leaves_nothing(cli: Cli, tmp_path: Path) -> None:
    """Explaining makes no runs folder."""
    cli("run")

    assert not (tmp_path / "runs").exists()
    assert list(cli.folder.iterdir()) == []


def test_run_alone_as_json_is_an_error_as_json(cli: Cli) -> None:
    """A program that asked for JSON gets JSON also when it said too little."""
    outcome = cli("run", "--json")

    assert outcome.code == 2
    assert outcome.json()["exit_code"] == 2


# ---- a run --------------------------------------------------------------------------------------------------------------


def test_a_run_ends_with_its_outcome_on_stdout(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """Stdout has the outcome and where it is, stderr what was going on; the exit code is 0."""
    site("toy_worker")

    outcome = cli(*TOY)

    run_id = one_run(tmp_path / "runs").name
    assert outcome.code == 0
    assert outcome.out.splitlines()[0].split() == ["run", run_id]
    assert f"rlctl runs show {run_id}" in outcome.out
    assert "finished: total_timesteps = 100 reached" in outcome.out
    assert outcome.err.startswith("rlctl: toy/count on toy, seed 1: ")
    assert "toy/count" not in outcome.out


def test_a_run_as_json_is_json_and_nothing_else(cli: Cli, site: Callable[..., Any]) -> None:
    """With --json stdout is one JSON object, also with a garrulous worker and a callback that fails."""
    site("toy_worker", "toy_callbacks")

    outcome = cli(*TOY, "--json", "--set", "hyperparameters.print_bytes=100000", "--callback", "host_raises")

    data = outcome.json()
    assert (outcome.code, data["status"], data["step"], data["failure"]) == (0, "finished", 100, None)
    assert Path(data["directory"]).name == data["run_id"]


def test_a_failed_run_as_json_has_its_failure(cli: Cli, site: Callable[..., Any]) -> None:
    """A failed run is data as well, with exit code 1."""
    site("toy_worker")

    outcome = cli(*TOY, "--json", "--set", "hyperparameters.raise_at=50")

    data = outcome.json()
    assert (outcome.code, data["status"], data["exit_code"]) == (1, "failed", 1)
    assert data["failure"]["kind"] == "RuntimeError"
    assert data["step"] == 50


def test_a_refusal_as_json_has_its_problems(cli: Cli, site: Callable[..., Any]) -> None:
    """A refused configuration is data on stdout, with path, message, hint and origin of every problem."""
    site("toy_worker")

    outcome = cli("run", "toy", "--json", "--seed", "abc", "--set", "sede=3")

    data = outcome.json()
    assert (outcome.code, data["exit_code"]) == (2, 2)
    assert {"path": "sede", "message": "unknown key.", "hint": 'Did you mean "seed"?', "origin": "--set sede"} in data[
        "problems"
    ]


@pytest.mark.parametrize(
    "arguments", [("run", "--nonsense", "--json"), ("runs", "show", "nobody", "--json"), ("nonsense", "--json")]
)
def test_errors_of_usage_are_json_as_well(cli: Cli, arguments: tuple[str, ...]) -> None:
    """An option that does not exist, a run that is not there, an unknown command: with --json stdout is JSON."""
    outcome = cli(*arguments)

    data = outcome.json()
    assert (outcome.code, data["exit_code"]) == (2, 2)
    assert data["error"]


def test_progress_goes_to_stderr_without_a_terminal(cli: Cli, site: Callable[..., Any]) -> None:
    """Without a terminal there are plain lines on stderr now and then, no bar and no control characters."""
    site("toy_worker")

    outcome = cli(
        "run", "toy", "-n", "1000000", "--set", "hyperparameters.step_seconds=0.01", "--set", "hyperparameters.return_at=150",
        "--set", "callbacks.progress.interval=0.5",
    )  # fmt: skip

    assert outcome.code == 0
    assert "/1000000 steps (0%)" in outcome.err
    assert "steps (" not in outcome.out
    assert "\x1b" not in outcome.out + outcome.err
    assert "\r" not in outcome.out + outcome.err


# ---- dry run -------------------------------------------------------------------------------------------------------------


def test_a_dry_run_prints_every_value_with_its_origin(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """Each line of a dry run is a setting, its value as JSON, and where it came from."""
    site("toy_worker")
    (cli.folder / "exp.yaml").write_text("worker: toy\nenv: moon\nhyperparameters:\n  episode_length: 20\n")

    outcome = cli("run", "exp.yaml", "--dry-run", "--seed", "0", "--set", "name=x")

    rows = {line.split()[0]: line.split(None, 2)[1:] for line in outcome.out.splitlines()[1:]}
    assert outcome.code == 0
    assert rows["worker"] == ['"toy"', "exp.yaml:1"]
    assert rows["env.id"] == ['"moon"', "exp.yaml:2"]
    assert rows["hyperparameters.episode_length"] == ["20", "exp.yaml:4"]
    assert rows["hyperparameters.raise_at"] == ["null", "toy/count"]
    assert rows["total_timesteps"] == ["1000", "toy/count"]
    assert rows["seed"] == ["0", "--seed"]
    assert rows["name"] == ['"x"', "--set name"]
    assert rows["threads"] == ["1", "default"]
    assert set(rows) >= {"algo", "device", "grace", "executor", "callbacks.jsonl", "callbacks.progress.interval"}


def test_a_dry_run_starts_nothing(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """Neither a runs folder nor any file comes of it."""
    site("toy_worker")

    outcome = cli(*TOY, "--dry-run")

    assert "nothing was started" in outcome.err
    assert not (tmp_path / "runs").exists()
    assert list(cli.folder.iterdir()) == []


def test_a_dry_run_shows_problems_beside_the_values(cli: Cli, site: Callable[..., Any]) -> None:
    """A configuration that cannot be run is printed as well, then every problem; the exit code is the refusal's."""
    site("toy_worker")

    outcome = cli("run", "toy", "--dry-run", "--seed", "abc", "--device", "gpu")

    assert outcome.code == 2
    assert "seed" in outcome.out and '"abc"' in outcome.out
    assert "seed: expected an integer" in outcome.err
    assert "device: expected auto" in outcome.err


def test_a_dry_run_as_json_has_origins_and_problems(cli: Cli, site: Callable[..., Any]) -> None:
    """As JSON: the configuration, the origin of each of its values, and the problems."""
    site("toy_worker")

    sound = cli(*TOY, "--dry-run", "--json")
    wrong = cli(*TOY, "--dry-run", "--json", "--seed", "-1")

    assert sound.json()["origins"]["total_timesteps"] == "--total-timesteps"
    assert (sound.code, sound.json()["problems"]) == (0, [])
    assert (wrong.code, [problem["path"] for problem in wrong.json()["problems"]]) == (2, ["seed"])


def test_what_a_dry_run_shows_is_what_runs(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """config.json of a run has the very configuration and origins that a dry run printed."""
    site("toy_worker")
    arguments = (*TOY, "--seed", "3", "--label", "a=b", "--json")

    shown = cli(*arguments, "--dry-run").json()
    cli(*arguments)

    kept = json.loads((one_run(tmp_path / "runs") / "config.json").read_text())
    assert (kept["config"], kept["origins"]) == (shown["config"], shown["origins"])


# ---- precedence ---------------------------------------------------------------------------------------------------------


def test_the_order_is_default_preset_file_set_flag(cli: Cli, site: Callable[..., Any]) -> None:
    """Of five places that say a value, the later one holds: default, preset, file, --set, flag."""
    site("toy_worker")
    (cli.folder / "e.yaml").write_text("worker: toy\nseed: 2\ntotal_timesteps: 20\nname: file\ngrace: 2\n")

    data = cli(
        "run", "-c", "e.yaml", "--set", "seed=3", "--set", "total_timesteps=30", "--set", "grace=3", "--seed", "4",
        "--dry-run", "--json",
    ).json()  # fmt: skip

    config, origins = data["config"], data["origins"]
    assert (config["threads"], origins["threads"]) == (1, "default")
    assert (config["env"]["id"], origins["env.id"]) == ("toy", "toy/count")
    assert (config["name"], origins["name"]) == ("file", "e.yaml:4")
    assert (config["total_timesteps"], origins["total_timesteps"]) == (30, "--set total_timesteps")
    assert (config["grace"], origins["grace"]) == (3, "--set grace")
    assert (config["seed"], origins["seed"]) == (4, "--seed")


def test_a_flag_wins_over_a_set_that_stands_behind_it(cli: Cli, site: Callable[..., Any]) -> None:
    """The place on the command line does not matter between --set and a flag."""
    site("toy_worker")

    assert config_of(cli("run", "toy", "--seed", "4", "--set", "seed=3", "--dry-run", "--json"))["seed"] == 4


def test_of_two_sets_the_later_one_wins(cli: Cli, site: Callable[..., Any]) -> None:
    """Among assignments the order on the command line counts."""
    site("toy_worker")

    assert config_of(cli("run", "toy", "--set", "seed=4", "--set", "seed=3", "--dry-run", "--json"))["seed"] == 3


def test_a_file_can_be_the_first_argument(cli: Cli, site: Callable[..., Any]) -> None:
    """`rlctl run exp.toml moon` is a file and an environment."""
    site("toy_worker")
    (cli.folder / "exp.toml").write_text('worker = "toy"\nenv = "sun"\n')

    config = config_of(cli("run", "exp.toml", "moon", "--dry-run", "--json"))

    assert (config["worker"], config["env"]["id"]) == ("toy", "moon")


def test_two_files_are_refused(cli: Cli) -> None:
    """A file as argument and another one as --config cannot both be meant."""
    outcome = cli("run", "a.yaml", "-c", "b.yaml")

    assert outcome.code == 2
    assert "two configuration files" in outcome.err


def test_the_target_names_worker_and_algorithm(cli: Cli, site: Callable[..., Any]) -> None:
    """`toy/bandit` is worker and algorithm in one word."""
    site("toy_worker")

    config = config_of(cli("run", "toy/bandit", "--dry-run", "--json"))

    assert (config["worker"], config["algo"]) == ("toy", "bandit")


_FLAGS: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], Any], Any]] = {
    "target": (("toy/bandit",), lambda config: config["algo"], "bandit"),
    "env": (("toy", "moon"), lambda config: config["env"]["id"], "moon"),
    "config_file": (("-c", "exp.yaml"), lambda config: config["name"], "of the file"),
    "worker": (("-w", "toy"), lambda config: config["worker"], "toy"),
    "algo": (("toy", "-a", "bandit"), lambda config: config["algo"], "bandit"),
    "env_id": (("toy", "sun", "-e", "moon"), lambda config: config["env"]["id"], "moon"),
    "total_timesteps": (("toy", "-n", "2e3"), lambda config: config["total_timesteps"], 2000),
    "total_episodes": (("toy", "--total-episodes", "7"), lambda config: config["total_episodes"], 7),
    "seed": (("toy", "-s", "0"), lambda config: config["seed"], 0),
    "num_envs": (("toy", "--num-envs", "3"), lambda config: config["env"]["num_envs"], 3),
    "device": (("toy", "--device", "cpu"), lambda config: config["device"], "cpu"),
    "evaluate_every": (
        ("toy", "--evaluate-every", "5e2"), lambda config: config["evaluation"]["every_steps"], 500
    ),
    "init_from": (("toy", "--init-from", "exp.yaml"), lambda config: config["init_from"], "exp.yaml"),
    "trust": (("toy", "--init-from", "exp.yaml", "--trust"), lambda config: config["trust"], True),
    "threads": (("toy", "--threads", "null"), lambda config: config["threads"], None),
    "callbacks": (
        ("toy", "--callback", "no-jsonl", "--callback", "empty"),
        lambda config: [config["callbacks"]["jsonl"], config["callbacks"]["empty"]],
        [False, {}],
    ),
    "overrides": (("toy", "--set", "env.kwargs.gravity=9.8"), lambda config: config["env"]["kwargs"], {"gravity": 9.8}),
    "labels": (("toy", "--label", "a=1", "--label", "b=x=y"), lambda config: config["labels"], {"a": "1", "b": "x=y"}),
    "name": (("toy", "--name", "3"), lambda config: config["name"], "3"),
    "executor": (("toy", "--executor", "toy"), lambda config: config["executor"], "toy"),
    "time_limit": (("toy", "--time-limit", "1.5"), lambda config: config["time_limit"], 1.5),
    "stop_at": (("toy", "--stop-at", "5e2"), lambda config: config["stop_at"], 500),
    "grace": (("toy", "--grace", "2.5"), lambda config: config["grace"], 2.5),
}  # fmt: skip
_ELSEWHERE = {"run_id", "runs_dir", "rehearse_stop", "dry_run", "as_json", "seeds", "jobs", "affinity", "fail_fast"}
_ELSEWHERE |= {"save_uri", "address"}  # test_mirror.py; test_address_is_that_of_the_executor


def test_every_flag_has_its_test() -> None:
    """The table, and the tests of --run-id, --runs-dir, --rehearse-stop, --dry-run, --json and of several seeds leave none out."""
    assert isinstance(run_command, click.Command)
    assert {parameter.name for parameter in run_command.params} == set(_FLAGS) | _ELSEWHERE


def test_address_is_that_of_the_executor(cli: Cli, site: Callable[..., Any]) -> None:
    """`--address` is kept for an executor that takes one, and refused with another."""
    site("toy_worker", "toy_engine", "toy_executor")
    placed = ("--executor", "engine", "--address", str(cli.folder / "engine"), "--dry-run", "--json")
    config = cli("run", "toy", *placed).json()["config"]
    assert (config["executor"], config["address"]) == ("engine", str(cli.folder / "engine"))
    refused = cli("run", "toy", "--executor", "toy", "--address", "there")
    assert (refused.code, 'executor "toy" takes no address.' in refused.err) == (2, True)


@pytest.mark.parametrize("name", _FLAGS)
def test_a_flag_changes_the_configuration(cli: Cli, site: Callable[..., Any], name: str) -> None:
    """Each flag sets its value, in the right kind, and not without it."""
    site("toy_worker", "toy_executor")
    (cli.folder / "exp.yaml").write_text("worker: toy\nname: of the file\n")
    (cli.folder / "12").touch()  # what a run is to begin with must be there
    arguments, look, value = _FLAGS[name]

    with_flag = look(config_of(cli("run", *arguments, "--dry-run", "--json")))
    try:
        without = look(config_of(cli("run", "toy", "--dry-run", "--json")))
    except KeyError:
        without = None

    assert with_flag == value
    assert type(with_flag) is type(value)
    assert without != value or name == "worker"


def test_evaluate_every_evaluates(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """--evaluate-every leaves a line for each evaluation, the last of them at the end; without it there is no file."""
    site("toy_worker")

    assert cli(*TOY, "--run-id", "a", "--evaluate-every", "40").code == 0
    assert cli(*TOY, "--run-id", "b").code == 0

    lines = (tmp_path / "runs" / "a" / "evaluations.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [40, 80, 100]
    assert not (tmp_path / "runs" / "b" / "evaluations.jsonl").exists()


def test_init_from_begins_with_the_weights_of_a_run(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """--init-from RUN is as skilled at its first evaluation as that run was at its last, and a new one is not."""
    site("toy_worker")
    cli("run", "toy", "--run-id", "parent", "--evaluate-every", "1000")

    for run_id, arguments in (("child", ("--init-from", "parent")), ("stranger", ())):
        assert cli(*TOY, "--run-id", run_id, "--evaluate-every", "100", *arguments).code == 0

    def last_return(run_id: str) -> Any:
        lines = (tmp_path / "runs" / run_id / "evaluations.jsonl").read_text().splitlines()
        return json.loads(lines[-1])["return_mean"]

    assert last_return("child") == last_return("parent") == 10
    assert last_return("stranger") < 5
    assert "run parent, step 1000" in cli("runs", "show", "child").out


def test_trust_is_what_a_file_may_need(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """A file that needs trust is refused in one sentence without --trust, and taken with it."""
    site("toy_worker")
    (cli.folder / "skill.json").write_text("1.0")

    refused = cli(*TOY, "--run-id", "a", "--init-from", "skill.json")
    trusted = cli(*TOY, "--run-id", "b", "--init-from", "skill.json", "--trust")

    assert (refused.code, trusted.code) == (1, 0)
    assert "skill.json has to be trusted." in refused.err
    assert "Traceback" not in refused.err
    manifest = json.loads((tmp_path / "runs" / "b" / "manifest.json").read_text())
    assert (manifest["parent"]["path"], manifest["parent"]["trust"]) == (str(cli.folder / "skill.json"), True)


def test_rehearse_stop_stops_and_resumes_and_keeps_nothing(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """--rehearse-stop trains undisturbed and again with a real signal at a third, compares, and leaves no run."""
    site("toy_worker")

    outcome = cli(*SLOW_TOY, "--rehearse-stop", "--json")

    said = outcome.json()
    assert (outcome.code, said["holds"], said["differences"], said["steps"]) == (0, True, [], 600)
    assert 200 <= said["stopped_at"] < 600
    assert 0 < said["seconds_to_stop"] < 60
    assert not (tmp_path / "runs").exists()
    assert list(cli.folder.iterdir()) == []


def test_a_rehearsal_can_fail(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """A worker that says it resumes exactly, and forgets its generator, is found out, with exit code 1."""
    site(
        "toy_worker",
        fake_distribution(tmp_path / "site", "forgetful", {"forgetful": "forgetful"}, {"forgetful": FORGETFUL}),
    )

    outcome = cli("run", "forgetful", *SLOW_TOY[2:], "--rehearse-stop")

    assert outcome.code == 1
    assert "episode " in outcome.out
    assert "seconds to stop" in outcome.out


def test_a_rehearsal_of_what_ends_before_the_signal_says_so(cli: Cli, site: Callable[..., Any]) -> None:
    """A training that is over when the signal comes proves nothing: that is an error, and neither success nor traceback."""
    site("toy_worker")

    outcome = cli("run", "toy", "-n", "10", "--rehearse-stop")

    assert (outcome.code in (1, 2), outcome.out) == (True, "")
    assert "the signal did not stop the run" in outcome.err or "has used up its budget" in outcome.err
    assert "Traceback" not in outcome.err


def test_the_run_id_names_the_folder(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """--run-id is the folder's name and the id in the outcome."""
    site("toy_worker")

    outcome = cli(*TOY, "--run-id", "my-first", "--json")

    assert outcome.json()["run_id"] == "my-first"
    assert one_run(tmp_path / "runs").name == "my-first"


def test_the_runs_dir_holds_the_run(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """--runs-dir wins over RLCTL_RUNS_DIR, and missing parents are made."""
    site("toy_worker")

    assert cli(*TOY, "--runs-dir", tmp_path / "a" / "b").code == 0

    assert (one_run(tmp_path / "a" / "b") / "result.json").is_file()
    assert not (tmp_path / "runs").exists()


def test_runs_are_kept_in_the_current_folder_by_default(
    cli: Cli, site: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --runs-dir and RLCTL_RUNS_DIR there is a folder `runs` here."""
    site("toy_worker")
    monkeypatch.delenv("RLCTL_RUNS_DIR")

    assert cli(*TOY).code == 0

    assert (one_run(cli.folder / "runs") / "result.json").is_file()


def test_seed_zero_is_a_seed(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """`--seed 0` trains with zero and is recorded as zero in configuration, manifest and lists."""
    site("toy_worker")

    assert cli(*TOY, "--seed", "0").code == 0

    folder = one_run(tmp_path / "runs")
    assert json.loads((folder / "config.json").read_text())["config"]["seed"] == 0
    assert json.loads((folder / "manifest.json").read_text())["seed"] == 0
    assert cli("runs", "list", "--json").json()[0]["seed"] == 0


def test_the_seed_decides_the_episodes(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """Seed 0 twice gives the same returns, seed 1 others: zero is not taken for "none"."""
    site("toy_worker")

    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        cli(*TOY, "--seed", seed, "--run-id", name)

    def returns(name: str) -> list[float]:
        lines = (tmp_path / "runs" / name / "episodes.jsonl").read_text().splitlines()
        return [json.loads(line)["return"] for line in lines]

    assert returns("a") == returns("b") != returns("c")


def test_a_name_in_any_bytes_can_be_kept(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """An argument that is no UTF-8 neither breaks the run nor its files."""
    site("toy_worker")

    outcome = cli(*TOY, "--name", "caf\udce9")

    assert outcome.code == 0
    assert json.loads((one_run(tmp_path / "runs") / "config.json").read_text())["config"]["name"] == "caf\udce9"


def test_secrets_of_the_command_line_are_not_recorded(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """What is assigned to something that is called a key or token is not in the manifest's command."""
    site("toy_worker")

    cli(*TOY, "--label", "api_key=hunter2")

    manifest = json.loads((one_run(tmp_path / "runs") / "manifest.json").read_text())
    assert "hunter2" not in json.dumps(manifest)
    assert "api_key=***" in manifest["command"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("toy",), 0),
        (("toy", "--set", "hyperparameters.raise_at=1"), 1),
        (("toy", "--seed", "x"), 2),
        (("toy", "--nonsense"), 2),
        (("toy", "a", "b"), 2),
        (("nobody",), 3),
        (("toy/unavailable",), 3),
        (("nobody", "--seed", "x"), 2),
    ],
)
def test_the_exit_code_says_what_kind_of_end(
    cli: Cli, site: Callable[..., Any], arguments: tuple[str, ...], code: int
) -> None:
    """0 finished, 1 failed, 2 wrong configuration (also among other problems), 3 something is not available."""
    site("toy_worker")

    assert cli("run", *arguments).code == code


def test_a_failed_run_shows_why(cli: Cli, site: Callable[..., Any]) -> None:
    """The traceback's end, the reason and where the whole log is are on stderr; stdout has the outcome."""
    site("toy_worker")

    outcome = cli(*TOY, "--set", "hyperparameters.raise_at=50")

    assert "RuntimeError: told to raise at step 50" in outcome.err
    assert "worker.log" in outcome.err
    assert "failed: RuntimeError: told to raise at step 50" in outcome.out
    assert "Traceback" not in outcome.out


def test_plugins_that_print_do_not_reach_stdout(cli: Cli, site: Callable[..., Any], tmp_path: Path) -> None:
    """A plugin that greets when it is imported or asked does not break `--json`."""
    site("toy_worker")
    folder = tmp_path / "site" / "greeter-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[rlctl.plugins]\ngreeter = greeter\n")
    (folder.parent / "greeter.py").write_text(
        "from rlctl import hookimpl\nprint('Welcome!')\n"
        "@hookimpl\ndef rlctl_workers():\n    print('At your service!')\n    return []\n"
        "@hookimpl\ndef rlctl_commands():\n    print('Anything else?')\n    return []\n"
        "@hookimpl\ndef rlctl_check_run(config):\n    print('Fine!')\n    return []\n"
    )
    site(folder.parent)

    outcome = cli(*TOY, "--json")

    assert outcome.json()["status"] == "finished"
    assert "Welcome!" in outcome.err
    assert "Fine!" in outcome.err
