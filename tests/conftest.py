"""Fixtures of all tests: fake distributions on the path, and the command line as its users meet it.

No entry points are mocked: `site` puts committed distributions of tests/fake_site on PYTHONPATH, so that this process, the
`rlctl` that a test starts and the worker that this starts all find them as they would find installed ones.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from rlctl.testing.distributions import forget_plugins

FAKE_SITE = Path(__file__).parent / "fake_site"

# Ignored signals are inherited, where the tests run in the background of a script or under nohup; what a test starts would
# not hear of Ctrl-C or of a closed terminal.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


@frozen
class Outcome:
    """What a command did: its exit code, and all that it printed."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return what it printed as data; the test fails with all output if that is none."""
        try:
            return json.loads(self.out)
        except ValueError:
            pytest.fail(f"no JSON on stdout; exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}")


@pytest.fixture
def rlctl_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Give the test a home of its own for runs and caches, here and in what it starts; returns the variables."""
    own = {
        "RLCTL_RUNS_DIR": str(tmp_path / "runs"),
        "RLCTL_CACHE_DIR": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
        "COLUMNS": "120",
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return own


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, str]]]:
    """Return `site(*names)`: puts folders on this process's path and on PYTHONPATH; returns the environment.

    A name is a folder of tests/fake_site; a Path is put there as it is.
    """
    loaded = set(sys.modules)
    added: list[Path] = []

    def put(*names: str | Path) -> dict[str, str]:
        folders = [FAKE_SITE / name for name in names]
        for folder in folders:
            assert folder.is_dir(), f"there is no {folder}"
            monkeypatch.syspath_prepend(folder)
        added.extend(folders)
        before = os.environ.get("PYTHONPATH")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*map(str, folders), *([before] if before else [])]))
        forget_plugins()
        return dict(os.environ)

    yield put
    for name in set(sys.modules) - loaded:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if any(file.startswith(f"{folder}{os.sep}") for folder in added):
            del sys.modules[name]
    forget_plugins()


class Cli:
    """`rlctl` in a process of its own, as a user runs it; each test has its own current folder, runs and cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, *args: object, env: dict[str, str] | None = None, timeout: float = 120) -> Outcome:
        """Run a command to its end; `env` is added to the environment."""
        process = self.start(*args, env=env)
        out, err = process.communicate(timeout=timeout)
        return Outcome(process.returncode, out, err)

    def start(self, *args: object, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start a command and return its process; whatever is left of it dies with the test."""
        process = subprocess.Popen(
            [sys.executable, "-m", "rlctl", *map(str, args)],
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                "errors": "replace",
                "start_new_session": True,
                "cwd": self.folder,
                "env": {**os.environ, **(env or {})},
                **options,
            },
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """Kill what is left; a killed host's worker notices by itself that nobody waits for it."""
        for process in self._started:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture
def cli(tmp_path: Path, rlctl_env: dict[str, str]) -> Iterator[Cli]:
    """Return `cli(*args, env=None, timeout=120)`: runs `rlctl`, returns .code, .out, .err and .json(); and `cli.start`."""
    folder = tmp_path / "work"
    folder.mkdir()
    command = Cli(folder)
    yield command
    command.close()


@pytest.fixture
def fast_cli(rlctl_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Outcome]]:
    """Return `fast_cli(*args)`: the same command line within this process, for what needs no process of its own."""
    from rlctl import cli as command_line

    forget_plugins()

    def call(*args: object) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "argv", ["rlctl", *map(str, args)])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = command_line._run()
        return Outcome(int(code), out.getvalue(), err.getvalue())

    yield call
    forget_plugins()


@pytest.fixture(scope="session")
def fetched_cleanrl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache that CleanRL's scripts have been fetched into, once for the session, as `rlctl run` would."""
    cache = tmp_path_factory.mktemp("cleanrl-cache")
    command = [sys.executable, "-m", "rlctl", "workers", "setup", "cleanrl"]
    subprocess.run(command, env={**os.environ, "RLCTL_CACHE_DIR": str(cache)}, check=True, stdin=subprocess.DEVNULL)
    return cache


@pytest.fixture
def cleanrl_cache(fetched_cleanrl: Path, rlctl_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the test use the session's cache, so that its runs fetch nothing."""
    monkeypatch.setenv("RLCTL_CACHE_DIR", str(fetched_cleanrl))
    return fetched_cleanrl


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    """Return `wait_until(condition, timeout=30)`: waits until the condition holds and returns what it returned."""
    import time

    def wait(condition: Callable[[], Any], timeout: float = 30.0) -> Any:
        end = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < end, f"waited {timeout:g} s in vain for {condition}"
            time.sleep(0.02)

    return wait
