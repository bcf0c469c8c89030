"""Runs on Slurm: a real controller with two nodes on this machine, which take back and lose what they were given."""

import signal
import subprocess
import time

import pytest
from attrs import define

from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json, read_lines
from rlctl.testing import ExecutorContract

STEPS = 600
ALL_NODES = ("--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null")


@pytest.mark.slow
class TestSlurmExecutor(ExecutorContract):
    """The executor keeps what every executor promises."""

    executor = "slurm"
    seconds = 60.0

    @pytest.fixture(autouse=True)
    def connected(self, slurm):
        """Let Slurm's programs find the cluster."""


def arguments(run_id, *more, steps=STEPS):
    """Return the command line of a run of a few seconds that saves each 100 steps."""
    return (
        "run", "toy", "-n", steps, "--seed", 5, "--run-id", run_id, "--set", "hyperparameters.step_seconds=0.01",
        "--set", "checkpoint.every_steps=100", *more,
    )  # fmt: skip


def returns(directory):
    """Return the episodes without their times."""
    return [(line["episode"], line["step"], line["return"]) for line in read_lines(directory.episodes)]


@define
class Training:
    """A run on the cluster that has saved its 200th step, and its client."""

    directory: RunDirectory
    client: subprocess.Popen

    def placements(self):
        """Return how often it was handed to Slurm."""
        return sum(1 for _ in (self.directory.path / "attempts").glob("placement-*/"))

    def jobs(self):
        """Return the keepers' log: each job's words."""
        return "".join(path.read_text() for path in self.directory.path.glob("attempts/placement-*/keeper.log"))


@pytest.fixture
def training(slurm, cli, tmp_path, wait_until):
    """Start a run by the command line and return it in the midst of its training."""
    client = cli.start(*arguments("r", "--executor", "slurm"))
    directory = RunDirectory(tmp_path / "runs" / "r")
    wait_until(lambda: saved(directory) >= 200, 120)
    return Training(directory, client)


def saved(directory):
    """Return the step of the last checkpoint."""
    return max((bundle.step for bundle in CheckpointFolder(directory.path / "checkpoints").all()), default=0)


def finish(training, cli, tmp_path):
    """Wait for the client; the run went on from a checkpoint, and has one result and the episodes of one that was let alone."""
    _, err = training.client.communicate(timeout=240)
    assert training.client.returncode == 0, err + training.directory.log_tail() + training.jobs()
    assert_ended_well(training, cli, tmp_path)


def assert_ended_well(training, cli, tmp_path):
    """The run went on from a checkpoint, and has one result and the episodes of one that was let alone."""
    directory = training.directory
    resumes = read_json(directory.manifest)["resumes"]
    assert resumes and all(item["checkpoint_step"] >= 200 for item in resumes), directory.log_tail()
    result = read_json(directory.result)
    assert (result["status"], result["step"]) == ("finished", STEPS)
    assert cli(*arguments("alone")).code == 0
    assert returns(directory) == returns(RunDirectory(tmp_path / "runs" / "alone"))


# ---- what Slurm takes back -----------------------------------------------------------------------------------------


def test_a_preempted_run_goes_on_in_the_same_job(training, slurm, cli, tmp_path, wait_until):
    """Others' urgent job takes both nodes; the run saves, is put back into the queue, and goes on from what it has saved."""
    job = slurm.job()
    slurm.says("sbatch", *ALL_NODES, script="#!/bin/sh\nsleep 2\n")
    finish(training, cli, tmp_path)
    assert "SIGTERM of the engine" in training.directory.log.read_text()
    assert training.placements() == 1
    assert f"JobId={job['JobID']} " in slurm.says("scontrol", "show", "job", job["JobID"])
    assert "Restarts=1 " in slurm.says("scontrol", "show", "job", job["JobID"])


def test_a_run_whose_time_is_nearly_up_saves_and_goes_on_in_the_same_job(training, slurm, cli, tmp_path):
    """SIGUSR1 to the job's script, as Slurm sends it before the time limit: saved at once, requeued, and gone on with."""
    job = slurm.job()
    before = saved(training.directory)
    slurm.says("scancel", "--signal=USR1", "--batch", job["JobID"])
    finish(training, cli, tmp_path)
    assert "SIGUSR1 of the engine" in training.directory.log.read_text()
    [resume] = read_json(training.directory.manifest)["resumes"]
    assert resume["checkpoint_step"] >= before
    assert resume["checkpoint_step"] % 100 != 0, "it was saved because of the signal, not because it was due"
    assert "Restarts=1 " in slurm.says("scontrol", "show", "job", job["JobID"])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_is_longer_than_its_job_may_be_takes_several_turns(slurm, cli, tmp_path):
    """Slurm itself sends the signal, thirty seconds to a minute before the end of two minutes."""
    placed = ("--executor", "slurm", "--address", "time=2 signal=B:USR1@30")
    outcome = cli(*arguments("r", *placed, steps=9000), timeout=560)
    directory = RunDirectory(tmp_path / "runs" / "r")
    assert outcome.code == 0, outcome.err + directory.log_tail()
    assert "SIGUSR1 of the engine" in directory.log.read_text()
    assert read_json(directory.manifest)["resumes"][0]["checkpoint_step"] > 0
    assert read_json(directory.result)["step"] == 9000


# ---- what is cancelled ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_cancelled_job_is_stopped_and_not_placed_again(training, slurm, cli, tmp_path):
    """The run saves; its client ends with code 75 and a log that says why; `rlctl resume` goes on with it."""
    slurm.says("scancel", slurm.job()["JobID"])
    training.client.communicate(timeout=120)
    assert training.client.returncode == 75
    assert "was cancelled in Slurm; it is not placed again" in training.directory.log.read_text()
    assert read_json(training.directory.result)["status"] == "stopped"
    assert saved(training.directory) % 100 != 0
    resumed = cli("resume", "r", timeout=120)
    assert resumed.code == 0, resumed.err
    assert_ended_well(training, cli, tmp_path)


@pytest.mark.slow
def test_a_stop_reaches_a_run_on_the_cluster(training, slurm, wait_until):
    """One SIGINT at the client stops the run at its next safe point, resumable; its job has left the queue."""
    training.client.send_signal(signal.SIGINT)
    training.client.communicate(timeout=60)
    assert training.client.returncode == 75
    assert read_json(training.directory.result)["status"] == "stopped"
    wait_until(lambda: not slurm.says("squeue", "--noheader"), 30)


@pytest.mark.slow
def test_a_run_that_is_killed_in_the_queue_leaves_it(slurm, cli, tmp_path, wait_until):
    """Nobody finds its job later."""
    slurm.says("sbatch", *ALL_NODES, script="#!/bin/sh\nsleep 60\n")
    client = cli.start(*arguments("r", "--executor", "slurm"))
    wait_until(lambda: slurm.says("squeue", "--noheader", "--partition=main"), 90)
    for _ in range(2):  # the first one stops it, the second one kills it
        client.send_signal(signal.SIGINT)
        time.sleep(2)
    client.communicate(timeout=60)
    assert client.returncode == 130
    assert slurm.says("squeue", "--noheader", "--partition=main") == ""


# ---- what is lost --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_goes_on_elsewhere_when_its_node_is_lost(training, slurm, cli, tmp_path):
    """Before Slurm notices, the client does: it places the run on the other node, and the lost job is cancelled."""
    job = slurm.job()
    slurm.lose_node(job["NodeList"])
    try:
        finish(training, cli, tmp_path)
    finally:
        slurm.start_node(job["NodeList"])
    assert "the machine that it was on is silent; it is placed again" in training.directory.log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_goes_on_elsewhere_without_its_client_when_its_node_is_lost(training, slurm, cli, tmp_path, wait_until):
    """Slurm notices that the node is silent, and requeues the job by itself."""
    training.client.kill()
    training.client.wait()
    job = slurm.job()
    slurm.lose_node(job["NodeList"])
    try:
        wait_until(training.directory.result.exists, 240)
    finally:
        slurm.start_node(job["NodeList"])
    assert_ended_well(training, cli, tmp_path)
    assert training.placements() == 1


@pytest.mark.slow
def test_a_run_is_followed_again_by_attach(training, slurm, cli, tmp_path, wait_until):
    """It needs no options, and minds the job as the command did that was killed: it lets a requeued one begin at once."""
    training.client.kill()
    training.client.wait()
    job = slurm.job()["JobID"]
    slurm.says("scancel", "--signal=USR1", "--batch", job)
    wait_until(lambda: slurm.job()["RestartCnt"] == "1", 60)
    training.client = cli.start("attach", "r")
    began = time.monotonic()
    finish(training, cli, tmp_path)
    assert time.monotonic() - began < 100, "Slurm itself would have let it wait for two minutes"
    assert training.placements() == 1


@pytest.mark.slow
def test_a_plan_is_placed_on_the_cluster_and_found_again(slurm, cli, tmp_path, wait_until):
    """After kill -9 of the client its runs go on; `plan status` sees them, and `plan resume` waits for them and ends the plan."""
    (cli.folder / "p.yaml").write_text(
        "defaults: {worker: toy, total_timesteps: 1500, hyperparameters: {step_seconds: 0.01}}\n"
        "members: {a: {run: {seed: 1}}, b: {run: {seed: 2}}, c: {run: {seed: 3}, needs: [a, b]}}\n"
    )
    client = cli.start("plan", "run", "p.yaml", "--executor", "slurm")
    root = tmp_path / "runs"
    begun = ("p.a.", "p.b.")
    wait_until(lambda: sum(state_of(RunDirectory(path)) == "running" for path in root.glob("p.*")) == 2, 90)
    assert sorted(path.name[:4] for path in root.glob("p.*")) == sorted(begun)
    client.kill()
    client.wait()
    status = cli("plan", "status", "p", "--json").json()
    assert sorted(member["state"] for member in status["members"]) == ["pending", "running", "running"]
    resumed = cli("plan", "resume", "p", "--executor", "slurm", "--json", timeout=240)
    assert resumed.code == 0, resumed.err
    for path in root.glob("p.*"):
        assert [line["type"] for line in read_lines(path / "events.jsonl")].count("training_started") == 1


# ---- what is refused -----------------------------------------------------------------------------------------------


def test_what_slurm_does_not_take_is_refused_before_anything_is_written(slurm, cli, tmp_path):
    """Options that sbatch does not know, a partition that is not there: in its own words."""
    outcome = cli(*arguments("r", "--executor", "slurm", "--address", "partition=nowhere"))
    assert outcome.code == 2
    assert "invalid partition specified: nowhere" in outcome.err
    assert not (tmp_path / "runs").exists()


def test_a_member_that_no_node_can_have_is_refused_before_the_plan_starts(slurm, cli, tmp_path):
    """Slurm is asked for each demand; what it would take is not compared with this machine."""
    (cli.folder / "p.yaml").write_text(
        "defaults: {worker: toy, total_timesteps: 50}\n"
        "members: {a: {run: {seed: 1}, resources: {cpus: 99}}, b: {run: {seed: 2}, resources: {gpus: 1}}, c: {run: {}}}\n"
    )
    outcome = cli("plan", "run", "p.yaml", "--executor", "slurm")
    assert outcome.code == 2, outcome.err
    assert "Slurm refuses a job of 99 CPUs" in outcome.err
    assert "Slurm refuses a job of 1 CPUs, 1 GPUs" in outcome.err
    assert "members.c" not in outcome.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_job_that_slurm_would_let_wait_for_ever_is_given_up(slurm, cli, tmp_path):
    """A time above the partition's is accepted by Slurm, and never begun."""
    outcome = cli(*arguments("r", "--executor", "slurm", "--address", "time=2:00:00"), timeout=60)
    assert outcome.code == 75, outcome.err
    log = RunDirectory(tmp_path / "runs" / "r").log_tail()
    assert "Slurm will never start job" in log
    assert "PartitionTimeLimit" in log
    assert slurm.says("squeue", "--noheader") == ""


def test_demands_and_a_time_limit_become_the_jobs_options(slurm, tmp_path, monkeypatch, wait_until):
    """What a task needs is what its job has; the time has room for starting and saving."""
    from rlctl.launch.executor import Demand
    from rlctl_slurm.executor import SlurmExecutor

    executor = SlurmExecutor("partition=urgent")
    log = tmp_path / "100% mine.log"
    job = executor.start("named", ["sh", "-c", "echo said; sleep 30"], log, Demand(2, memory_mb=300, seconds=100.0))
    shown = slurm.says("scontrol", "show", "job", job.number)
    for said in (
        "JobName=named",
        "NumCPUs=2",
        "MinMemoryNode=300M",
        "TimeLimit=00:12:00",
        "Partition=urgent",
        "Requeue=1",
    ):
        assert said in shown
    wait_until(lambda: log.exists() and log.read_text() == "said\n")
    assert executor.find("named").number == job.number
    assert executor.find("other") is None
    executor.drop(job)
    wait_until(lambda: executor.withdrawn(job) == f"job {job.number} was cancelled in Slurm")
    assert executor.room() == 4
