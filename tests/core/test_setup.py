"""What rlctl and a worker's set-up say to each other: which algorithm is meant, which source is chosen, listed, removed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlctl.testing.distributions import fake_distribution

FRONT = """
import json
from pathlib import Path
from rlctl import AlgorithmDescriptor, ConfigError, Problem, WorkerDescriptor, hookimpl

def setup(*, source, name, algo, report, repair):
    if algo == "moon/walk":
        raise ConfigError([Problem("algo", "there is no moon.", "Look up.", unavailable=True)])
    report("setting up")
    return {"source": source, "name": name, "algo": algo, "repair": repair}

def remove(name):
    return f"removed {name}"

def worker(name, **more):
    algorithm = AlgorithmDescriptor(
        name="walk", family="walking", action_spaces=(), observation_spaces=(), default_env="CartPole-v1",
        default_total_timesteps=5,
    )
    return WorkerDescriptor(
        name=name, summary="", entry_point="fetcher_worker:Worker", algorithms=(algorithm,), setup="fetcher:setup", **more
    )

@hookimpl
def rlctl_workers():
    sources = [{"name": "", "origin": "here"}, {"name": "far", "origin": "there"}]
    return [worker("fetcher", sources=sources, remove_source="fetcher:remove"), worker("plain")]
"""
THIRD_PARTY = """
import os
from pathlib import Path
from rlctl import AlgorithmDescriptor, RlctlError, WorkerDescriptor, hookimpl

PLACE = Path(os.environ["RLCTL_CACHE_DIR"]) / "third-party.bin"

def fetch(*, source, name, algo, report, repair):
    print("a library prints what it likes")
    if not PLACE.exists() or (repair and PLACE.read_text() != "fetched"):
        report("fetching third-party.bin")
        PLACE.parent.mkdir(parents=True, exist_ok=True)
        PLACE.write_text("fetched")
    return {"file": str(PLACE), "bytes": PLACE.stat().st_size}

def refuse(**_):
    raise RlctlError("the server is closed.", hint="Try on Monday.")

def crash(**_):
    raise KeyError("surprise")

def worker(name, setup, **more):
    algorithm = AlgorithmDescriptor(
        name="walk", action_spaces=(), observation_spaces=(), default_env="x", default_total_timesteps=5
    )
    return WorkerDescriptor(
        name=name, summary="", entry_point="x:X", algorithms=(algorithm,), env_families=("x",),
        setup=setup and f"third_party:{setup}", **more
    )

@hookimpl
def rlctl_workers():
    return [
        worker("fetches", "fetch"), worker("needless", None), worker("refuses", "refuse"), worker("crashes", "crash"),
        worker("lacks", "crash", requires=("no-such-package",)),
    ]
"""
BACK = """
class Worker:
    def train(self, run):
        while run.advance(run.step + 1):
            pass
"""


@pytest.fixture
def fetcher(site: Any, tmp_path: Path) -> None:
    """Install the workers `fetcher`, which has named sources, and `plain`, which has none."""
    modules = {"fetcher": FRONT, "fetcher_worker": BACK}
    site(fake_distribution(tmp_path / "fetcher", "fetcher", {"fetcher": "fetcher"}, modules))


@pytest.mark.usefixtures("fetcher")
def test_a_set_up_is_told_what_was_asked_for(fast_cli: Callable[..., Any]) -> None:
    """By hand it gets the source and its name, and is to repair."""
    answer = fast_cli("workers", "setup", "fetcher", "--source", "s", "--name", "n", "--json")
    assert json.loads(answer.out) == {"source": "s", "name": "n", "algo": None, "repair": True}
    assert "setting up" in answer.err


@pytest.mark.usefixtures("fetcher")
def test_before_a_run_it_is_told_the_algorithm_and_can_refuse_it(fast_cli: Callable[..., Any]) -> None:
    """Its problem is the only one about the algorithm, with the origin, beside all others."""
    answer = fast_cli("run", "fetcher/moon/walk", "--seed", "x", "--dry-run", "--json")
    problems = {problem["path"]: problem for problem in json.loads(answer.out)["problems"]}
    assert set(problems) == {"algo", "seed"}
    assert (problems["algo"]["message"], problems["algo"]["origin"]) == ("there is no moon.", "command line")
    assert fast_cli("run", "fetcher/moon/walk", "--dry-run").code == 3
    unknown = fast_cli("run", "fetcher/wlak", "--dry-run")
    assert unknown.code == 2 and 'Did you mean "walk"?' in unknown.err


@pytest.mark.usefixtures("fetcher")
def test_sources_are_listed_and_removed_by_name(fast_cli: Callable[..., Any]) -> None:
    """The list is what the worker declares; its function is called with the name."""
    listed = fast_cli("workers", "setup", "fetcher", "--list")
    assert [line.split() for line in listed.out.splitlines()] == [["NAME", "ORIGIN"], ["-", "here"], ["far", "there"]]
    assert json.loads(fast_cli("workers", "setup", "fetcher", "--list", "--json").out)[1]["name"] == "far"
    assert "removed far" in fast_cli("workers", "setup", "fetcher", "--remove", "far").err
    shown = fast_cli("workers", "show", "fetcher").out
    assert "far there" in shown and "walking" in shown
    assert "Nothing yet" in fast_cli("workers", "setup", "plain", "--list").err


@pytest.mark.usefixtures("fetcher")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plain", "--remove", "far"), 'worker "plain" has no sources with names'),
        (("fetcher", "--list", "--source", "s"), "each go alone"),
        (("fetcher", "--remove", "far", "--name", "n"), "each go alone"),
    ],
)
def test_what_cannot_be_meant_is_refused(fast_cli: Callable[..., Any], words: tuple[str, ...], said: str) -> None:
    """Nothing is set up or removed then."""
    answer = fast_cli("workers", "setup", *words)
    assert (answer.code, answer.out, said in answer.err) == (2, "", True)
    assert "setting up" not in answer.err and "removed" not in answer.err


@pytest.mark.usefixtures("fetcher")
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1"])
def test_an_algorithm_that_declares_no_spaces_takes_any_environment(fast_cli: Callable[..., Any], env: str) -> None:
    """What says nothing refuses nothing."""
    assert fast_cli("run", "fetcher/walk", env, "--dry-run").code == 0


# ---- a third party's ---------------------------------------------------------------------------------------------


@pytest.fixture
def third_party(site: Any, rlctl_env: dict[str, str], tmp_path: Path) -> Path:
    """Install workers of a stranger, one of which fetches a file; returns that."""
    distribution = fake_distribution(
        tmp_path / "third", "third", {"third": "third_party"}, {"third_party": THIRD_PARTY}
    )
    site(distribution)
    return Path(rlctl_env["RLCTL_CACHE_DIR"]) / "third-party.bin"


def test_a_set_up_says_what_it_does_and_does_it_once(third_party: Path, fast_cli: Callable[..., Any]) -> None:
    """The second time there is nothing to do; what is damaged is mended; what a library prints is no data."""
    first = fast_cli("workers", "setup", "fetches", "--json")
    assert json.loads(first.out) == {"file": str(third_party), "bytes": 7}
    assert "rlctl: fetching third-party.bin" in first.err and "a library prints" in first.err
    again = fast_cli("workers", "setup", "fetches", "--json")
    assert json.loads(again.out) == json.loads(first.out)
    assert "fetching" not in again.err
    third_party.write_text("damaged")
    assert "fetching" in fast_cli("workers", "setup", "fetches").err
    assert third_party.read_text() == "fetched"


def test_without_a_name_all_workers_are_set_up(third_party: Path, fast_cli: Callable[..., Any]) -> None:
    """One that fails, or cannot run here, costs the others nothing; the code says that one has failed."""
    answer = fast_cli("workers", "setup", "--json")
    status = {row["worker"]: row["status"] for row in json.loads(answer.out)}
    assert answer.code == 3
    assert {name: status[name] for name in ("fetches", "needless", "refuses", "crashes", "lacks")} == {
        "fetches": "ready",
        "needless": "nothing to set up",
        "refuses": "failed: the server is closed. Try on Monday.",
        "crashes": "failed: the set-up of worker \"crashes\" failed: KeyError: 'surprise'",
        "lacks": "left out: no-such-package is not installed",
    }
    assert "fetches: fetching" in answer.err and third_party.exists()
    shown = fast_cli("workers", "setup")
    assert shown.code == 3 and "fetches" in shown.out
    refused = fast_cli("workers", "setup", "--list")
    assert (refused.code, "for one worker" in refused.err) == (2, True)


@pytest.mark.usefixtures("third_party")
def test_what_a_set_up_raises_is_a_message(fast_cli: Callable[..., Any]) -> None:
    """Of the command, and before a run, beside what else is wrong with that; a worker without one has nothing as data."""
    answer = fast_cli("workers", "setup", "crashes")
    assert (answer.code, answer.err) == (3, "rlctl: the set-up of worker \"crashes\" failed: KeyError: 'surprise'\n")
    refused = fast_cli("run", "crashes", "--seed", "x")
    assert refused.code == 2 and "KeyError: 'surprise'" in refused.err and "seed:" in refused.err
    assert fast_cli("workers", "setup", "needless", "--json").out == "{}\n"
