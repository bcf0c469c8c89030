"""What a manifest says of the code and the machine, and how often that is looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from rlctl.launch.machine import hardware
from rlctl.runs.manifest import git_state, provenance


def git(folder: Path, *arguments: str) -> str:
    """Call git as somebody, and return what it says."""
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    answer = subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True)
    return answer.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with one committed file."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "train.py").write_text("1\n")
    for command in (("init", "--quiet", "-b", "work"), ("add", "."), ("commit", "--quiet", "-m", "first")):
        git(folder, *command)
    return folder


def next_second() -> None:
    """Wait until this second of the monotonic clock is over."""
    time.sleep(1.001 - time.monotonic() % 1)


def test_commit_branch_and_changes_are_recorded(repository: Path) -> None:
    """What was run can be told from the commit, and from a hash where there is more than it."""
    clean = git_state(repository)
    (repository / "train.py").write_text("2\n")
    changed = git_state(repository)

    said = {"commit": git(repository, "rev-parse", "HEAD"), "branch": "work"}
    assert clean == {**said, "dirty": False, "diff_sha256": None}
    assert changed is not None and changed["dirty"] and len(changed["diff_sha256"]) == 64


def test_outside_of_a_repository_there_is_no_state(tmp_path: Path) -> None:
    """A folder without git's has no commit, which is not an empty one."""
    assert git_state(tmp_path) is None


def test_a_change_of_the_code_is_seen_in_the_next_second(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code may change between two runs of one host: what was looked at holds for a second at most."""
    monkeypatch.chdir(repository)
    before = provenance(hardware)
    (repository / "train.py").write_text("2\n")
    next_second()

    after = provenance(hardware)

    assert (before["git"]["dirty"], after["git"]["dirty"]) == (False, True)


def test_another_folder_is_looked_at_at_once(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that changes its folder between two runs has the state of each one's."""
    monkeypatch.chdir(tmp_path)
    outside = provenance(hardware)
    monkeypatch.chdir(repository)

    assert outside["git"] is None
    assert provenance(hardware)["git"]["branch"] == "work"


def test_many_runs_of_one_second_ask_git_once(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of git takes longer than the rest of a run's beginning."""
    calls, program = tmp_path / "calls", tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho called >> "{calls}"\nexec "{shutil.which("git")}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(repository)
    provenance(hardware)  # installed packages are read now
    next_second()
    calls.unlink()
    begun = int(time.monotonic())

    for _ in range(20):
        provenance(hardware)

    assert 1 <= len(calls.read_text().splitlines()) <= 1 + int(time.monotonic()) - begun
