"""An engine wants a machine back: the task is stopped at a safe point, and goes on when the engine begins it again."""

import signal
import subprocess

import pytest

from rlctl import RunConfig
from rlctl.config.layers import Layer
from rlctl.config.schema import to_tree
from rlctl.launch.detached import DetachedExecutor
from rlctl.launch.executor import Task
from rlctl.launch.prepare import prepare
from rlctl.launch.start import create_run, task_for
from rlctl.plugins import discover
from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json


class QueueingEngine(DetachedExecutor):
    """An engine that starts a command again by itself, when the test says so."""

    def __init__(self):
        self.commands, self.processes, self.dropped = [], [], []
        self.reason = None

    def start(self, name, argv, log, demand):
        self.commands.append((argv, log))
        self.start_again()
        return name

    def start_again(self):
        """Start the last command once more."""
        argv, log = self.commands[-1]
        with log.open("ab") as output:
            self.processes.append(subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
            ))  # fmt: skip

    def find(self, name):
        return None

    def given_up(self, job):
        return None

    def waits(self, job):
        return True

    def withdrawn(self, job):
        return self.reason

    def drop(self, job):
        self.dropped.append(job)


class EngineThatBegins(QueueingEngine):
    """An engine that begins its command at the moment in which it is asked how that fares."""

    attempts, lease = None, None

    def start(self, name, argv, log, demand):
        self.commands.append((argv, log))
        return name

    def withdrawn(self, job):
        self.lease = self.lease or self.attempts.claim(0, {"who": "its keeper"}, 1.5)

    def waits(self, job):
        return False


@pytest.fixture
def engine(monkeypatch, site):
    """Return an engine, with leases of a second and a half."""
    monkeypatch.setenv("RLCTL_LEASE_SECONDS", "1.5")
    site("toy_worker")
    found = QueueingEngine()
    yield found
    for process in found.processes:
        process.stdin.close()  # the keeper ends what it keeps
        process.wait(timeout=30)


@pytest.fixture
def training(engine, tmp_path, wait_until):
    """Return (directory, handle) of a run that has saved its 200th step."""
    config = RunConfig(
        worker="toy", total_timesteps=600, hyperparameters={"step_seconds": 0.005}, checkpoint={"every_steps": 100},
        callbacks={"progress": False}, seed=5,
    )  # fmt: skip
    prepared = prepare([Layer("test", to_tree(config))], discover(), lambda _: None)
    prepared.require_sound()
    directory = RunDirectory(create_run(prepared, tmp_path, "r").directory)
    handle = engine.submit(task_for(directory, prepared.effective()))
    wait_until(lambda: last_step(directory) >= 200, timeout=90)
    return directory, handle


def last_step(directory):
    """Return the step of the last checkpoint."""
    return max((bundle.step for bundle in CheckpointFolder(directory.path / "checkpoints").all()), default=0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_run_that_its_engine_stops_goes_on_when_it_is_started_again(engine, training, wait_until, number):
    """It has saved where it was, has no result meanwhile, and ends in the same placement."""
    directory, handle = training
    engine.processes[0].send_signal(number)
    assert engine.processes[0].wait(timeout=60) == 75
    assert not directory.result.exists()
    assert state_of(directory) == "lost", "nobody trains it, and it has not ended"
    assert engine.poll(handle) is None
    assert f"was stopped by {number.name} of the engine" in directory.log_tail()
    saved = last_step(directory)
    assert saved % 100 != 0, "it was saved because of the signal"
    engine.start_again()
    wait_until(lambda: engine.poll(handle) is not None, timeout=90)
    engine.kill(handle)
    assert engine.poll(handle) == 0
    assert [item["checkpoint_step"] for item in read_json(directory.manifest)["resumes"]] == [saved]
    assert len(engine.commands) == 1


def test_a_run_that_somebody_stops_does_not_go_on_for_the_engines_sake(engine, training, wait_until):
    """The user's request comes first: the run has ended, whatever the engine does then."""
    directory, handle = training
    engine.cancel(handle, signal.SIGTERM)
    engine.processes[0].send_signal(signal.SIGTERM)
    wait_until(lambda: engine.poll(handle) is not None, timeout=60)
    engine.kill(handle)
    assert engine.poll(handle) == 75
    assert read_json(directory.result)["status"] == "stopped"
    engine.start_again()
    assert engine.processes[1].wait(timeout=60) == 0
    assert read_json(directory.result)["status"] == "stopped"


def test_what_was_withdrawn_from_the_engine_is_not_placed_again(engine, training, wait_until):
    """Its log says why, and the engine is told to forget it."""
    directory, handle = training
    engine.processes[0].send_signal(signal.SIGTERM)
    engine.processes[0].wait(timeout=60)
    engine.reason = "its user has cancelled it"
    wait_until(lambda: engine.poll(handle) is not None, timeout=30)
    assert engine.poll(handle) == 75
    assert "its user has cancelled it; it is not placed again" in directory.log_tail()
    assert engine.dropped == [handle.job]
    assert len(engine.commands) == 1


def test_what_begins_while_its_follower_looks_is_not_lost(tmp_path):
    """The attempt that was claimed since was not looked at, so nobody knows it to be silent."""
    engine = EngineThatBegins()
    log = tmp_path / "log"
    handle = engine.submit(Task(run_id="t", argv=("true",), environment={}, log=log, directory=tmp_path))
    engine.attempts = handle.challenge.attempts
    assert engine.poll(handle) is None
    assert engine.attempts.newest() == 1
    assert (len(engine.commands), engine.dropped, log.exists()) == (1, [], False)


def test_a_keeper_that_waits_for_its_turn_leaves_at_once(engine, training):
    """It holds nothing, so there is nothing to save."""
    engine.start_again()
    engine.processes[1].terminate()
    assert engine.processes[1].wait(timeout=30) in (75, -signal.SIGTERM)  # the second: before it could hear
    assert engine.processes[0].poll() is None
