"""Executors: the built-in one and one that a plugin brings keep what every executor promises, and a run goes through it."""

import re

import pytest

from rlctl import RunConfig, run
from rlctl.testing import ExecutorContract


class TestLocalExecutor(ExecutorContract):
    """The built-in executor."""

    executor = "local"


class TestExecutorOfAPlugin(ExecutorContract):
    """One that arrives through `rlctl_executors`."""

    executor = "toy"

    @pytest.fixture(autouse=True)
    def installed(self, site):
        """Its plugin is here."""
        site("toy_executor")


def test_a_run_is_placed_by_the_executor_that_it_names(site, tmp_path):
    """A run that names a plugin's executor is submitted to that, which cleans up behind it."""
    site("toy_worker", "toy_executor")
    outcome = run(RunConfig(worker="toy", executor="toy", callbacks={"progress": False}), runs_dir=tmp_path)
    notes = (outcome.directory / "logs" / "executor.txt").read_text().splitlines()
    assert notes == [f"submit {outcome.info.run_id}", "kill"]


def test_an_unknown_executor_is_refused_with_the_nearest_name(site, cli):
    """A run that names an executor that does not exist is not started, and the right name is offered."""
    site("toy_worker", "toy_executor")
    outcome = cli("run", "toy", "--executor", "toi")
    assert outcome.code == 3
    assert 'there is no executor "toi".' in outcome.err
    assert 'Did you mean "toy"?' in outcome.err
    assert {"local", "toy"} <= set(
        re.findall(r"\w+", cli("run", "toy", "--executor", "zzzzzz").err.partition("There is:")[2])
    )
