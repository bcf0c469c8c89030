"""`rlctl export`, whatever the format: what is wrong is said at once, a file is there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rlctl
from rlctl.runs.checkpoints import CheckpointFolder

Cli = Callable[..., Any]

pytest.importorskip("gymnasium", reason="the toy's policy needs it")


@pytest.fixture
def run(site: Any, fast_cli: Cli, tmp_path: Path) -> Path:
    """Return a run of the toy with checkpoints at the steps 100 and 200."""
    site("toy_worker", "toy_format")
    every = ["--set", "checkpoint.every_steps=100", "--set", "checkpoint.keep_last=null"]
    outcome = fast_cli("run", "toy", "-n", 200, "--run-id", "first", *every)
    assert outcome.code == 0, outcome.err
    return tmp_path / "runs" / "first"


def left(folder: Path) -> list[str]:
    """All files below a folder, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# ---- what is made ----------------------------------------------------------------------------------------------------


def test_a_plugins_format_is_written_into_the_runs_exports(run: Path, fast_cli: Cli) -> None:
    """Its path is printed, and nothing else; the file says whose policy it is, and what belongs to it is beside it."""
    outcome = fast_cli("export", "first", "--format", "skill")

    folder = run / "exports" / "step-000000000200"
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{folder / 'toy.json'}\n"
    assert "actions 2, digits 3" in outcome.err
    assert left(run / "exports") == ["step-000000000200/config.json", "step-000000000200/toy.json"]
    bundle = CheckpointFolder(run / "checkpoints").find("latest")
    assert json.loads((folder / "toy.json").read_text())["identity"] == {
        "run_id": "first", "worker": "toy", "algo": "count", "env": "toy", "step": 200, "checkpoint": bundle.sha256(),
        "spaces": None, "rlctl": rlctl.__version__,
    }  # fmt: skip


def test_any_checkpoint_can_be_exported_to_anywhere(run: Path, fast_cli: Cli, tmp_path: Path) -> None:
    """`--checkpoint`, `--output` and `--option` are followed, and `--json` says all of it as data."""
    place = tmp_path / "new" / "mine.json"
    outcome = fast_cli(
        "export", "first", "-f", "skill", "--checkpoint", 100, "-o", place, "--option", "digits=1", "--json"
    )

    said = outcome.json()
    assert (said["path"], said["step"], said["format"]) == (str(place), 100, "skill")
    assert said["files"] == [str(place), str(place.with_name("config.json"))]
    assert said["found"] == {"actions": 2, "digits": 1}
    assert json.loads(place.read_text())["identity"]["step"] == 100
    assert not (run / "exports").exists()


def test_records_are_exported_without_a_policy(run: Path, fast_cli: Cli) -> None:
    """A format that needs none takes a run without any checkpoint, and builds no training."""
    for bundle in CheckpointFolder(run / "checkpoints").all():
        (bundle.path / "checkpoint.json").unlink()
    outcome = fast_cli("export", "first", "-f", "returns", "--json")

    assert outcome.code == 0, outcome.err
    returns = [json.loads(line)["return"] for line in (run / "episodes.jsonl").read_text().splitlines()]
    assert json.loads((run / "exports" / "toy.json").read_text()) == returns
    assert (outcome.json()["step"], outcome.json()["checkpoint"]) == (None, None)


def test_a_program_exports_as_the_command_does(run: Path) -> None:
    """`rlctl.export` returns where the file is and what was found."""
    made = rlctl.export("first", format="skill", checkpoint="100", options={"digits": 0})

    assert made.path == run / "exports" / "step-000000000100" / "toy.json"
    assert (made.step, made.found) == (100, {"actions": 2, "digits": 0})


# ---- what is there already ---------------------------------------------------------------------------------------------


def test_another_file_is_replaced_only_by_force(run: Path, fast_cli: Cli, tmp_path: Path) -> None:
    """Also one that would be beside it; nothing at all is written then. The same content is no other file."""
    place, beside = tmp_path / "mine.json", tmp_path / "config.json"
    words = ("export", "first", "-f", "skill", "-o", place)
    beside.write_text("somebody's")

    refused = fast_cli(*words)
    assert (refused.code, str(beside) in refused.err, "--force" in refused.err) == (2, True, True)
    assert (beside.read_text(), place.exists()) == ("somebody's", False)

    assert fast_cli(*words, "--force").code == 0
    assert beside.read_text() == "200"
    assert fast_cli(*words).code == 0


# ---- what goes wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("broken", 3, 'the exporter of "broken", brought by toy-format failed: ValueError: no more ink'),
        ("refusing", 1, "it does not act as it should. Look again."),
        ("silent", 3, 'the exporter of "silent", brought by toy-format has written no toy.json.'),
    ],
)
def test_an_exporter_that_fails_leaves_no_file(run: Path, fast_cli: Cli, name: str, code: int, words: str) -> None:
    """Not the half that it wrote, and no folder for it; the message names whose fault it is."""
    before = left(run)
    outcome = fast_cli("export", "first", "-f", name)

    assert (outcome.code, words in outcome.err) == (code, True), outcome.err
    assert (left(run), (run / "exports").exists()) == (before, False)


def test_an_unknown_format_is_answered_with_the_nearest(run: Path, fast_cli: Cli) -> None:
    """As an unknown worker is."""
    outcome = fast_cli("export", "first", "-f", "skil")
    assert (outcome.code, 'there is no format "skil". Did you mean "skill"?' in outcome.err) == (3, True)


def test_all_that_is_wrong_is_said_at_once(run: Path, fast_cli: Cli, monkeypatch: Any, tmp_path: Path) -> None:
    """What the format lacks, its options, where it is to go, and the run; no process is started."""
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a process was started"))
    words = ("--option", "digit=3", "-o", tmp_path, "--checkpoint", 40)
    problems = fast_cli("export", "first", "-f", "unmet", *words, "--json").json()["problems"]

    assert [problem["path"] for problem in problems] == ["--format", "--option.digit", "--output", "RUN"]
    assert "what-nobody-has>=2 is not installed" in problems[0]["message"]
    assert problems[0]["hint"] == "pip install what-nobody-has"
    assert problems[3]["hint"] == "There is: 100, 200."


def test_a_format_of_other_workers_names_them(run: Path, fast_cli: Cli) -> None:
    """And the worker whose policy it is."""
    outcome = fast_cli("export", "first", "-f", "elsewhere")
    assert outcome.code == 2
    assert '"elsewhere" is for worker "dqn" or "sb3"; this policy is of worker "toy".' in outcome.err


def test_options_are_checked_as_settings_are(run: Path, fast_cli: Cli) -> None:
    """By their kind and range."""
    outcome = fast_cli("export", "first", "-f", "skill", "--option", "digits=-1")
    assert (outcome.code, "--option.digits: must be at least 0, got -1" in outcome.err) == (2, True)


def test_what_a_run_knows_is_not_said_again(run: Path, fast_cli: Cli) -> None:
    """`--env` and its like describe a library's own file."""
    outcome = fast_cli("export", "first", "-f", "skill", "--env", "other")
    assert (outcome.code, "--env is for a library's own file" in outcome.err) == (2, True)


def test_a_policy_that_is_no_network_is_refused_in_words(run: Path, fast_cli: Cli) -> None:
    """The toy's policy has no network(): what is missing is said, and no file is left."""
    pytest.importorskip("torch")
    outcome = fast_cli("export", "first", "-f", "torchscript")

    assert outcome.code == 3
    assert "toy/count is not available as a network, because its worker does not say which one it is." in outcome.err
    assert not (run / "exports").exists()


def test_without_its_packages_onnx_says_what_to_install(run: Path, fast_cli: Cli, monkeypatch: Any) -> None:
    """They are an extra; help says it as well."""
    from rlctl.launch import export as exporting

    lacking = ["onnx>=1.18 is not installed"]
    monkeypatch.setattr(exporting, "all_missing", lambda _: lacking)
    monkeypatch.setattr("rlctl.requirements.all_missing", lambda needs: lacking if "onnx>=1.18" in needs else [])

    outcome = fast_cli("export", "first", "-f", "onnx")
    assert outcome.code == 3
    assert "\"onnx\" cannot be written here: onnx>=1.18 is not installed. pip install 'rlctl[onnx]'" in outcome.err
    assert "NOT AVAILABLE: onnx>=1.18 is not" in fast_cli("export", "--help").out


def test_help_lists_the_formats(run: Path, fast_cli: Cli) -> None:
    """Those of rlctl and those of plugins, for whom they are, and their options."""
    text = " ".join(fast_cli("export", "--help").out.split())

    assert "onnx the policy as a network in ONNX" in text
    assert "skill skill, for tests (worker toy); --option digits=3: Digits of the action." in text
    assert "unmet, for tests NOT AVAILABLE: what-nobody-has>=2 is not installed" in text
