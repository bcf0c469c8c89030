"""Runs on Dask: a real scheduler with two workers on this machine, of which one after the other is lost."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from attrs import define, field

from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json, read_lines
from rlctl.testing import ExecutorContract

pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # of distributed's own sockets and loops, when a test kills their peers

STEPS = 600


@define
class Cluster:
    """A scheduler and its workers, each in a session of its own."""

    folder: Path
    processes: dict[str, subprocess.Popen] = field(factory=dict)
    address: str = ""

    def start(self, wait_until):
        """Start all of it, and wait until the workers are known."""
        where = self.folder / "scheduler.json"
        self._start("scheduler", "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                    "--scheduler-file", where)  # fmt: skip
        wait_until(lambda: read_json(where), 180)
        self.address = read_json(where)["address"]
        self.add("one")
        self.add("two", "--resources", "GPU=1")
        wait_until(lambda: all("Registered to" in self.log(name) for name in ("one", "two")), 180)
        return self

    def add(self, name, *options):
        """Start a worker with its nanny."""
        self._start(name, "dask_worker", self.address, "--name", name, "--nthreads", "1", "--no-dashboard",
                    "--death-timeout", "60", "--local-directory", self.folder / name, *options)  # fmt: skip

    def _start(self, name, module, *args):
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *map(str, args)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def log(self, name):
        """Return what a process has said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def worker_of(self, keeper):
        """Return (nanny's name, pid of the Dask worker process) of the one that has started this keeper."""
        worker = parent_of(keeper)
        pids = {process.pid: name for name, process in self.processes.items()}
        nanny = parent_of(worker)
        return pids[nanny], worker

    def close(self):
        """Kill what is left."""
        for process in self.processes.values():
            for pid in [*children_of(process.pid), process.pid]:
                kill(pid, signal.SIGKILL)
            process.wait()


def kill(pid, number):
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def stat_of(pid):
    """Return the fields of a process after its name: its state, its parent; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields


def parent_of(pid):
    """Return the parent of a live process."""
    return int(stat_of(pid)[1])


def children_of(pid):
    """Return the live children of a process."""
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [child for child in pids if (fields := stat_of(child)) and int(fields[1]) == pid]


def processes_with(*words):
    """Return the live processes that have all these words in their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if all(word.encode() in line for word in words) and stat_of(int(path.parent.name)):
            found.append(int(path.parent.name))
    return found


@pytest.fixture
def cluster(tmp_path, site, monkeypatch, wait_until):
    """Return a cluster; the leases of its runs last four seconds."""
    monkeypatch.setenv("RLCTL_LEASE_SECONDS", "4")
    site("toy_worker")
    (tmp_path / "dask").mkdir()
    found = Cluster(tmp_path / "dask")
    try:
        yield found.start(wait_until)
    finally:
        found.close()


@pytest.fixture(scope="class")
def cluster_of_class(tmp_path_factory, wait_until):
    """Return a cluster for a class of tests that leave it as it is."""
    found = Cluster(tmp_path_factory.mktemp("dask"))
    try:
        yield found.start(wait_until)
    finally:
        found.close()


@pytest.mark.slow
class TestDaskExecutor(ExecutorContract):
    """The executor keeps what every executor promises."""

    executor = "dask"
    _address = None

    @pytest.fixture(autouse=True)
    def connected(self, cluster_of_class, monkeypatch):
        """Point the executor to the cluster."""
        monkeypatch.setenv("RLCTL_LEASE_SECONDS", "4")
        type(self)._address = cluster_of_class.address

    @classmethod
    def make(cls):
        from rlctl_dask.executor import DaskExecutor

        return DaskExecutor(cls._address)


def arguments(run_id, steps, *more):
    """Return the command line of a run that saves each 100 steps."""
    return (
        "run", "toy", "-n", steps, "--seed", 5, "--run-id", run_id, "--set", "checkpoint.every_steps=100", *more
    )  # fmt: skip


SLOWLY = ("--set", "hyperparameters.step_seconds=0.01")


def on(cluster):
    """Return the options that place a run on the cluster."""
    return ("--executor", "dask", "--address", cluster.address)


def returns(directory):
    """Return the episodes without their times."""
    return [(line["episode"], line["step"], line["return"]) for line in read_lines(directory.episodes)]


def trainers(directory):
    """Return the live worker processes of a run."""
    return processes_with("rlctl.worker", str(directory.path))


def awake(pids):
    """Return those of the processes that are not stopped."""
    return [pid for pid in pids if (fields := stat_of(pid)) and fields[0] != "T"]


class Watch:
    """Counts the trainers of a run, again and again, until the test ends; stopped processes do not count."""

    def __init__(self, directory):
        self.most = 0
        self._directory, self._is_over = directory, threading.Event()
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self):
        while not self._is_over.wait(0.1):
            self.most = max(self.most, len(awake(trainers(self._directory))))

    def close(self):
        """Count no more."""
        self._is_over.set()
        self._thread.join()


@define
class Training:
    """A run on the cluster that has saved its 100th step: its client, and the processes of it."""

    directory: RunDirectory
    client: subprocess.Popen
    keeper: int
    trainer: int
    watch: Watch


@pytest.fixture
def begun(cluster, cli, tmp_path, wait_until):
    """Start a run of so many steps by the command line, and return it in the midst of its training."""
    watches = []

    def begin(steps):
        client = cli.start(*arguments("r", steps, *SLOWLY, *on(cluster)))
        directory = RunDirectory(tmp_path / "runs" / "r")
        watches.append(Watch(directory))
        bundles = CheckpointFolder(directory.path / "checkpoints")
        wait_until(bundles.all, 120)
        [keeper], [trainer] = processes_with("launch.keeper", str(directory.path)), trainers(directory)
        return Training(directory, client, keeper, trainer, watches[-1])

    yield begin
    for watch in watches:
        watch.close()


@pytest.fixture
def training(begun):
    """Return a run that has six seconds to go at least."""
    return begun(STEPS)


ENDLESS = 1_000_000


def assert_ended_well(training, cli, tmp_path, wait_until, steps=STEPS):
    """One trainer at a time, one result, which is that of a run let alone; resumed from what was saved; no process is left."""
    directory = training.directory
    wait_until(lambda: processes_with(str(directory.path)) == [], 30)
    training.watch.close()
    assert training.watch.most == 1
    resumes = read_json(directory.manifest)["resumes"]
    assert len(resumes) == 1, directory.log_tail()
    assert resumes[0]["checkpoint_step"] >= 100
    result = read_json(directory.result)
    assert (result["status"], result["step"]) == ("finished", steps)
    told = [line["type"] for line in read_lines(directory.events)]
    assert (told.count("training_ended"), told[-1]) == (1, "run_ended")
    assert cli(*arguments("alone", steps)).code == 0
    assert returns(directory) == returns(RunDirectory(tmp_path / "runs" / "alone"))


def test_a_run_goes_on_elsewhere_when_its_dask_worker_is_killed(training, cluster, cli, tmp_path, wait_until):
    """The keeper and the trainer end with the worker; Dask starts the run again, from its checkpoint."""
    _, worker = cluster.worker_of(training.keeper)
    kill(worker, signal.SIGKILL)
    wait_until(lambda: not stat_of(training.keeper) and not stat_of(training.trainer), 30)
    training.client.communicate(timeout=240)
    assert training.client.returncode == 0
    assert_ended_well(training, cli, tmp_path, wait_until)


@pytest.mark.slow
def test_a_run_goes_on_elsewhere_when_a_nanny_and_its_worker_are_killed(training, cluster, cli, tmp_path, wait_until):
    """One of two machines is gone for good."""
    name, worker = cluster.worker_of(training.keeper)
    kill(cluster.processes[name].pid, signal.SIGKILL)
    kill(worker, signal.SIGKILL)
    wait_until(lambda: not stat_of(training.keeper) and not stat_of(training.trainer), 30)
    training.client.communicate(timeout=240)
    assert training.client.returncode == 0
    assert_ended_well(training, cli, tmp_path, wait_until)


@pytest.mark.slow
def test_a_frozen_machine_is_given_up_and_trains_no_more_when_it_wakes(training, cluster, cli, tmp_path, wait_until):
    """Nanny, worker, keeper and trainer are stopped; the run goes on on the other machine, and the first one wakes meanwhile."""
    name, worker = cluster.worker_of(training.keeper)
    frozen = [cluster.processes[name].pid, worker, training.keeper, training.trainer]
    for pid in frozen:
        kill(pid, signal.SIGSTOP)
    wait_until(lambda: len(trainers(training.directory)) == 2, 120)
    kill(training.keeper, signal.SIGCONT)  # it finds that it was taken over, and kills what it has started
    wait_until(lambda: training.trainer not in trainers(training.directory), 30)
    for pid in frozen[:2]:
        kill(pid, signal.SIGCONT)
    training.client.communicate(timeout=240)
    assert training.client.returncode == 0
    assert_ended_well(training, cli, tmp_path, wait_until)


@pytest.mark.slow
def test_a_run_survives_its_client(training, cluster, cli, tmp_path, wait_until):
    """The client is killed: the run is still in the list as running, ends by itself, and has trained once."""
    training.client.kill()
    training.client.wait()
    assert state_of(training.directory) == "running"
    assert [(run["run_id"], run["state"]) for run in cli("runs", "list", "--json").json()] == [("r", "running")]
    wait_until(training.directory.result.exists, 120)
    wait_until(lambda: processes_with(str(training.directory.path)) == [], 60)
    assert read_json(training.directory.manifest).get("resumes") is None
    assert read_json(training.directory.result)["step"] == STEPS
    training.watch.close()
    assert training.watch.most == 1


@pytest.mark.slow
def test_a_run_ends_with_its_scheduler_and_can_be_gone_on_with(begun, cluster, cli, tmp_path, wait_until):
    """The workers leave and the run with them; its client says that it was cut off, and `rlctl resume` goes on here."""
    training = begun(ENDLESS)
    kill(cluster.processes["scheduler"].pid, signal.SIGKILL)
    wait_until(lambda: trainers(training.directory) == [], 120)
    _, said = training.client.communicate(timeout=240)
    assert training.client.returncode == 75, said
    assert read_json(training.directory.result)["status"] == "stopped"
    steps = CheckpointFolder(training.directory.path / "checkpoints").find("latest").step + 150
    resumed = cli("resume", "r", "--executor", "local", "--total-timesteps", steps)
    assert resumed.code == 0, resumed.err
    assert [line["type"] for line in read_lines(training.directory.events)].count("run_ended") == 2
    assert_ended_well(training, cli, tmp_path, wait_until, steps)


def gate(folder):
    """Return a script that says its pid in a file and waits until there is a file `open`; all in the folder of the command."""
    source = (
        "import os, pathlib, sys, time\n"
        "pathlib.Path(sys.argv[1] + '.pid').write_text(str(os.getpid()))\n"
        "while not pathlib.Path('open').exists(): time.sleep(0.05)\n"
    )
    (folder / "gate.py").write_text(source)


@pytest.mark.slow
def test_a_plan_is_placed_on_the_cluster_and_followed_again(cluster, cli, tmp_path, wait_until):
    """After kill -9 of the client its runs go on; `plan resume` follows them, and one that waited for a machine, to their end."""
    (cli.folder / "p.yaml").write_text(
        "defaults: {worker: toy, total_timesteps: 800, hyperparameters: {step_seconds: 0.01}}\n"
        "members: {a: {run: {seed: 1}}, b: {run: {seed: 2}}, c: {run: {seed: 3}}, d: {run: {seed: 4}, needs: [a, b, c]}}\n"
    )
    client = cli.start("plan", "run", "p.yaml", "-j", 3, *on(cluster))
    root = tmp_path / "runs"
    wait_until(lambda: len(processes_with("rlctl.worker", str(root))) == 2 and len(list(root.glob("p.*"))) == 3, 120)
    client.kill()
    client.wait()
    status = cli("plan", "status", "p", "--json").json()
    assert [member["state"] for member in status["members"]].count("running") >= 2
    resumed = cli("plan", "resume", "p", "-j", 3, *on(cluster), "--json", timeout=240)
    assert resumed.code == 0, resumed.err
    assert "was placed before, and is followed again" in resumed.err
    directories = [path for path in root.iterdir() if path.is_dir()]
    assert len(directories) == 4
    for path in directories:
        assert [line["type"] for line in read_lines(path / "events.jsonl")].count("training_started") == 1


def test_members_go_where_their_resources_are(cluster, cli, tmp_path, wait_until):
    """One worker of two has a GPU: of two members that need one, one runs, the other waits; what no worker has is refused."""
    gate(cli.folder)
    members = ", ".join(
        f"{name}: {{script: [{sys.executable}, gate.py, {name}], resources: {{gpus: {gpus}}}}}"
        for name, gpus in (("a", 1), ("b", 1), ("c", 0))
    )
    (cli.folder / "p.yaml").write_text(f"members: {{{members}}}\n")
    plan = cli.start("plan", "run", "p.yaml", "-j", 3, *on(cluster))
    wait_until(lambda: len(list(cli.folder.glob("*.pid"))) == 2, 120)
    where = {}
    for keeper in processes_with("launch.keeper", "p."):
        if children_of(keeper):  # the others wait for their turn
            where[command_of(keeper).rpartition("/p.")[2][0]] = cluster.worker_of(keeper)[0]
    assert where == {"c": "one", ("a" if "a" in where else "b"): "two"}
    (cli.folder / "open").touch()
    _, said = plan.communicate(timeout=120)
    assert plan.returncode == 0, said

    (cli.folder / "q.yaml").write_text("members: {a: {script: 'true', resources: {gpus: 2, memory_mb: 100}}}\n")
    refused = cli("plan", "run", "q.yaml", *on(cluster))
    assert refused.code == 2
    assert f"no worker of the Dask cluster at {cluster.address} has GPU=2 MEMORY=104857600" in refused.err
    assert not (tmp_path / "plans" / "q").exists()


def command_of(pid):
    """Return the command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")


@pytest.mark.slow
def test_a_stop_reaches_a_run_on_the_cluster(begun, cli, wait_until):
    """One SIGINT at the client stops the run at its next safe point, resumable; nothing of it is left."""
    training = begun(ENDLESS)
    training.client.send_signal(signal.SIGINT)
    training.client.communicate(timeout=120)
    assert training.client.returncode == 75
    assert read_json(training.directory.result)["status"] == "stopped"
    wait_until(lambda: processes_with(str(training.directory.path)) == [], 60)


@pytest.mark.slow
def test_without_an_address_a_cluster_is_made_for_the_command(site, cli, tmp_path, wait_until):
    """A LocalCluster of this machine runs it, and is gone with the command."""
    site("toy_worker")
    outcome = cli("run", "toy", "-n", 50, "--run-id", "r", "--executor", "dask", timeout=120)
    assert outcome.code == 0, outcome.err
    assert read_json(tmp_path / "runs" / "r" / "result.json")["step"] == 50
    wait_until(lambda: processes_with("launch.keeper", str(tmp_path)) == [], 30)


def test_a_scheduler_that_is_not_there_is_refused(site, cli, tmp_path):
    """Nothing is written, and the message says what does not answer."""
    site("toy_worker")
    outcome = cli("run", "toy", "--executor", "dask", "--address", "tcp://127.0.0.1:9")
    assert outcome.code == 3
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in outcome.err
    assert not (tmp_path / "runs").exists()


def test_an_address_for_an_executor_that_takes_none_is_refused(site, cli):
    """`local` has no engine that could be anywhere."""
    site("toy_worker")
    outcome = cli("run", "toy", "--address", "tcp://127.0.0.1:9")
    assert outcome.code == 2
    assert 'executor "local" takes no address.' in outcome.err
