"""The contracts of rlctl.testing catch what they promise to catch: each flaw is put into a plugin, and its test fails."""

import os
import subprocess
import sys

import pytest

from rlctl.testing import fake_distribution

WORKERS = """
import json, random, subprocess, sys, time
from rlctl import AlgorithmDescriptor, Parameter, WorkerDescriptor, hookimpl

FLAWS = [
    "none", "unseeded", "seedless", "long", "short", "nameless", "silent", "backwards", "too_long", "deaf", "orphan", "looks",
    "absent", "bad_default", "raises", "marked",
]
warm = False


def warm_up():
    global warm
    warm = True


class Train:
    def __init__(self, flaw):
        self.flaw = flaw

    def train(self, run):
        flaw = self.flaw
        generator = random.Random({"unseeded": None, "seedless": 5}.get(flaw, run.seed))
        if flaw == "orphan":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
        if flaw == "looks" and run._dispatcher.wants("rlctl_metrics"):
            generator.random()
        if flaw == "marked" and warm:
            generator.random()
        step = 0
        while run.advance(step) or flaw == "deaf":
            if flaw == "raises":
                raise RuntimeError("flawed")
            if flaw == "short" and step == 50:
                return
            step += 7 if flaw == "long" else 1
            if step % 5 == 0 or flaw == "long":
                at = 1000 - step if flaw == "backwards" else step
                run.record_episode(generator.random(), 50 if flaw == "too_long" else 5, step=at)
                if flaw != "silent":
                    run.record_metrics({"nice_loss" if flaw == "nameless" else "train/loss": generator.random()})


def make(flaw):
    return lambda: Train(flaw)


for name in FLAWS:
    globals()[name] = make(name)


@hookimpl
def rlctl_workers():
    found = []
    for flaw in FLAWS:
        parameter = Parameter(name="x", kinds=("integer",), default=-1 if flaw == "bad_default" else 1, minimum=0)
        algorithm = AlgorithmDescriptor(
            name="only", action_spaces=(), observation_spaces=(), hyperparameters=(parameter,),
            default_env="toy", default_total_timesteps=100,
        )
        found.append(WorkerDescriptor(
            name=flaw, summary="flawed", algorithms=(algorithm,), env_families=("toy",),
            entry_point="nowhere:at_all" if flaw == "absent" else f"flawed:{flaw}",
            requires=("surely-not-installed",) if flaw == "absent" else (), warm_up="flawed:warm_up",
        ))
    return found
"""

CALLBACKS = """
import math
import numpy  # a heavy front
from rlctl import CallbackDescriptor, ExecutorDescriptor, Parameter, hookimpl
from rlctl.launch.local import LocalExecutor
import os, signal, subprocess


class Callback:
    def __init__(self, run, **options):
        pass


class Finite(Callback):
    @hookimpl
    def rlctl_metrics(self, metrics):
        for value in metrics.values.values():
            assert math.isfinite(value), value


class Typo(Callback):
    @hookimpl
    def rlctl_metric(self, metrics):
        pass


class Elsewhere(Callback):
    @hookimpl
    def rlctl_status_changed(self):
        pass


@hookimpl
def rlctl_callbacks():
    bad = Parameter(name="x", kinds=("integer",), default="one")
    return [
        CallbackDescriptor(name="finite", summary="", factory="seen:Finite"),
        CallbackDescriptor(name="typo", summary="", factory="seen:Typo"),
        CallbackDescriptor(name="elsewhere", summary="", factory="seen:Elsewhere"),
        CallbackDescriptor(name="nothing", summary="", factory="seen:Callback"),
        CallbackDescriptor(name="absent", summary="", factory="seen:Absent", options=(bad,), requires=("surely-not-installed",)),
    ]


class SameSession(LocalExecutor):
    def submit(self, task):
        log = task.log.open("wb")
        return subprocess.Popen(task.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, handle):
        handle.kill()
        handle.wait()


class Blocking(SameSession):
    def submit(self, task):
        handle = subprocess.Popen(task.argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
        return handle

    def poll(self, handle):
        return 0

    def cancel(self, handle, signal_number):
        handle.kill()


@hookimpl
def rlctl_executors():
    return [
        ExecutorDescriptor(name="same_session", summary="", factory="seen:SameSession"),
        ExecutorDescriptor(name="blocking", summary="", factory="seen:Blocking"),
    ]
"""

WORKER_FLAWS = {
    "unseeded": "test_the_same_seed_gives_the_same_episodes",
    "seedless": "test_another_seed_gives_other_episodes",
    "long": "test_it_respects_its_budget",
    "short": "test_it_respects_its_budget",
    "nameless": "test_its_metrics_bear_known_names",
    "silent": "test_its_metrics_bear_known_names",
    "backwards": "test_its_episodes_are_well_formed",
    "too_long": "test_its_episodes_fit_into_its_steps",
    "deaf": "test_it_stops_when_asked",
    "orphan": "test_it_leaves_no_process_behind",
    "looks": "test_observing_it_changes_nothing",
    "absent": ("test_its_entry_point_resolves", "test_what_it_requires_is_installed"),
    "bad_default": "test_its_defaults_are_valid",
    "raises": "test_it_leaves_every_file",
    "marked": "test_forked_from_a_warm_process_it_is_the_same",
}
CALLBACK_FLAWS = {
    "finite": (
        "test_listing_it_imports_nothing_heavy",
        "test_it_survives_what_is_not_finite",
        "test_it_lives_through_a_run_that_diverges",
    ),
    "typo": ("test_it_implements_hooks_of_its_process", "test_it_lives_through_a_run"),
    "elsewhere": "test_it_implements_hooks_of_its_process",
    "nothing": "test_it_implements_hooks_of_its_process",
    "absent": ("test_its_factory_resolves", "test_its_defaults_are_valid", "test_what_it_requires_is_installed"),
}
EXECUTOR_FLAWS = {
    "same_session": (
        "test_kill_reaches_grandchildren",
        "test_the_log_is_appended_to",
        "test_its_stdin_stays_open",
        "test_its_environment_is_added",
    ),
    "blocking": (
        "test_a_task_that_ends_has_its_exit_code",
        "test_a_task_that_runs_has_none",
        "test_output_goes_to_the_log",
        "test_cancel_sends_the_signal",
        "test_a_killed_task_has_ended_by_a_signal",
    ),
}


def classes(contract, attribute, flaws, extra=""):
    """Return test classes, one for each flaw."""
    lines = [f"class Test_{flaw}({contract}):\n    {attribute} = {flaw!r}\n{extra}" for flaw in flaws]
    return f"from rlctl.testing import {contract}\n\n" + "\n\n".join(lines)


def failing(tmp_path, source, flaws):
    """Run the promises that the flaws break in a pytest of its own; returns those that failed, and its output."""
    file = tmp_path / "test_flawed.py"
    file.write_text(source)
    wanted = [(flaw, test) for flaw, tests in flaws.items() for test in ([tests] if isinstance(tests, str) else tests)]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
        "-p",
        "no:cacheprovider",
        "-q",
        "-rA",
    ]
    answer = subprocess.run(
        [*command, *(f"{file}::Test_{flaw}::{test}" for flaw, test in wanted)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in answer.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    found = {tuple(line.split(" - ")[0].rpartition("::Test_")[2].split("::")) for line in lines}
    return wanted, found, answer.stdout + answer.stderr


def assert_all_fail(tmp_path, source, flaws):
    """Assert that every broken promise is found."""
    wanted, found, output = failing(tmp_path, source, flaws)
    assert [pair for pair in wanted if pair not in found] == [], output


@pytest.fixture
def flawed(site, tmp_path):
    """Install the flawed plugins."""
    site(
        fake_distribution(tmp_path / "workers", "flawed", {"flawed": "flawed"}, {"flawed": WORKERS}),
        fake_distribution(tmp_path / "callbacks", "seen", {"seen": "seen"}, {"seen": CALLBACKS}),
    )


WORKER_SETTINGS = "    total_timesteps = 100\n    stop_seconds = 1.5\n"


@pytest.mark.usefixtures("flawed")
def test_the_worker_contract_finds_each_flaw(tmp_path):
    """For each flaw of a worker, the promise that it breaks fails."""
    source = classes("WorkerContract", "worker", WORKER_FLAWS, WORKER_SETTINGS)
    assert_all_fail(tmp_path, source, WORKER_FLAWS)


@pytest.mark.usefixtures("flawed")
def test_the_worker_contract_passes_without_a_flaw(tmp_path):
    """The same worker without a flaw keeps all promises that the others break."""
    tests = {test for entry in WORKER_FLAWS.values() for test in ([entry] if isinstance(entry, str) else entry)}
    source = classes("WorkerContract", "worker", ["none"], WORKER_SETTINGS)
    _, found, output = failing(tmp_path, source, {"none": sorted(tests)})
    assert found == set(), output
    assert f"{len(tests)} passed" in output


@pytest.mark.usefixtures("flawed")
def test_the_callback_contract_finds_each_flaw(tmp_path):
    """For each flaw of a callback, the promise that it breaks fails."""
    assert_all_fail(tmp_path, classes("CallbackContract", "callback", CALLBACK_FLAWS), CALLBACK_FLAWS)


@pytest.mark.usefixtures("flawed")
def test_the_executor_contract_finds_each_flaw(tmp_path):
    """For each flaw of an executor, the promise that it breaks fails."""
    source = classes("ExecutorContract", "executor", EXECUTOR_FLAWS, "    seconds = 1.5\n")
    assert_all_fail(tmp_path, source, EXECUTOR_FLAWS)
