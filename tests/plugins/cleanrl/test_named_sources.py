"""Several sources side by side: each has its name, its scripts are NAME/SCRIPT, and nothing of another gets into a run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.cleanrl.own_scripts import SCRIPT, commit, write_source

from rlctl.runs.files import read_json, read_lines

QUIET = ("--callback", "no-progress", "--device", "cpu")


@pytest.fixture(autouse=True)
def no_index(rlctl_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be fetched: a source with a name needs no other."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def set_up(cli: Any, source: object, name: str) -> dict[str, Any]:
    """Set up a source with a name; returns what it is."""
    answer = cli("workers", "setup", "cleanrl", "--source", source, "--name", name, "--json")
    assert answer.code == 0, answer.err
    said: dict[str, Any] = answer.json()
    return said


def run(cli: Any, algo: str, run_id: str, *options: object, code: int = 0) -> Path:
    """Train with a script for some steps; returns the run's directory."""
    answer = cli("run", f"cleanrl/{algo}", "-n", 300, *QUIET, *options, "--run-id", run_id, "--runs-dir", cli.folder)
    assert answer.code == code, answer.err
    return Path(cli.folder) / run_id


def mark(directory: Path) -> float:
    """Return the mark of the helpers that a run imported."""
    marks = {line["values"].get("backend/charts/mark") for line in read_lines(directory / "metrics.jsonl")} - {None}
    (only,) = marks
    return float(only)


def test_each_run_imports_the_helpers_of_its_own_source(cli: Any, site: Any, tmp_path: Path) -> None:
    """Two sources that differ in cleanrl_utils, one without an __init__.py, and a third cleanrl_utils that is installed."""
    site(write_source(tmp_path / "installed", 3))
    first = set_up(cli, write_source(tmp_path / "first", 1), "first")
    set_up(cli, write_source(tmp_path / "second", 2, init=False), "second")

    runs = {name: run(cli, f"{name}/train", name) for name in ("first", "second")}

    assert {name: mark(directory) for name, directory in runs.items()} == {"first": 1, "second": 2}
    assert all(len(list(read_lines(directory / "episodes.jsonl"))) > 3 for directory in runs.values())
    source = (read_json(runs["first"] / "manifest.json") or {})["worker"]["source"]
    assert source == first
    assert (source["name"], source["kind"], source["origin"]) == ("first", "path", str(tmp_path / "first"))


def test_a_plain_folder_of_scripts_is_a_source_and_a_file_can_name_its_script(cli: Any, tmp_path: Path) -> None:
    """One's own scripts need no folder cleanrl/; in a configuration the algorithm is NAME/SCRIPT as well."""
    folder = write_source(tmp_path / "scripts", 7, plain=True)
    (folder / "helper.py").write_text("RATE = 1\n")
    (folder / "train.py").write_text("import helper\n" + SCRIPT)
    set_up(cli, folder, "my-scripts")
    (cli.folder / "exp.yaml").write_text(
        "worker: cleanrl\nalgo: my-scripts/train\ntotal_timesteps: 150\nhyperparameters: {learning_rate: 0.5}\n"
    )

    answer = cli("run", "exp.yaml", *QUIET, "--run-id", "r", "--runs-dir", cli.folder)

    assert answer.code == 0, answer.err
    assert mark(cli.folder / "r") == 7
    shown = cli("workers", "show", "cleanrl", "--algo", "my-scripts/train").out
    assert "learning_rate" in shown and "how fast it learns" in shown


def test_a_named_source_that_changed_is_drift_and_another_ones_change_is_none(cli: Any, tmp_path: Path) -> None:
    """A resume with other scripts than the checkpoint's is refused, unless it is allowed."""
    folder = write_source(tmp_path / "repository", 1)
    url = commit(folder)
    set_up(cli, url, "repo")
    set_up(cli, write_source(tmp_path / "other", 5), "other")
    stopped = run(cli, "repo/train", "stopped", "--stop-at", 100, code=75)
    set_up(cli, write_source(tmp_path / "other", 6), "other")
    shutil.copytree(stopped, cli.folder / "copy", symlinks=True)
    assert cli("resume", cli.folder / "copy").code == 0

    write_source(folder, 2)
    commit(folder)
    set_up(cli, url, "repo")
    refused, allowed = cli("resume", stopped), cli("resume", stopped, "--allow-drift")

    assert (refused.code, allowed.code) == (2, 0), refused.err + allowed.err
    assert "its source has changed since the checkpoint" in refused.err and "--allow-drift" in refused.err


def test_sources_are_listed_and_removed(cli: Any, tmp_path: Path) -> None:
    """A source that is removed is gone with its copy, unless another is the same; its runs are refused with what to do."""
    one, two = (set_up(cli, write_source(tmp_path / "same", 1), name) for name in ("one", "two"))
    listed = cli("workers", "setup", "cleanrl", "--list", "--json").json()
    assert [(source["name"], source["kind"], source["scripts"]) for source in listed] == [
        ("one", "path", 1),
        ("two", "path", 1),
    ]
    assert "one" in cli("workers", "setup", "cleanrl", "--list").out
    assert "one/train" in cli("workers", "show", "cleanrl").out

    assert cli("workers", "setup", "cleanrl", "--remove", "one").code == 0
    assert one["path"] == two["path"] and Path(two["path"]).is_dir()
    answer = cli("run", "cleanrl/one/train", "--dry-run")
    assert answer.code == 3
    assert 'no source of CleanRL with the name "one"' in answer.err and "--name one" in answer.err
    assert cli("workers", "setup", "cleanrl", "--remove", "two").code == 0
    assert not Path(two["path"]).exists()
    assert cli("workers", "setup", "cleanrl", "--list", "--json").json() == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--source", "{}", "--name", "../up"), 2, '"../up" cannot be the name of a source'),
        (("--name", "mnie"), 3, 'Did you mean "mine"?'),
        (("--remove", "mnie"), 3, 'Did you mean "mine"?'),
        (("--remove", ""), 3, "no source of CleanRL"),
        (("--remove", "mine", "--list"), 2, "each go alone"),
    ],
)
def test_a_slip_in_a_sources_name_is_answered(
    cli: Any, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    """What is no name, or nobody's, is refused in a line, and nothing has changed."""
    folder = write_source(tmp_path / "mine", 1)
    set_up(cli, folder, "mine")
    answer = cli("workers", "setup", "cleanrl", *(word.format(folder) for word in words))
    assert (answer.code, said in answer.err) == (code, True), answer.err
    assert [source["name"] for source in cli("workers", "setup", "cleanrl", "--list", "--json").json()] == ["mine"]


def test_slips_in_a_named_script_are_answered_before_anything_starts(cli: Any, tmp_path: Path) -> None:
    """The script, the source and a hyper-parameter each get the nearest name."""
    set_up(cli, write_source(tmp_path / "mine", 1), "mine")
    slips = {
        ("cleanrl/mine/trian",): 'Did you mean "mine/train"?',
        ("cleanrl/mnie/train",): 'Did you mean "mine"?',
        ("cleanrl/mine/train", "--set", "hyperparameters.learning_rat=1"): 'Did you mean "learning_rate"?',
    }
    for words, said in slips.items():
        answer = cli("run", *words)
        assert answer.code in (2, 3) and said in answer.err, answer.err
    assert not (cli.folder / "runs").exists()


def test_what_cannot_be_read_or_run_of_a_source_is_said(cli: Any, tmp_path: Path) -> None:
    """A script that is not Python is named at the set-up; one without a main loop is refused with the reason."""
    folder = write_source(tmp_path / "mine", 1)
    (folder / "cleanrl" / "broken.py").write_text("def broken(:\n")
    (folder / "cleanrl" / "endless.py").write_text(
        SCRIPT.replace("for global_step in range(args.total_timesteps):", "while True:")
    )
    setup = cli("workers", "setup", "cleanrl", "--source", folder, "--name", "mine")
    assert "cleanrl/broken.py cannot be parsed: line 1" in setup.err
    answer = cli("run", "cleanrl/mine/endless")
    assert answer.code == 3 and "cleanrl/mine/endless cannot run here: it has no main loop" in answer.err


def test_a_folder_that_changed_since_it_was_copied_is_said(cli: Any, tmp_path: Path) -> None:
    """The copy is what runs, so whoever edits the folder is told how to take it as it is now."""
    folder = write_source(tmp_path / "mine", 1)
    set_up(cli, folder, "mine")
    assert "has changed" not in cli("run", "cleanrl/mine/train", "--dry-run").err
    write_source(folder, 2)
    said = cli("run", "cleanrl/mine/train", "--dry-run").err
    assert f"rlctl workers setup cleanrl --source {folder} --name mine" in said


def test_scripts_of_a_named_source_are_completed(cli: Any, tmp_path: Path) -> None:
    """`rlctl run cleanrl/m` and a tab: in another process, as the shell asks."""
    set_up(cli, write_source(tmp_path / "mine", 1), "mine")
    asked = {"_RLCTL_COMPLETE": "bash_complete", "COMP_WORDS": "rlctl run cleanrl/m", "COMP_CWORD": "2"}
    program = "import sys; sys.argv[0] = 'rlctl'; from rlctl.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert "plain,cleanrl/mine/train" in done.stdout.split(), done.stderr


def test_a_script_that_raises_runs_once_and_its_own_traceback_is_the_message(cli: Any, tmp_path: Path) -> None:
    """Nothing is tried again, and the line of the script and what it raised are what the user sees."""
    folder, trace = write_source(tmp_path / "mine", 1), tmp_path / "trace"
    broken = SCRIPT.replace(
        "        loss.backward()\n", '        loss.backward()\n        raise ValueError(f"no good at {global_step}")\n'
    )
    begun = f'    open({str(trace)!r}, "a").write("begun ")\n    args = tyro.cli(Args)\n'
    (folder / "cleanrl" / "train.py").write_text(broken.replace("    args = tyro.cli(Args)\n", begun))
    set_up(cli, folder, "mine")

    directory = cli.folder / "r"
    answer = cli("run", "cleanrl/mine/train", *QUIET, "--run-id", "r", "--runs-dir", cli.folder)

    assert answer.code == 1
    assert trace.read_text() == "begun "
    assert "cleanrl/train.py" in answer.err and 'raise ValueError(f"no good at {global_step}")' in answer.err
    assert "ValueError: no good at 0" in answer.err
    result = json.loads((directory / "result.json").read_text())
    assert (result["status"], result["failure"]["kind"]) == ("failed", "ValueError")
