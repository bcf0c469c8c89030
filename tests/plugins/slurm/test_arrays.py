"""Members that are handed over together are one array of Slurm, of which each task has a fate of its own."""

import subprocess

import pytest
from attrs import define

from rlctl.launch.executor import Demand
from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_json, read_lines
from rlctl_slurm.executor import SlurmExecutor

pytestmark = pytest.mark.slow


@define
class Planned:
    """A plan whose members are on the cluster, and its client. `runs` are their directories by seed."""

    client: subprocess.Popen
    runs: dict[int, RunDirectory]

    def step(self, seed):
        """Return the step of a run's last checkpoint."""
        bundles = CheckpointFolder(self.runs[seed].path / "checkpoints").all()
        return max((bundle.step for bundle in bundles), default=0)

    def returns(self, seed):
        """Return a run's episodes without their times."""
        return [(line["episode"], line["step"], line["return"]) for line in read_lines(self.runs[seed].episodes)]


def write_plan(cli, seeds, steps):
    (cli.folder / "p.yaml").write_text(
        f"defaults: {{worker: toy, total_timesteps: {steps}, hyperparameters: {{step_seconds: 0.01}},"
        f" checkpoint: {{every_steps: 100}}}}\n"
        f"members: {{a: {{run: {{}}, matrix: {{seed: {list(seeds)}}}}}}}\n"
    )


def runs_of(root, seeds):
    return {seed: RunDirectory(next(root.glob(f"p.a,seed={seed}.*"))) for seed in seeds}


@pytest.fixture
def planned(slurm, cli, tmp_path, wait_until):
    """Return a function that starts a plan with these seeds, of which the first four have a node, and waits until these train."""

    def start(seeds, steps=1500):
        write_plan(cli, seeds, steps)
        client = cli.start("plan", "run", "p.yaml", "-j", len(seeds), "--executor", "slurm")
        root = tmp_path / "runs"
        wait_until(lambda: len(list(root.glob("p.a*"))) == len(seeds), 120)
        found = Planned(client, runs_of(root, seeds))
        wait_until(lambda: all(found.step(seed) >= 100 for seed in seeds[:4]), 120)
        return found

    return start


def tasks(slurm):
    """Return what is in the queue: its number and how often it was started again."""
    lines = slurm.says("squeue", "--array", "--noheader", "--Format=JobArrayID:|,RestartCnt:|").splitlines()
    return {line.split("|")[0]: int(line.split("|")[1]) for line in lines}


def jobs_ever(slurm):
    """Return the numbers of all jobs that Slurm still knows."""
    return {line.split("JobId=")[1].split()[0] for line in slurm.says("scontrol", "-o", "show", "job").splitlines()}


def end_of(planned):
    """Return the client's exit code and what it has said."""
    _, err = planned.client.communicate(timeout=300)
    return planned.client.returncode, err


def test_a_plan_is_one_array_and_has_the_results_of_one_that_is_local(planned, slurm, cli, tmp_path):
    """Its tasks are four, of one number; their episodes are the same to the last one, and each has its own keeper's log."""
    plan = planned([1, 2, 3, 4], steps=300)
    numbers = {number.partition("_")[0] for number in tasks(slurm)}
    assert len(numbers) == 1
    code, err = end_of(plan)
    assert code == 0, err
    for directory in plan.runs.values():
        assert read_json(directory.result)["status"] == "finished"
        assert len(list(directory.path.glob("attempts/placement-*/keeper.log"))) == 1
    local = cli("plan", "run", "p.yaml", "--runs-dir", tmp_path / "here" / "runs", timeout=200)
    assert local.code == 0, local.err
    here = Planned(plan.client, runs_of(tmp_path / "here" / "runs", plan.runs))
    for seed in plan.runs:
        assert plan.returns(seed) == here.returns(seed) != []


def test_tasks_that_are_cancelled_are_stopped_and_the_others_go_on(planned, slurm):
    """One that runs saves first; one that waits is gone from Slurm without a trace, and is not placed again either."""
    plan = planned([1, 2, 3, 4, 5])
    array = next(iter(tasks(slurm))).partition("_")[0]
    assert set(tasks(slurm)) == {f"{array}_{index}" for index in range(5)}
    slurm.says("scancel", f"{array}_4", f"{array}_1")
    code, err = end_of(plan)
    assert code == 75, err
    states = {seed: read_json(directory.result)["status"] for seed, directory in plan.runs.items()}
    assert states == {1: "finished", 2: "stopped", 3: "finished", 4: "finished", 5: "stopped"}
    assert plan.step(2) % 100 != 0
    for seed, index in ((2, 1), (5, 4)):
        said = f"job {array}_{index} was cancelled in Slurm; it is not placed again"
        assert said in plan.runs[seed].log.read_text()


def test_the_last_task_is_requeued_by_itself_and_goes_on(planned, slurm):
    """Slurm calls the last task, and that alone, by the array's own number, too; a requeue by that would reach all of them."""
    plan = planned([1, 2, 3, 4])
    array = next(iter(tasks(slurm))).partition("_")[0]
    slurm.says("scancel", "--signal=USR1", "--batch", f"{array}_3")
    code, err = end_of(plan)
    assert code == 0, err + plan.runs[4].log_tail()
    shown = slurm.says("scontrol", "--oneliner", "show", "job", array).splitlines()
    restarts = {line.split("ArrayTaskId=")[1].split()[0]: line.split("Restarts=")[1].split()[0] for line in shown}
    assert restarts == {"0": "0", "1": "0", "2": "0", "3": "1"}
    assert "SIGUSR1 of the engine" in plan.runs[4].log.read_text()
    [resume] = read_json(plan.runs[4].manifest)["resumes"]
    assert resume["checkpoint_step"] % 100 != 0
    assert all(not read_json(plan.runs[seed].manifest).get("resumes") for seed in (1, 2, 3))


def test_the_tasks_are_found_again_by_the_next_client(planned, slurm, cli):
    """After kill -9 of the client, `plan resume` follows each task of the array, and submits nothing."""
    plan = planned([1, 2, 3, 4])
    plan.client.kill()
    plan.client.wait()
    before = jobs_ever(slurm)
    resumed = cli.start("plan", "resume", "p", "-j", 4, "--executor", "slurm")
    _, err = resumed.communicate(timeout=200)
    assert resumed.returncode == 0, err
    assert err.count("was placed before, and is followed again") == 4
    assert jobs_ever(slurm) == before
    for directory in plan.runs.values():
        assert [line["type"] for line in read_lines(directory.events)].count("training_started") == 1


def test_an_array_is_no_larger_than_slurm_takes(slurm, tmp_path):
    """Of eight, five and three; the cluster's MaxArraySize is 5."""
    executor = SlurmExecutor()
    assert executor.at_once() == 5
    commands = [(("sh", "-c", f"echo {index}"), tmp_path / f"{index} log") for index in range(5)]
    jobs = executor.start_several("placements-x", commands, Demand())
    assert [executor.find(f"placements-x_{index}").number for index in range(5)] == [job.number for job in jobs]
    assert executor.find("placements-x_5") is None
    with pytest.raises(OSError, match="Invalid job array specification"):
        executor.start_several("placements-y", [commands[0]] * 6, Demand())
