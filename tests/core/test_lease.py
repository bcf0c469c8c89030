"""Leases: one of many claims an attempt, a silent holder is taken over, and one that wakes up can publish nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlctl import RunConfig, resume
from rlctl.config.layers import Layer
from rlctl.config.schema import to_tree
from rlctl.launch.detached import DetachedExecutor
from rlctl.launch.prepare import prepare
from rlctl.launch.start import create_run, task_for
from rlctl.plugins import discover
from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json, read_lines
from rlctl.runs.lease import Attempts, Challenge
from rlctl.testing import ExecutorContract

SECONDS = 1.5

# ---- claims --------------------------------------------------------------------------------------------------------

CLAIM = """
import sys, time
from pathlib import Path
from rlctl.runs.lease import Attempts
attempts = Attempts(Path(sys.argv[1]))
while time.time() < float(sys.argv[2]):
    pass
print(sum(attempts.claim(number, {}, 1.0) is not None for number in range(30)))
"""


def test_of_many_that_claim_an_attempt_one_gets_it(tmp_path):
    """Four processes that race for thirty attempts get thirty in all, never the same one twice."""
    begin = str(time.time() + 1.5)
    racers = [
        subprocess.Popen([sys.executable, "-c", CLAIM, str(tmp_path), begin], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    won = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    claimed = sorted(path.name for path in tmp_path.glob("attempt-*"))
    assert claimed == [f"attempt-{number:04d}" for number in range(1, 31)]
    assert sum(won) <= 30  # a winner that was overtaken at once says that it has not won
    assert len(list(tmp_path.glob("stage-*"))) <= 1


def test_an_attempt_may_be_claimed_when_its_holder_has_been_silent_for_the_whole_lease(tmp_path):
    """Each beat begins the wait anew, by the challenger's own clock."""
    attempts = Attempts(tmp_path)
    lease = attempts.claim(0, {}, 0.3)
    challenge = Challenge(attempts, 0.3)
    assert not challenge.may_claim()
    time.sleep(0.2)
    lease.beat()
    assert not challenge.may_claim()
    time.sleep(0.2)
    assert not challenge.may_claim()
    time.sleep(0.2)
    assert challenge.may_claim()


def test_an_attempt_that_was_released_may_be_claimed_at_once(tmp_path):
    """Nobody waits for the silence of a holder that has said its end."""
    attempts = Attempts(tmp_path)
    attempts.claim(0, {}, 60.0).release()
    assert Challenge(attempts, 60.0).may_claim()


# ---- the fence -----------------------------------------------------------------------------------------------------


def test_a_bundle_that_was_begun_before_the_takeover_cannot_be_committed_after_it(tmp_path):
    """The rename that would publish it finds nothing: there is no moment at which a stale checkpoint could slip through."""
    attempts, path = Attempts(tmp_path / "attempts"), tmp_path / "checkpoints"
    old = CheckpointFolder(path, attempts.claim(0, {}, 1.0).stage)
    first = old.begin(100)
    old.commit(first, {"step": 100})
    stale = old.begin(200)
    new = CheckpointFolder(path, attempts.claim(1, {}, 1.0).stage)
    new.commit(new.begin(150), {"step": 150})
    with pytest.raises(FileNotFoundError):
        old.commit(stale, {"step": 200})
    with pytest.raises(FileNotFoundError):
        old.begin(200)
    with pytest.raises(FileNotFoundError):
        old.link("latest", path / "step-000000000100")
    assert [bundle.step for bundle in new.all()] == [100, 150]
    assert new.find("latest").step == 150


# ---- an engine of processes ----------------------------------------------------------------------------------------


class ProcessEngine(DetachedExecutor):
    """The smallest engine: a process of this machine. `processes` are all that it has started."""

    def __init__(self):
        self.processes = []

    def start(self, argv, log):
        with log.open("ab") as output:
            self.processes.append(subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
            ))  # fmt: skip
        return self.processes[-1]

    def given_up(self, job):
        return None


@pytest.fixture
def engine(monkeypatch):
    """Return an engine, with leases of a second and a half."""
    monkeypatch.setenv("RLCTL_LEASE_SECONDS", str(SECONDS))
    found = ProcessEngine()
    yield found
    for process in found.processes:
        process.stdin.close()  # the keeper ends what it keeps
        process.wait(timeout=30)


class TestDetachedExecutor(ExecutorContract):
    """What every executor promises holds for whatever can start a process."""

    executor = "engine of this test"
    _engine = None

    @pytest.fixture(autouse=True)
    def one_engine(self, engine):
        """Give all tasks of a test to the same engine."""
        type(self)._engine = engine

    @classmethod
    def make(cls):
        return cls._engine


# ---- runs ----------------------------------------------------------------------------------------------------------

STEPS = 600


def begin(root, run_id, **hyperparameters):
    """Return the directory and the task of a run that saves each 100 steps."""
    config = RunConfig(
        worker="toy", total_timesteps=STEPS, hyperparameters={"step_seconds": 0.005, **hyperparameters},
        checkpoint={"every_steps": 100}, callbacks={"progress": False}, seed=5,
    )  # fmt: skip
    prepared = prepare([Layer("test", to_tree(config))], discover(), lambda _: None)
    prepared.require_sound()
    directory = RunDirectory(create_run(prepared, root, run_id).directory)
    return directory, task_for(directory, prepared.effective())


def records(directory):
    """Return the episodes without their times, and the last bundle's members."""
    episodes = [(line["episode"], line["step"], line["return"]) for line in read_lines(directory.episodes)]
    members = CheckpointFolder(directory.path / "checkpoints").find("latest").data["members"]
    return episodes, {name: member["sha256"] for name, member in members.items()}


def wait_for_step(directory, step, wait_until):
    """Wait until a checkpoint from this step on is there."""
    bundles = CheckpointFolder(directory.path / "checkpoints")
    wait_until(lambda: any(bundle.step >= step for bundle in bundles.all()), timeout=60)


def trainers(directory):
    """Return the live worker processes of a run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            state = (path.parent / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if b"rlctl.worker" in words and str(directory.path).encode() in words and state != "Z":
            found.append(int(path.parent.name))
    return found


def end_of(engine, handle, wait_until):
    """Wait for the end of a task, and return its exit code."""
    wait_until(lambda: engine.poll(handle) is not None, timeout=90)
    code = engine.poll(handle)
    engine.kill(handle)
    return code


def test_a_lost_machine_costs_what_was_not_saved_and_nothing_else(site, engine, tmp_path, wait_until):
    """The keeper is killed, its trainer ends with it; the run goes on from its checkpoint, to the records of one let alone."""
    site("toy_worker")
    alone, task = begin(tmp_path, "alone")
    assert end_of(engine, engine.submit(task), wait_until) == 0
    directory, task = begin(tmp_path, "r")
    handle = engine.submit(task)
    wait_for_step(directory, 200, wait_until)
    engine.processes[-1].kill()
    wait_until(lambda: trainers(directory) == [], timeout=10)  # no orphan: it ends with its keeper
    assert end_of(engine, handle, wait_until) == 0
    assert records(directory) == records(alone)
    resumes = read_json(directory.manifest)["resumes"]
    assert [item["checkpoint_step"] >= 200 for item in resumes] == [True]
    assert read_json(directory.result)["status"] == "finished"
    assert trainers(directory) == []


def test_a_frozen_machine_is_taken_over_and_writes_nothing_when_it_wakes(site, engine, tmp_path, wait_until):
    """Keeper and trainer are stopped, taken over, and woken in the midst of their successor's training: they end in silence."""
    site("toy_worker")
    alone, task = begin(tmp_path, "alone")
    assert end_of(engine, engine.submit(task), wait_until) == 0
    directory, task = begin(tmp_path, "r")
    handle = engine.submit(task)
    wait_for_step(directory, 200, wait_until)
    frozen, [trainer] = engine.processes[-1], trainers(directory)
    os.kill(frozen.pid, signal.SIGSTOP)
    os.kill(trainer, signal.SIGSTOP)
    wait_until(lambda: engine.poll(handle) or (directory.path / "attempts" / "attempt-0002").exists(), timeout=60)
    wait_until(lambda: len(trainers(directory)) == 2, timeout=60)  # the frozen one, and its successor
    os.kill(trainer, signal.SIGCONT)
    wait_until(lambda: trainer not in trainers(directory), timeout=10)
    os.kill(frozen.pid, signal.SIGCONT)
    assert frozen.wait(timeout=10) == 76
    assert end_of(engine, handle, wait_until) == 0
    assert records(directory) == records(alone)
    assert len(read_json(directory.manifest)["resumes"]) == 1


def test_what_an_engine_starts_twice_trains_once(site, engine, tmp_path, wait_until):
    """A second keeper of the same placement waits, and finds that the run has ended."""
    site("toy_worker")
    directory, task = begin(tmp_path, "r")
    handle = engine.submit(task)
    second = engine._start(handle.folder)
    seen = []
    while engine.poll(handle) is None:
        seen.append(len(trainers(directory)))
        time.sleep(0.05)
    engine.kill(handle)
    assert second.wait(timeout=30) == 0
    assert max(seen) == 1
    assert sorted(path.name for path in handle.folder.parent.glob("attempt-*")) == ["attempt-0001"]


def test_a_later_placement_takes_the_run_from_an_earlier_one(site, engine, tmp_path, wait_until):
    """Who submits a run again is the one that has it: what was placed before ends, and is told so."""
    site("toy_worker")
    directory, task = begin(tmp_path, "r")
    first = engine.submit(task)
    wait_for_step(directory, 100, wait_until)
    second = engine.submit(task)
    assert engine.processes[0].wait(timeout=30) == 76
    wait_until(lambda: engine.poll(first) == 76)
    assert end_of(engine, second, wait_until) == 0
    assert read_json(directory.result)["step"] == STEPS


def test_a_resume_by_hand_takes_the_run_from_every_engine(site, engine, tmp_path, wait_until):
    """What an engine still has in its queue finds that the run is another's, and ends."""
    site("toy_worker")
    directory, task = begin(tmp_path, "r")
    handle = engine.submit(task)
    wait_for_step(directory, 100, wait_until)
    engine.processes[-1].kill()
    wait_until(lambda: state_of(directory) == "lost", timeout=20)
    outcome = resume("r", runs_dir=tmp_path)
    assert (outcome.result.status, outcome.result.step) == ("finished", STEPS)
    assert engine._start(handle.folder).wait(timeout=30) == 76
    assert engine.poll(handle) == 76


def test_a_run_that_has_saved_nothing_begins_anew_elsewhere(site, engine, tmp_path, wait_until):
    """What it had recorded is kept aside, and its curve is one."""
    site("toy_worker")
    directory, task = begin(tmp_path, "r")
    config = read_json(directory.config)
    config["config"]["checkpoint"]["every_steps"] = None
    directory.config.write_text(json.dumps(config))
    handle = engine.submit(task)
    wait_until(lambda: len(list(read_lines(directory.episodes))) > 5, timeout=30)
    engine.processes[-1].kill()
    assert end_of(engine, handle, wait_until) == 0
    episodes = [line["episode"] for line in read_lines(directory.episodes)]
    assert episodes == list(range(len(episodes)))
    assert read_json(directory.result)["episodes"] == len(episodes)
    assert (directory.path / "abandoned" / "001" / "episodes.jsonl").exists()


def test_a_run_whose_keeper_is_silent_is_lost_in_lists(site, engine, tmp_path, wait_until):
    """Its state is running while its lease is held, and lost when nobody has beaten for twice its duration."""
    site("toy_worker")
    directory, task = begin(tmp_path, "r")
    engine.submit(task)
    wait_for_step(directory, 100, wait_until)
    assert state_of(directory) == "running"
    os.kill(engine.processes[-1].pid, signal.SIGSTOP)
    wait_until(lambda: state_of(directory) == "lost", timeout=10)
    os.kill(engine.processes[-1].pid, signal.SIGCONT)
    wait_until(lambda: state_of(directory) == "running", timeout=10)
