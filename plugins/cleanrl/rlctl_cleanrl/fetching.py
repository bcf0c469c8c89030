"""Gets CleanRL's scripts onto this machine: PyPI's wheel through pip, or a git repository."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rlctl.errors import NotAvailableError
from rlctl_cleanrl.snapshots import FOLDERS

if TYPE_CHECKING:
    import subprocess

VERSION = "1.2.0"
WHEEL = f"cleanrl-{VERSION}-py3-none-any.whl"
WHEEL_SHA256 = "002f6dac6cd0efb5889cd9096a252da1b4bc98a8f52ccb1f47a7215c18b30369"
WHEEL_SIZE = 187393
_TIMEOUT_S = 600
_SETUP = "Connect once and run `rlctl workers setup cleanrl`, or give a checkout with `--source PATH`."


def download(folder: Path) -> Path:
    """Download the wheel with this Python's pip, so that the user's index and proxy settings hold; return its path.

    Raises NotAvailableError where there is no pip, pip fails, or the file is not the one that rlctl knows.
    """
    import hashlib

    # cleanrl 1.2.0 declares Python < 3.11, and its pins are of 2022: only the scripts are wanted, so neither counts.
    options = ["--no-deps", "--ignore-requires-python", "--only-binary=:all:", "--no-input", "--retries=2"]
    command = [sys.executable, "-m", "pip", "download", f"cleanrl=={VERSION}", *options, f"--dest={folder}"]
    done = _run([*command, "--disable-pip-version-check"], f"Fetching CleanRL {VERSION} with pip")
    if "No module named pip" in done.stderr:
        raise NotAvailableError(
            f"CleanRL {VERSION} is not in the cache, and this Python ({sys.executable}) has no pip to fetch it with.",
            hint=f"Run `{sys.executable} -m ensurepip` (or `uv pip install pip`), or give a checkout with "
            "`--source PATH`.",
        )
    wheel = folder / WHEEL
    if done.returncode != 0 or not wheel.is_file():
        raise NotAvailableError(
            f"CleanRL {VERSION} is not in the cache, and `{sys.executable} -m pip download cleanrl=={VERSION}` "
            f"could not fetch it: {last_line(done.stderr + done.stdout)}",
            hint=_SETUP,
        )
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise NotAvailableError(
            f"The {WHEEL} that pip brought is not CleanRL's: its sha256 is {found}, not {WHEEL_SHA256}.",
            hint="See `pip config list` for the index it came from, or give a checkout with `--source PATH`.",
        )
    return wheel


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack the scripts of a wheel. Raises NotAvailableError where a member's path leads out of the folder."""
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            parts = member.split("/")
            if "\\" in member or ":" in member or member.startswith("/") or ".." in parts:
                raise NotAvailableError(f"{wheel} has a member that leads out of its folder: {member!r}.")
            if parts[0] in FOLDERS and member.endswith(".py"):
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(member))


def is_git_url(source: str) -> bool:
    """Tell whether this means a git repository, rather than a folder."""
    return source.startswith(("https://", "http://", "ssh://", "git://", "git@", "file://")) or source.endswith(".git")


def without_password(url: str) -> str:
    """Return a URL without its user and password: it is written into files and messages."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if not separator or scheme == "ssh" or "@" not in host:
        return url
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def clone(url: str, folder: Path) -> str:
    """Clone the newest commit of a repository into a new folder, and return the commit.

    Raises NotAvailableError where there is no git, or it fails.
    """
    name, output = without_password(url), ""
    for command in (
        ["git", "clone", "--quiet", "--depth", "1", "--", url, str(folder)],
        ["git", "-C", str(folder), "rev-parse", "HEAD"],
    ):
        try:
            done = _run(command, f"Cloning {name}")
        except FileNotFoundError as error:
            raise NotAvailableError(
                f"{name} cannot be cloned: there is no git on this machine.",
                hint="Install git, or give a checkout with `--source PATH`.",
            ) from error
        if done.returncode != 0:
            reason = last_line(done.stderr).replace(url, name)
            raise NotAvailableError(f"{name} cannot be cloned: {reason}", hint="Check the URL.")
        output = done.stdout.strip()
    return output


def _run(command: list[str], doing: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. Raises NotAvailableError where that takes too long, FileNotFoundError."""
    import subprocess

    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            # git's question for a password would wait forever behind a progress line.
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotAvailableError(f"{doing} did not end within {_TIMEOUT_S} s.", hint=_SETUP) from error


def last_line(output: str) -> str:
    """Return the last line that says something, of errors before others."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith(("ERROR", "FATAL"))]
    return (errors or lines or ["it said nothing."])[-1]
