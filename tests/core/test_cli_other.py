"""The other commands: workers, callbacks, plugins, config, doctor, completion, and the manners that all share."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from rlctl import RunConfig, __version__

Cli = Callable[..., Any]
Site = Callable[..., Any]


# ---- workers, callbacks, plugins ----------------------------------------------------------------------------------------


def test_workers_are_listed(cli: Cli, site: Site) -> None:
    """Each worker has a line with version, state and algorithms; the same as data with --json."""
    site("toy_worker", "unusable_workers")

    plain, data = cli("workers", "list"), cli("workers", "list", "--json")

    rows = {row["name"]: row for row in data.json()}
    assert plain.code == data.code == 0
    assert any(line.split()[:3] == ["toy", "1.0", "ready"] for line in plain.out.splitlines())
    assert (rows["toy"]["available"], rows["toy"]["algorithms"]) == (True, ["count", "bandit", "unavailable"])
    assert (rows["toy_unmet"]["available"], rows["toy_unmet"]["status"]) == (
        False,
        "surely-not-installed>=1 is not installed",
    )


@pytest.mark.parametrize("name", ["broken_import", "misspelt_hook", "wrong_argument", "raising_hook", "hook_wrapper"])
def test_a_broken_plugin_costs_only_itself(cli: Cli, site: Site, name: str) -> None:
    """With a broken plugin beside it a sound worker is listed and trains; the broken one is named with its reason."""
    site("toy_worker", name)

    listed = cli("workers", "list")
    trained = cli("run", "toy", "-n", "50")
    plugins = {row["module"]: row["error"] for row in cli("plugins", "list", "--json").json()}

    assert (listed.code, trained.code) == (0, 0)
    assert "toy" in listed.out
    assert "is broken: " in listed.err
    assert plugins[name]


@pytest.mark.parametrize(
    "command", [("workers", "list"), ("callbacks", "list"), ("plugins", "list"), ("doctor",), ("runs", "list")]
)
def test_lists_are_json_on_stdout_only(cli: Cli, site: Site, command: tuple[str, ...]) -> None:
    """With --json every list is one JSON array, also with broken and unusable plugins about."""
    site(
        "toy_worker",
        "broken_import",
        "future_api",
        "duplicate_name",
        "strange_answer",
        "unusable_workers",
        "raising_hook",
    )

    assert isinstance(cli(*command, "--json").json(), list)


def test_a_name_of_two_distributions_is_refused_for_both(cli: Cli, site: Site) -> None:
    """Neither of two workers with one name is used, and both owners are named."""
    site("toy_worker", "duplicate_name")

    outcome = cli("run", "toy")

    assert outcome.code == 3
    assert "toy-twin 2.0" in outcome.err
    assert "toy-worker 1.0" in outcome.err


def test_a_worker_is_shown(cli: Cli, site: Site) -> None:
    """What a worker can do, each algorithm with its default environment and budget and why it cannot run."""
    site("toy_worker")

    outcome = cli("workers", "show", "toy")

    assert outcome.code == 0
    assert "toy-worker 1.0" in outcome.out
    assert "1000 steps of toy" in outcome.out
    assert "the moon is full" in outcome.out


def test_the_settings_of_an_algorithm_are_shown(cli: Cli, site: Site) -> None:
    """Each hyper-parameter with kind, default and meaning; as data with its limits."""
    site("toy_worker")

    plain = cli("workers", "show", "toy", "--algo", "bandit")
    data = cli("workers", "show", "toy", "--algo", "bandit", "--json").json()

    assert any(line.split()[:3] == ["epsilon", "number", "0.1"] for line in plain.out.splitlines())
    (algorithm,) = data["algorithms"]
    assert {item["name"]: (item["minimum"], item["maximum"]) for item in algorithm["hyperparameters"]} == {
        "arms": (2, 100), "epsilon": (0, 1), "prior": (None, None),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("show", "toi"), 3, 'there is no worker "toi". Did you mean "toy"?'),
        (("show", "toy", "-a", "bandid"), 2, 'worker "toy" has no algorithm "bandid". Did you mean "bandit"?'),
        (("setup", "toi"), 3, 'there is no worker "toi"'),
        (("setup", "toy", "--source", "x"), 2, "has nothing to set up"),
        (("lst",), 2, ""),
    ],
)
def test_a_slip_in_a_name_is_answered(cli: Cli, site: Site, arguments: tuple[str, ...], code: int, words: str) -> None:
    """Unknown workers and algorithms are refused with the nearest name."""
    site("toy_worker")

    outcome = cli("workers", *arguments)

    assert (outcome.code, outcome.out) == (code, "")
    assert words in outcome.err


def test_a_worker_whose_settings_cannot_be_listed_is_shown_with_the_reason(cli: Cli, site: Site) -> None:
    """A plugin's function that raises is reported in a line, not with rlctl's traceback."""
    site("unusable_workers")

    plain = cli("workers", "show", "toy_unlisted", "--algo", "only")
    data = cli("workers", "show", "toy_unlisted", "--json")

    assert (plain.code, data.code) == (3, 3)
    assert "FileNotFoundError" in plain.err
    assert "Traceback" not in plain.err + data.err


def test_callbacks_are_listed_with_their_options(cli: Cli, site: Site) -> None:
    """Where a callback lives, whether it is ready, and what can be set of it."""
    site("toy_callbacks")

    plain, data = cli("callbacks", "list"), cli("callbacks", "list", "--json").json()

    rows = {row["name"]: row for row in data}
    assert plain.code == 0
    assert "hook=rlctl_step, at=100" in plain.out
    assert (rows["critical"]["critical"], rows["host_recorder"]["process"], rows["recorder"]["error"]) == (
        True,
        "host",
        None,
    )


def test_plugins_are_listed_with_what_they_bring(cli: Cli, site: Site) -> None:
    """Each distribution with the workers, callbacks, executors, formats and commands that it brings."""
    site("toy_worker", "toy_executor", "toy_command", "toy_format")

    rows = {row["distribution"]: row for row in cli("plugins", "list", "--json").json()}

    assert rows["toy-format"]["brings"][:2] == ["format broken", "format elsewhere"]

    assert rows["toy-worker"]["brings"] == ["worker toy"]
    assert rows["toy-executor"]["brings"] == ["executor toy"]
    assert rows["toy-command"]["brings"] == ["commands"]


# ---- config ---------------------------------------------------------------------------------------------------------------


def test_a_sound_configuration_is_called_sound(cli: Cli, site: Site) -> None:
    """`config check` says that it can be run, exit code 0, and starts nothing."""
    site("toy_worker")
    (cli.folder / "e.yaml").write_text("worker: toy\n")  # type: ignore[attr-defined]

    plain, data = cli("config", "check", "e.yaml"), cli("config", "check", "e.yaml", "--json")

    assert (plain.code, plain.out, plain.err) == (0, "", "rlctl: e.yaml can be run\n")
    assert data.json() == {"ok": True, "problems": []}


def test_a_check_finds_what_a_run_would(cli: Cli, site: Site) -> None:
    """The problems of `config check` are those of `run`, line by line, with the same exit code."""
    site("toy_worker")
    (cli.folder / "e.yaml").write_text("worker: toy\nsede: 3\nthreads: 0\nenv: {num_envs: 9}\n")  # type: ignore[attr-defined]

    check, run = cli("config", "check", "e.yaml", "--set", "name=3"), cli("run", "e.yaml", "--set", "name=3")
    data = cli("config", "check", "e.yaml", "--json", "--set", "name=3")

    assert (check.code, check.err) == (run.code, run.err)
    assert (data.code, data.json()["ok"], len(data.json()["problems"])) == (2, False, 4)


def _check_schema(schema: Any, path: str = "") -> None:
    """Hold a JSON Schema against the rules of draft 2020-12 that ours uses."""
    kinds = {"integer", "number", "boolean", "string", "array", "object", "null"}
    known = {
        "$schema", "title", "type", "properties", "additionalProperties", "required", "description", "default", "minimum",
        "maximum", "exclusiveMinimum", "enum", "anyOf", "items",
    }  # fmt: skip
    assert isinstance(schema, dict), path
    assert set(schema) <= known, path
    said = schema.get("type", [])
    said = [said] if isinstance(said, str) else said
    assert set(said) <= kinds, path
    assert len(said) == len(set(said)), path
    assert set(schema.get("required", [])) <= set(schema.get("properties", {})), path
    for name in ("minimum", "maximum", "exclusiveMinimum"):
        assert isinstance(schema.get(name, 0), (int, float)), path
    assert "enum" not in schema or len(schema["enum"]) > 0, path
    for name, inner in schema.get("properties", {}).items():
        _check_schema(inner, f"{path}.{name}")
    for inner in schema.get("anyOf", []):
        _check_schema(inner, f"{path}.anyOf")
    if "default" in schema and said:
        assert _accepts(schema, schema["default"]), path


def _accepts(schema: dict[str, Any], value: Any) -> bool:
    """Return whether a value fits a schema, as a validator would say it."""
    if "anyOf" in schema:
        return any(_accepts(inner, value) for inner in schema["anyOf"])
    kinds: dict[str, Callable[[Any], bool]] = {
        "integer": lambda x: (
            not isinstance(x, bool) and (isinstance(x, int) or (isinstance(x, float) and x.is_integer()))
        ),
        "number": lambda x: not isinstance(x, bool) and isinstance(x, (int, float)),
        "boolean": lambda x: isinstance(x, bool),
        "string": lambda x: isinstance(x, str),
        "array": lambda x: isinstance(x, list),
        "object": lambda x: isinstance(x, dict),
        "null": lambda x: x is None,
    }
    said = schema.get("type", list(kinds))
    if not any(kinds[kind](value) for kind in ([said] if isinstance(said, str) else said)):
        return False
    if isinstance(value, dict) and "properties" in schema:
        properties = schema["properties"]
        return (
            set(schema.get("required", [])) <= set(value) <= set(properties)
            and all(_accepts(properties[key], item) for key, item in value.items())
        )  # fmt: skip
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (
            value >= schema.get("minimum", value)
            and value <= schema.get("maximum", value)
            and value > schema.get("exclusiveMinimum", value - 1)
        )  # fmt: skip
    return not (isinstance(value, list) and "items" in schema) or all(_accepts(schema["items"], item) for item in value)


def test_the_schema_is_a_schema_of_every_key(cli: Cli, site: Site) -> None:
    """`config schema` is legal JSON Schema, has all keys with their meaning, and defaults that it accepts itself."""
    site("toy_worker")

    schema = cli("config", "schema").json()
    of_worker = cli("config", "schema", "--worker", "toy", "--algo", "bandit").json()

    _check_schema(schema)
    _check_schema(of_worker)
    assert set(schema["properties"]) == {item.name for item in attrs.fields(RunConfig)}
    assert all(inner.get("description") for inner in schema["properties"].values())
    assert set(of_worker["properties"]["hyperparameters"]["properties"]) == {"arms", "epsilon", "prior"}


@pytest.mark.parametrize(
    "config",
    [
        {"worker": "toy"}, {"worker": "toy", "seed": 0}, {"worker": "toy", "seed": -1}, {"worker": "toy", "seed": "1"},
        {"worker": "toy", "seed": 1e3}, {"worker": "toy", "seed": 1.5}, {"worker": "toy", "seed": True}, {"seed": 1},
        {"worker": "toy", "env": "moon"}, {"worker": "toy", "env": {"id": "moon", "num_envs": 2}},
        {"worker": "toy", "env": {"nun_envs": 2}}, {"worker": "toy", "env": 3}, {"worker": "toy", "callbacks": ["empty"]},
        {"worker": "toy", "callbacks": {"empty": {}}}, {"worker": "toy", "callbacks": [3]}, {"worker": "toy", "x": 1},
        {"worker": "toy", "threads": None}, {"worker": "toy", "grace": 0}, {"worker": "toy", "grace": "0"},
        {"worker": "toy", "name": 3}, {"worker": "toy", "hyperparameters": {"raise_at": 5}},
        {"worker": "toy", "hyperparameters": {"raise_at": "5"}}, {"worker": "toy", "hyperparameters": {"raise_ad": 5}},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_the_schema_accepts_what_a_check_accepts(cli: Cli, site: Site, config: dict[str, Any]) -> None:
    """An editor that uses the schema marks exactly what rlctl would refuse."""
    site("toy_worker")
    (cli.folder / "e.json").write_text(json.dumps(config))  # type: ignore[attr-defined]
    schema = cli("config", "schema", "--worker", "toy").json()

    assert _accepts(schema, config) is cli("config", "check", "e.json", "--json").json()["ok"]


def test_the_schema_of_an_unknown_worker_is_refused(cli: Cli, site: Site) -> None:
    """An unknown worker or algorithm is named with what was meant."""
    site("toy_worker")

    assert 'Did you mean "toy"?' in cli("config", "schema", "-w", "toi").err
    assert 'Did you mean "count"?' in cli("config", "schema", "-w", "toy", "-a", "coun").err


# ---- doctor ----------------------------------------------------------------------------------------------------------------


def test_the_doctor_is_content(cli: Cli, site: Site) -> None:
    """Where everything installed works, the exit code is 0 and each check says what it found."""
    site("toy_worker")

    checks = {item["check"]: item for item in cli("doctor", "--json").json()}

    assert {"python", "machine", "runs folder", "worker toy", "plugin toy-worker"} <= set(checks)
    assert checks["worker toy"]["ok"] is True
    assert cli("doctor").code in (0, 3)  # 3 where another installed worker lacks something


def test_the_doctor_finds_what_is_broken(cli: Cli, site: Site) -> None:
    """A plugin that does not import and a worker whose needs are not met are named, and the exit code is 3."""
    site("broken_import", "unusable_workers")

    outcome = cli("doctor", "--json")

    broken = {item["check"]: item["found"] for item in outcome.json() if item["ok"] is False}
    assert outcome.code == 3
    assert "surely-not-installed" in broken["worker toy_unmet"]
    assert "plugin broken-import" in {name.replace("_", "-") for name in broken}


def test_the_doctor_looks_at_the_runs_folder(cli: Cli, tmp_path: Path) -> None:
    """A runs folder that cannot be written is found before the first run fails there; nothing is made."""
    (tmp_path / "file").write_text("x")

    checks = {item["check"]: item for item in cli("doctor", "--json", "--runs-dir", tmp_path / "file" / "runs").json()}
    deep = {item["check"]: item for item in cli("doctor", "--json", "--runs-dir", tmp_path / "a" / "b" / "c").json()}

    assert checks["runs folder"]["ok"] is False
    assert deep["runs folder"]["ok"] is True
    assert not (tmp_path / "a").exists()


# ---- completion --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_has_a_script_for_each_shell(cli: Cli, shell: str) -> None:
    """The script is data on stdout and asks rlctl for the words."""
    outcome = cli("completion", shell)

    assert (outcome.code, outcome.err) == (0, "")
    assert f"_RLCTL_COMPLETE={shell}_complete" in outcome.out


def test_completion_of_an_unknown_shell_is_refused(cli: Cli) -> None:
    """Another shell is refused with those that there are."""
    outcome = cli("completion", "tcsh")

    assert (outcome.code, outcome.out) == (2, "")
    assert "'bash', 'zsh', 'fish'" in outcome.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rlctl wor", ["workers"]),
        ("rlctl runs s", ["show", "stop"]),
        ("rlctl run to", ["toy", "toy/bandit", "toy/count", "toy/unavailable"]),
        ("rlctl run --worker toy/b", ["toy/bandit"]),
        ("rlctl run --total-e", ["--total-episodes"]),
        ("rlctl runs show @", ["@latest"]),
    ],
)
def test_bash_completes(cli: Cli, site: Site, tmp_path: Path, line: str, words: list[str]) -> None:
    """With the script loaded, bash completes commands, options, workers and runs."""
    bash = shutil.which("bash")
    if not bash:
        pytest.skip("there is no bash")
    version = subprocess.run(
        [bash, "-c", "echo ${BASH_VERSINFO[0]}${BASH_VERSINFO[1]}"], capture_output=True, text=True, check=True
    )
    if int(version.stdout) < 44:
        pytest.skip("click's completion needs bash 4.4")
    site("toy_worker")
    program = tmp_path / "bin" / "rlctl"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.argv[0] = \'rlctl\'; from rlctl.cli import main; main()" "$@"\n'
    )
    program.chmod(0o755)
    script = (
        f"{cli('completion', 'bash').out}\n"
        f"COMP_WORDS=({line}); COMP_CWORD={len(line.split()) - 1}; COMP_LINE='{line}'; COMP_POINT={len(line)}\n"
        f"_rlctl_completion rlctl '{line.rsplit(maxsplit=1)[-1]}' '{line.split()[-2]}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    )

    environment = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    answer = subprocess.run(
        [bash, "--norc", "-c", script], capture_output=True, text=True, env=environment, check=False
    )

    assert answer.stderr == ""
    assert sorted(answer.stdout.split()) == words


# ---- manners ---------------------------------------------------------------------------------------------------------------


def test_the_version(cli: Cli) -> None:
    """`--version` is the version, on stdout."""
    outcome = cli("--version")

    assert (outcome.code, outcome.out, outcome.err) == (0, f"rlctl, version {__version__}\n", "")


@pytest.mark.parametrize(("command", "meant"), [("wrokers", "workers"), ("rnu", "run"), ("Doctor", "doctor")])
def test_an_unknown_command_names_the_one_that_was_meant(cli: Cli, command: str, meant: str) -> None:
    """A slip in a command is answered with the nearest one, exit code 2."""
    outcome = cli(command)

    assert (outcome.code, outcome.out) == (2, "")
    assert f'there is no command "{command}". Did you mean "{meant}"?' in outcome.err


def test_commands_of_plugins_are_commands(cli: Cli, site: Site) -> None:
    """A plugin's command stands in the help and runs; one that rlctl has already is ignored and named."""
    site("toy_command")

    helped, greeted = cli("--help"), cli("hello", "moon")

    assert "hello" in helped.out
    assert "Greet." in helped.out
    assert (greeted.code, greeted.out) == (0, "hello, moon\n")
    assert "usurped" not in cli("run").out


@pytest.mark.parametrize(
    "command",
    ["run", "play", "record", "runs", "runs list",
     "runs tail", "workers", "workers show", "callbacks", "plugins", "config", "config check",
     "doctor", "completion"],
)  # fmt: skip
def test_every_command_explains_itself(cli: Cli, command: str) -> None:
    """--help of every command is on stdout, exit code 0, within the width of a terminal."""
    outcome = cli(*command.split(), "--help", env={"COLUMNS": "80"})

    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("Usage: ")
    assert max(map(len, outcome.out.splitlines())) <= 80


@pytest.mark.parametrize("command", [("workers", "list"), ("runs", "list"), ("--help",), ("plugins", "list", "--json")])
def test_a_reader_that_goes_away_is_no_error(cli: Cli, site: Site, tmp_path: Path, command: tuple[str, ...]) -> None:
    """`rlctl runs list | head -1` ends in silence with exit code 0, however much there was to print."""
    site("toy_worker")
    for index in range(600):
        folder = tmp_path / "runs" / f"run-with-quite-a-long-name-{index:030}"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "manifest.json").write_text("{}")
    reading, writing = os.pipe()
    os.close(reading)

    process = cli.start(*command, stdout=writing)  # type: ignore[attr-defined]
    os.close(writing)

    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_head_gets_its_line(cli: Cli, tmp_path: Path) -> None:
    """With a real `head -1` behind a long list, one line arrives and nobody complains."""
    for index in range(2000):
        folder = tmp_path / "runs" / f"run-with-quite-a-long-name-{index:030}"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "manifest.json").write_text("{}")

    head = subprocess.Popen(["head", "-1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process = cli.start("runs", "list", stdout=head.stdin)  # type: ignore[attr-defined]
    head.stdin.close()  # type: ignore[union-attr]
    head.stdin = None
    line, _ = head.communicate(timeout=60)
    _, err = process.communicate(timeout=60)

    assert line.startswith("RUN")
    assert (process.returncode, err) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_cannot_be_written_is_an_error(cli: Cli, site: Site) -> None:
    """A list that does not reach its file because the disk is full is one line and exit code 1, not a silent success."""
    site("toy_worker")
    with Path("/dev/full").open("w") as full:
        process = cli.start("workers", "list", stdout=full)  # type: ignore[attr-defined]

        _, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (1, "rlctl: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize(("no_color", "bold"), [("1", False), (None, True)])
def test_colours_are_for_terminals_that_want_them(
    site: Site, rlctl_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, no_color: str | None, bold: bool
) -> None:
    """In a terminal a table's head is bold, unless NO_COLOR says otherwise."""
    pty = pytest.importorskip("pty")
    site("toy_worker")
    if no_color is None:
        monkeypatch.delenv("NO_COLOR")
    here, there = pty.openpty()

    process = subprocess.Popen(
        [sys.executable, "-m", "rlctl", "workers", "list"], stdin=there, stdout=there, stderr=there
    )
    os.close(there)
    printed = b""
    try:
        while chunk := os.read(here, 4096):
            printed += chunk
    except OSError:
        pass  # the other end is closed, as Linux says it
    os.close(here)

    assert process.wait(60) == 0
    assert b"WORKER" in printed
    assert (b"\x1b[" in printed) is bold


def test_a_progress_bar_is_for_terminals(
    site: Site, rlctl_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a terminal there is a bar that ends full, and it is left on stderr's terminal only."""
    pty = pytest.importorskip("pty")
    site("toy_worker")
    monkeypatch.setenv("TERM", "xterm")
    here, there = pty.openpty()
    command = [sys.executable, "-m", "rlctl", "run", "toy", "-n", "300", "--set", "hyperparameters.step_seconds=0.005"]

    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=there, cwd=tmp_path)
    os.close(there)
    printed = b""
    try:
        while chunk := os.read(here, 4096):
            printed += chunk
    except OSError:
        pass
    os.close(here)
    out = process.stdout.read()  # type: ignore[union-attr]
    process.stdout.close()  # type: ignore[union-attr]

    assert process.wait(60) == 0
    assert b"300/300" in printed
    assert b"\x1b" not in out


@pytest.mark.parametrize("command", [("workers", "list"), ("--help",), ("runs", "list"), ("completion", "bash")])
def test_light_commands_import_nothing_heavy(site: Site, rlctl_env: dict[str, str], command: tuple[str, ...]) -> None:
    """Lists, help and completion import neither torch nor numpy nor gymnasium nor a backend."""
    site("toy_worker")
    program = (
        f"import sys; sys.argv = ['rlctl', *{command!r}]\n"
        "from rlctl.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'gymnasium', 'stable_baselines3', 'rich', 'tensorboard'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)\n"
    )

    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert answer.stderr.splitlines()[-1] == "[]"
