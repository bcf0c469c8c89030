"""Runs Slurm's programs; nothing else of Slurm is used."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

_TIMEOUT_SECONDS = 30.0
"""A program of Slurm waits for a controller that is not there up to a minute; it is known sooner."""


def ask(*argv: str, script: str | None = None, seconds: float = _TIMEOUT_SECONDS) -> str:
    """Return what a program of Slurm says. Raises OSError with its own words when it is not there, fails, or takes too long."""
    said = _run(argv, script, seconds)
    if said.returncode != 0:
        raise OSError(f"{argv[0]}: {_words(said.stderr)}")
    return said.stdout


def refusal(*argv: str, script: str | None = None) -> str | None:
    """Return what a program of Slurm has against it, None when it has nothing. Raises OSError when it cannot be asked."""
    said = _run(argv, script, _TIMEOUT_SECONDS)
    return None if said.returncode == 0 else _words(said.stderr)


def _run(argv: Sequence[str], script: str | None, seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv, input=script or "", capture_output=True, text=True, errors="replace", timeout=seconds,
            check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise OSError(f"there is no program {argv[0]} on the PATH") from error
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{argv[0]} has not answered for {seconds:g} s") from error


def _words(text: str) -> str:
    """Return Slurm's words in one line, each sentence without the program's name and once."""
    lines = [line.removeprefix("sbatch: ").removeprefix("error: ").strip() for line in text.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line)) or "it says nothing"
