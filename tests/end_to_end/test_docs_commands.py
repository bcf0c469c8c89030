"""Pages whose commands are meant to be given one after the other are followed to the letter, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "questions.md": ("torch", "stable_baselines3", "ale_py", "cv2"),
    "recording.md": ("torch", "stable_baselines3", "minari", "imageio", "pygame"),
}
"""Page → packages that its commands need."""
_BLOCK = re.compile(r"(?:^`([\w.-]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> Iterator[tuple[str | None, str, str]]:
    """Yield (name of the file that is printed or None, language, text) in the order of the page."""
    for name, language, text in _BLOCK.findall((ROOT / "docs" / page).read_text(encoding="utf-8")):
        yield name or None, language, text


@pytest.fixture
def shell(tmp_path: Path, rlctl_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let `rlctl` and `python` be those of this test, and runs be where a user has them; returns an empty folder."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, arguments in (("rlctl", "-m rlctl "), ("python", "")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("RLCTL_RUNS_DIR")
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work_in_their_order(page: str, shell: Path) -> None:
    """Files that the page prints are there when it has printed them; every command ends with 0."""
    for package in PAGES[page]:
        pytest.importorskip(package)
    commands = 0
    for name, language, text in blocks(page):
        if name is not None:
            (shell / name).write_text(text, encoding="utf-8")
        elif language == "sh":
            for command in text.replace("\\\n", " ").splitlines():
                done = subprocess.run(
                    ["sh", "-c", command],
                    cwd=shell,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=200,
                    check=False,
                )
                assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
                commands += 1
    assert commands


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_a_file_or_commands(page: str) -> None:
    """So nothing on the page goes untried."""
    assert [text for name, language, text in blocks(page) if name is None and language != "sh"] == []
