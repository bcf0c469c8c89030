"""A package from outside of the repository: installed by pip it is there and trains, uninstalled it is gone."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "third_party_worker"
RANDOM_PLAY = 22
"""Mean return of uniformly random actions in CartPole-v1, rounded up."""

Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def python(tmp_path: Path, rlctl_env: dict[str, str]) -> Python:
    """Return `python(*args)`: an interpreter in a new environment that also sees the packages of this one."""
    pytest.importorskip("gymnasium")
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=importlib.util.find_spec("pip") is None, symlinks=True)
    here = sysconfig.get_paths()["purelib"]
    (own,) = folder.glob("lib/python*/site-packages")
    # `--system-site-packages` would show the base interpreter's packages, not those of the environment of this test.
    # addsitedir also reads the .pth files there, by which editable installations are found.
    (own / "of_the_tests.pth").write_text(f"import site; site.addsitedir({here!r})\n", encoding="utf-8")

    def run(*args: object) -> subprocess.CompletedProcess[str]:
        command = [str(folder / "bin" / "python"), *map(str, args)]
        return subprocess.run(
            command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200, check=False
        )

    return run


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed; the test fails with all output if it failed."""
    assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def rlctl(python: Python, *args: object) -> Any:
    """Return what a command of rlctl prints as data."""
    return json.loads(succeeded(python("-m", "rlctl", *args, "--json")))


def names(python: Python) -> set[str]:
    """Return the names of the workers that are listed."""
    return {row["name"] for row in rlctl(python, "workers", "list")}


def test_an_installed_package_trains_and_is_evaluated_and_an_uninstalled_one_is_gone(python: Python) -> None:
    """The steps are one test, as installing takes longer than all the rest."""
    assert "crossentropy" not in names(python)
    # hatchling is here where the development tools are; elsewhere pip fetches it.
    offline = ["--no-build-isolation", "--no-index"] if importlib.util.find_spec("hatchling") else []
    succeeded(python("-m", "pip", "install", "--no-deps", "--disable-pip-version-check", *offline, EXAMPLE))

    assert "crossentropy" in names(python)
    shown = rlctl(python, "workers", "show", "crossentropy", "--algo", "cem")
    assert (shown["distribution"], shown["version"], shown["available"]) == ("rlctl-crossentropy", "1.0.0", True)
    assert [item["name"] for item in shown["algorithms"][0]["hyperparameters"]] == ["population", "elite", "deviation"]

    result = rlctl(python, "run", "crossentropy", "--seed", 1)
    assert (result["status"], result["step"]) == ("finished", 40_000)
    assert result["return_mean"] > 5 * RANDOM_PLAY
    file = Path(result["directory"]) / "backend" / "policy.npy"

    evaluated = rlctl(python, "evaluate", "--episodes", 3)
    of_file = rlctl(python, "evaluate", file, "--worker", "crossentropy", "--env", "CartPole-v1", "--episodes", 3)
    assert evaluated["return_mean"] > 5 * RANDOM_PLAY
    assert of_file["evaluations"][0]["returns"] == evaluated["evaluations"][0]["returns"]

    begun = rlctl(python, "run", "crossentropy", "--init-from", "@latest", "--total-timesteps", 2000)
    assert begun["return_mean"] > 5 * RANDOM_PLAY

    goes_on = python("-m", "rlctl", "resume", "--total-timesteps", 4000)
    assert goes_on.returncode == 2
    assert goes_on.stderr == 'rlctl: worker "crossentropy" cannot resume a run (resume: weights).\n'

    refused = python("-m", "rlctl", "run", "crossentropy", "--set", "hyperparameters.elite=30")
    assert refused.returncode == 2
    assert (
        refused.stderr
        == "rlctl: hyperparameters.elite: must be at most population = 20, got 30 (from --set hyperparameters.elite)\n"
    )

    succeeded(python("-m", "pip", "uninstall", "--yes", "--disable-pip-version-check", "rlctl-crossentropy"))
    assert "crossentropy" not in names(python)


def test_installing_it_leaves_nothing_in_its_folder() -> None:
    """Building a package must not litter the checkout."""
    left = {path.name for path in EXAMPLE.rglob("*") if path.name in ("build", "dist") or path.suffix == ".egg-info"}
    assert left == set()


@pytest.mark.slow
def test_its_own_tests_pass_where_it_is_installed(python: Python) -> None:
    """The contract that the page on writing a plugin shows is kept, run as the page says."""
    offline = ["--no-build-isolation", "--no-index"] if importlib.util.find_spec("hatchling") else []
    succeeded(python("-m", "pip", "install", "--no-deps", "--disable-pip-version-check", *offline, EXAMPLE))
    succeeded(python("-m", "pytest", "-q", "-p", "no:cacheprovider", EXAMPLE / "tests"))
