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
from rlctl.launch.executor import Demand, Task
from rlctl.launch.prepare import prepare
from rlctl.launch.start import create_run, task_for
from rlctl.plugins import discover
from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import link_json, read_json, read_lines, write_json
from rlctl.runs.lease import Attempts, Challenge
from rlctl.testing import ExecutorContract

SECONDS = 2.5

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


def test_who_was_taken_over_removes_no_bundle(tmp_path):
    """It was about to prune when it froze: what it then tries to remove stays, and so do the links."""
    attempts, path = Attempts(tmp_path / "attempts"), tmp_path / "checkpoints"
    old = CheckpointFolder(path, attempts.claim(0, {}, 1.0).stage)
    bundles = [old.commit(old.begin(step), {"step": step}) for step in (100, 200, 300)]
    old.link("best", bundles[1].path)
    attempts.claim(1, {}, 1.0)
    old.prune(1)
    old.link("best", None)
    assert [bundle.step for bundle in old.all()] == [100, 200, 300]
    assert old.find("best").step == 200


def test_a_lost_answer_of_the_file_system_does_not_lose_a_claim(tmp_path, monkeypatch):
    """NFS makes the link, its answer is lost, it is asked again and says that there is one: it is ours all the same."""
    link = os.link

    def link_and_fail(source, target):
        link(source, target)
        raise FileExistsError

    monkeypatch.setattr(os, "link", link_and_fail)
    assert link_json(tmp_path / "ours", {})
    (tmp_path / "theirs").touch()
    monkeypatch.setattr(os, "link", link)
    assert not link_json(tmp_path / "theirs", {})


# ---- an engine of processes ----------------------------------------------------------------------------------------


class ProcessEngine(DetachedExecutor):
    """The smallest engine: a process of this machine, in another folder. `processes` are all that it has started."""

    def __init__(self):
        self.processes = []
        self.jobs = {}
        self.is_reachable = True

    def start(self, name, argv, log, demand):
        if not self.is_reachable:
            raise ConnectionError("the engine is gone")
        with log.open("ab") as output:
            self.processes.append(subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True, cwd="/"
            ))  # fmt: skip
        self.jobs[name] = self.processes[-1]
        return self.processes[-1]

    def find(self, name):
        return self.jobs.get(name)

    def given_up(self, job):
        return None

    def lacking(self, demand):
        return "this engine has no GPU" if demand.gpus else None


@pytest.fixture
def engine(monkeypatch):
    """Return an engine, with leases of two and a half seconds."""
    monkeypatch.setenv("RLCTL_LEASE_SECONDS", str(SECONDS))
    found = ProcessEngine()
    yield found
    for process in found.processes:
        process.send_signal(signal.SIGCONT)
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
    alone, task = begin(tmp_path, "alone", step_seconds=0)
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
    alone, task = begin(tmp_path, "alone", step_seconds=0)
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
    engine._start(handle)
    second = engine.processes[-1]
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
    engine._start(handle)
    assert engine.processes[-1].wait(timeout=30) == 76
    assert engine.poll(handle) == 76


def test_a_frozen_machine_changes_no_record_of_a_run_that_was_resumed_by_hand(site, engine, tmp_path, wait_until):
    """What it still appends when it wakes goes to files that were replaced, also where the run goes on without an engine."""
    site("toy_worker")
    alone, task = begin(tmp_path, "alone", step_seconds=0)
    assert end_of(engine, engine.submit(task), wait_until) == 0
    directory, task = begin(tmp_path, "r")
    engine.submit(task)
    wait_for_step(directory, 200, wait_until)
    frozen, [trainer] = engine.processes[-1], trainers(directory)
    os.kill(frozen.pid, signal.SIGSTOP)
    os.kill(trainer, signal.SIGSTOP)
    wait_until(lambda: state_of(directory) == "lost", timeout=20)
    said = []
    resume("r", runs_dir=tmp_path, report=said.append)
    os.kill(trainer, signal.SIGCONT)
    wait_until(lambda: trainers(directory) == [], timeout=10)
    os.kill(frozen.pid, signal.SIGCONT)
    assert frozen.wait(timeout=10) == 76
    assert records(directory) == records(alone)
    assert any("waiting until the machine that it was on" in line for line in said)


def test_who_comes_later_follows_what_was_placed_before(site, engine, tmp_path, wait_until):
    """The process that has submitted it is gone: another one finds it in the engine, and nothing is started twice."""
    site("toy_worker")
    directory, task = begin(tmp_path, "r")
    engine.submit(task)
    handle = engine.attach(directory.path)
    assert end_of(engine, handle, wait_until) == 0
    assert len(engine.processes) == 1
    assert engine.attach(directory.path) is None  # it is over


def test_what_the_engine_has_forgotten_is_placed_again_by_who_comes_later(site, engine, tmp_path, wait_until):
    """Engine, submitter and machine were lost at once: the run goes on from its checkpoint."""
    site("toy_worker")
    directory, task = begin(tmp_path, "r")
    engine.submit(task)
    wait_for_step(directory, 200, wait_until)
    engine.processes[-1].kill()
    engine.jobs.clear()
    assert end_of(engine, engine.attach(directory.path), wait_until) == 0
    assert [item["checkpoint_step"] >= 200 for item in read_json(directory.manifest)["resumes"]] == [True]
    assert "the engine does not know it any more; it is placed again" in directory.log.read_text()


def test_a_run_whose_engine_is_gone_was_cut_off(site, engine, tmp_path, wait_until):
    """Nothing of its own has ended it: it is told as stopped, not as killed, and can be gone on with."""
    site("toy_worker")
    directory, task = begin(tmp_path, "r")
    handle = engine.submit(task)
    wait_for_step(directory, 100, wait_until)
    engine.is_reachable = False
    engine.processes[-1].kill()
    assert end_of(engine, handle, wait_until) == 75
    assert "it cannot be placed again: the engine is gone" in directory.log.read_text()


def test_what_an_engine_can_never_place_is_refused(engine, tmp_path):
    """It would wait for ever; nothing is written."""
    demand = Demand(gpus=1)
    task = Task(run_id="r", argv=("true",), environment={}, log=tmp_path / "log", directory=tmp_path, demand=demand)
    with pytest.raises(OSError, match="this engine has no GPU"):
        engine.submit(task)
    assert list(tmp_path.iterdir()) == []


def test_a_relative_folder_of_runs_is_that_of_who_submits(site, engine, tmp_path, wait_until, monkeypatch):
    """The engine's processes are in another folder; those that it keeps are in ours."""
    site("toy_worker")
    monkeypatch.chdir(tmp_path)
    _, task = begin(Path("runs"), "r", step_seconds=0)
    assert end_of(engine, engine.submit(task), wait_until) == 0
    assert read_json(tmp_path / "runs" / "r" / "result.json")["step"] == STEPS


SAYS_PID = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1], "a") as file: print(os.getpid(), file=file)
time.sleep(60)
"""


def test_a_script_whose_keeper_is_lost_is_gone_before_it_begins_again(engine, tmp_path, wait_until):
    """It gets no grace then: two of it at the same time could write the same files."""
    (tmp_path / "logs").mkdir()
    pids = tmp_path / "pids"
    argv = [sys.executable, "-c", SAYS_PID, str(pids)]
    write_json(tmp_path / "request.json", {"kind": "script", "argv": argv, "environment": {}, "grace": 30.0})
    task = Task(
        run_id="t", argv=(sys.executable, "-m", "rlctl.plans.task", str(tmp_path)), environment={},
        log=tmp_path / "logs" / "worker.log", directory=tmp_path,
    )  # fmt: skip
    handle = engine.submit(task)
    [first] = wait_until(lambda: pids.exists() and pids.read_text().split())
    engine.processes[-1].kill()
    engine._start(handle)
    wait_until(lambda: len(pids.read_text().split()) == 2)
    assert not Path(f"/proc/{first}").exists()


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
    wait_until(lambda: trainers(directory) == [], timeout=30)
    status = read_json(directory.status)
    write_json(directory.status, {**status, "state": "created"})  # as if the last status had not reached the disk
    assert end_of(engine, handle, wait_until) == 0
    episodes = [line["episode"] for line in read_lines(directory.episodes)]
    assert episodes == list(range(len(episodes)))
    assert read_json(directory.result)["episodes"] == len(episodes)
    assert (directory.path / "abandoned" / "001" / "episodes.jsonl").exists()


def test_a_run_that_another_machine_has_released_is_lost_in_lists(site, engine, tmp_path, wait_until):
    """Its last status says that it is running there, and nobody can look; but its lease has ended, or was taken over in vain."""
    site("toy_worker")
    directory, task = begin(tmp_path, "r")
    engine.submit(task)
    wait_for_step(directory, 100, wait_until)
    engine.processes[-1].stdin.close()  # as its machine's worker is stopped
    engine.processes[-1].wait(timeout=30)
    status = read_json(directory.status)
    write_json(directory.status, {**status, "host": "elsewhere"})
    assert (status["state"], state_of(directory)) == ("running", "lost")
    with pytest.raises(KeyboardInterrupt), Attempts(directory.path / "attempts").taken_over(print):
        raise KeyboardInterrupt
    assert state_of(directory) == "lost"


def test_a_run_whose_keeper_is_silent_is_lost_in_lists(site, engine, tmp_path, wait_until):
    """Its state is running while its lease is held, and lost when nobody has beaten for twice its duration."""
    site("toy_worker")
    directory, task = begin(tmp_path, "r", step_seconds=0.03)
    engine.submit(task)
    wait_for_step(directory, 100, wait_until)
    assert state_of(directory) == "running"
    os.kill(engine.processes[-1].pid, signal.SIGSTOP)
    wait_until(lambda: state_of(directory) == "lost", timeout=30)
    os.kill(engine.processes[-1].pid, signal.SIGCONT)
    wait_until(lambda: state_of(directory) == "running", timeout=30)
