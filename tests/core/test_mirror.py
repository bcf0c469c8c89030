"""`save_uri`: a run is mirrored while it trains, whole versions only; `rlctl runs pull` brings it back, and it goes on exactly."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import FAKE_SITE
from tests.core.toy_runs import ToyRuns

from rlctl.errors import RlctlError, UsageError
from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json
from rlctl.runs.mirror import Mirror
from rlctl.runs.pull import pull
from rlctl.runs.remote import Remote, open_remote
from rlctl.verify import differences

fsspec = pytest.importorskip("fsspec")

Cli = Callable[..., Any]
Wait = Callable[..., Any]
OFTEN = ("--set", "checkpoint.every_steps=50")
SLOW = ("--set", "hyperparameters.step_seconds=0.003")


class Runs(ToyRuns):
    """The test's runs, and the store beside them."""

    @property
    def store(self) -> Path:
        """The folder that runs are mirrored to."""
        return self.root.parent / "store"

    @property
    def uri(self) -> str:
        """Its URI."""
        return f"file://{self.store}"

    def train(self, run_id: str, *args: object) -> Any:
        """Train the toy for 400 steps, or as the arguments say."""
        return self.cli("run", "toy", "--run-id", run_id, "-n", "400", *OFTEN, *args, timeout=300)

    def start(self, run_id: str, *args: object) -> subprocess.Popen[str]:
        """Start the same, slowly, mirrored."""
        words = ("run", "toy", "--run-id", run_id, "-n", "400", "--save-uri", self.uri, *OFTEN, *SLOW, *args)
        return self.cli.start(*words)  # type: ignore[attr-defined,no-any-return]

    def step_in_store(self, run_id: str) -> int:
        """Return the step of the last checkpoint that the store has."""
        index = open_remote(f"{self.uri}/{run_id}").read_index()
        return (index or {}).get("step") or 0


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two runs: `stopped`, half of a training that was not mirrored, and `whole`, the same at its end."""
    folder = tmp_path_factory.mktemp("trained")
    path = os.pathsep.join([str(FAKE_SITE / "toy_worker"), *filter(None, [os.environ.get("PYTHONPATH")])])
    train = ["run", "toy", "--run-id", "run", "-n", "400", *OFTEN, "--stop-at", "200"]
    for words, name, code in ((train, "stopped", 75), (["resume", "run"], "whole", 0)):
        done = subprocess.run(
            [sys.executable, "-m", "rlctl", *words, "--runs-dir", "runs"],
            cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        shutil.copytree(folder / "runs" / "run", folder / name, symlinks=True)
    return folder


@pytest.fixture
def runs(cli: Cli, tmp_path: Path, site: Callable[..., Any]) -> Runs:
    """Return the test's runs; the toy worker is installed."""
    site("toy_worker")
    return Runs(cli, tmp_path / "runs")


def mirror_of(host: subprocess.Popen[str]) -> int:
    """Return the process that mirrors what this host trains."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    found = [line.split(None, 2) for line in listed.splitlines() if "rlctl.launch.mirror_process" in line]
    return next(int(pid) for pid, parent, _ in found if int(parent) == host.pid)


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files of a run but what is said of its mirror."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("mirror.")
    }


# ---- a run and its mirror ------------------------------------------------------------------------------------------


def test_a_run_that_has_ended_is_all_there_and_comes_back_as_it_was(runs: Runs, fast_cli: Cli) -> None:
    """Every byte of it, and the links of its checkpoints; the second pull fetches nothing."""
    assert runs.train("whole", "--save-uri", runs.uri).code == 0
    other = runs.root.parent / "other"

    assert fast_cli("runs", "pull", f"{runs.uri}/whole", "--runs-dir", other, "--json").json()["received_bytes"] > 0

    assert contents(other / "whole") == contents(runs["whole"].path)
    assert (other / "whole/checkpoints/latest").readlink() == (runs["whole"].path / "checkpoints/latest").readlink()
    assert fast_cli("runs", "pull", f"{runs.uri}/whole", "--runs-dir", other, "--json").json()["received_bytes"] == 0
    assert fast_cli("runs", "push", "whole", "--json").json()["sent_bytes"] == 0
    assert "whole, " in fast_cli("runs", "show", "whole").out
    listed = fast_cli("runs", "pull", runs.uri)
    assert (listed.code, "There is: whole." in listed.err) == (2, True)


def test_a_machine_that_is_lost_is_gone_on_with_on_another_exactly(
    runs: Runs, prepared: Path, wait_until: Wait, fast_cli: Cli
) -> None:
    """Host, worker and mirror are killed at once; what the store has goes on elsewhere to the same end as in one go."""
    host = runs.start("lost", "--set", "hyperparameters.step_seconds=0.01")
    wait_until((runs["lost"].path / "checkpoints" / "latest").exists)
    worker = (read_json(runs["lost"].status) or {})["process"]["pid"]
    os.kill(worker, signal.SIGSTOP)  # on a slow machine it would be done before the store has anything
    wait_until(lambda: runs.step_in_store("lost") >= 50)
    for process in (mirror_of(host), host.pid, worker):
        os.kill(process, signal.SIGKILL)
    host.wait()

    other = runs.root.parent / "other"
    pulled = fast_cli("runs", "pull", f"{runs.uri}/lost", "--runs-dir", other)
    assert pulled.code == 0 and "do not resume it here" in pulled.err
    assert state_of(RunDirectory(other / "lost")) == "lost"
    assert not (other / "lost" / "result.json").exists()
    resumed = runs.cli("resume", "lost", "--runs-dir", other)

    assert resumed.code == 0, resumed.err
    assert differences(prepared / "whole", other / "lost") == []
    assert runs.step_in_store("lost") == 400  # and from there it was mirrored on


def test_the_death_of_the_host_leaves_the_last_checkpoint_in_the_store(runs: Runs, wait_until: Wait) -> None:
    """Its worker stops and saves; the mirror waits for that."""
    host = runs.start("orphan", "-n", "100000")
    wait_until(lambda: runs.step_in_store("orphan") >= 50)
    os.kill(host.pid, signal.SIGKILL)

    wait_until(runs["orphan"].result.exists)
    last = runs.bundles("orphan").find("latest").step
    remote = open_remote(f"{runs.uri}/orphan")
    wait_until(lambda: "result.json" in (remote.read_index() or {"files": {}})["files"])
    assert runs.step_in_store("orphan") == last


def test_the_training_never_waits_for_the_store(runs: Runs, wait_until: Wait) -> None:
    """It ends while the mirror is frozen; the command ends when the mirror is through."""
    host = runs.start("frozen")
    wait_until((runs["frozen"].path / "logs" / "mirror.json").exists)
    mirror = mirror_of(host)
    os.kill(mirror, signal.SIGSTOP)
    try:
        wait_until(runs["frozen"].analytics.exists)
        assert (read_json(runs["frozen"].result) or {})["status"] == "finished"
        assert host.poll() is None
    finally:
        os.kill(mirror, signal.SIGCONT)
    assert host.wait(60) == 0
    assert runs.step_in_store("frozen") == 400


def test_a_store_that_fails_is_said_once_and_the_run_is_sent_later(runs: Runs, fast_cli: Cli) -> None:
    """The run is finished, the command ends with 74 and says what sends the rest."""
    runs.store.write_text("a file, in which there can be no folder")

    outcome = runs.train("kept", "--save-uri", runs.uri)

    assert outcome.code == 74, outcome.err
    assert (read_json(runs["kept"].result) or {})["status"] == "finished"
    assert outcome.err.count("cannot be written, and is tried again") == 1
    assert "rlctl runs push kept" in outcome.err
    assert "failing" in fast_cli("runs", "show", "kept").out
    refused = fast_cli("runs", "push", "kept")
    assert refused.code == 2 and "cannot be used" in refused.err and "Traceback" not in refused.err
    runs.store.unlink()
    assert fast_cli("runs", "push", "kept").code == 0
    assert pull(open_remote(f"{runs.uri}/kept"), runs.root.parent / "back").received > 0


def test_a_run_that_stops_or_fails_keeps_its_code_and_is_mirrored(runs: Runs) -> None:
    """Whatever the outcome: the store has its result."""
    assert runs.train("stopped", "--stop-at", "120", "--save-uri", runs.uri).code == 75
    assert runs.train("failed", "--set", "hyperparameters.raise_at=120", "--save-uri", runs.uri).code == 1
    for name, state in (("stopped", "stopped"), ("failed", "failed")):
        index = open_remote(f"{runs.uri}/{name}").read_index() or {}
        assert (index["state"], "result.json" in index["files"]) == (state, True)


def test_members_of_a_plan_are_mirrored_side_by_side(runs: Runs) -> None:
    """Each below its own id."""
    outcome = runs.cli("run", "toy", "-n", "100", "--seeds", "1..2", "--save-uri", runs.uri)
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in runs.store.iterdir()) == sorted(
        path.name for path in runs.root.iterdir() if not path.name.startswith(".")
    )


@pytest.mark.slow
def test_a_plan_whose_store_fails_ends_with_74_and_fails_no_member(runs: Runs) -> None:
    """As a single run does."""
    broken = runs.root.parent / "broken"
    broken.write_text("")
    outcome = runs.cli("run", "toy", "-n", "50", "--seeds", "3..3", "--name", "b", "--save-uri", f"file://{broken}")
    assert outcome.code == 74, outcome.err


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "code", "said"),
    [
        ("results", 2, "save_uri: is no URI. (from --save-uri) Say file:///folder"),
        ("file://here", 2, "another folder for each process"),
        ("memory://x", 2, "ends with the process"),
        ("s3://me:hunter2@bucket/x", 2, "has a password"),
        ("s3://bucket/x?key=hunter2", 2, "has a password"),
        ("filecache::s3://bucket", 2, "chain of protocols"),
        ("stfp://host/x", 3, 'fsspec knows no "stfp://". (from --save-uri) Did you mean "sftp"?'),
    ],
)
def test_uris_that_cannot_be_meant_are_refused_before_the_start(
    fast_cli: Cli, site: Cli, uri: str, code: int, said: str
) -> None:
    """With what to do; a secret is not repeated, and `pull` says the same."""
    site("toy_worker")
    outcome = fast_cli("run", "toy", "--save-uri", uri)
    assert (outcome.code, said in outcome.err) == (code, True), outcome.err
    assert "hunter2" not in outcome.err
    pulled = fast_cli("runs", "pull", uri)
    assert pulled.code == code and "hunter2" not in pulled.err


# ---- versions, whole or not at all ---------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from rlctl.runs.directory import RunDirectory
from rlctl.runs.mirror import Mirror
from rlctl.runs.pull import pull
from rlctl.runs import remote as module

what, directory, uri, left = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def dying(pieces):
    global left
    for piece in pieces:
        left -= 1
        if left == 0:
            yield piece[: len(piece) // 2]
            raise MemoryError
        yield piece

class Dying(module.Remote):
    def send(self, sha256, pieces):
        try:
            super().send(sha256, dying(pieces))
        except MemoryError:
            os.kill(os.getpid(), signal.SIGKILL)
    def write_index(self, number, data):
        global left
        left -= 1
        if left == 0:
            self.fs.pipe_file(self._index(number), b'{"format": 1, "files"')
            os.kill(os.getpid(), signal.SIGKILL)
        super().write_index(number, data)
    def receive(self, sha256):
        try:
            yield from dying(super().receive(sha256))
        except MemoryError:
            os.kill(os.getpid(), signal.SIGKILL)

found = module.open_remote(uri)
dead = Dying(found.fs, found.path)
Mirror(RunDirectory(directory), dead).send() if what == "send" else pull(dead, directory)
"""


def killed(what: str, folder: Path, uri: str, after: int) -> bool:
    """Send or pull in a process that kills itself in the midst of file `after`; return whether it came so far."""
    command = [sys.executable, "-c", KILLED, what, str(folder), uri, str(after)]
    code = subprocess.run(command, check=False, timeout=60).returncode
    assert code in (0, -signal.SIGKILL)
    return code != 0


@pytest.fixture
def trained(runs: Runs, prepared: Path) -> RunDirectory:
    """Return a run that is not mirrored yet."""
    return brought(prepared / "stopped", runs)


def brought(source: Path, runs: Runs) -> RunDirectory:
    """Return a copy of a run, in the place of the one that is there."""
    shutil.rmtree(runs["run"].path, ignore_errors=True)
    shutil.copytree(source, runs["run"].path, symlinks=True)
    return runs["run"]


def test_a_killed_mirror_leaves_nothing_that_looks_whole(runs: Runs, trained: RunDirectory) -> None:
    """Wherever it is killed: before the first index there is no run; what was sent is not sent again."""
    uri, first = f"{runs.uri}/run", open_remote(f"{runs.uri}/run")
    after = 1
    while after < 60 and killed("send", trained.path, uri, after):
        assert first.read_index() is None
        with pytest.raises(UsageError, match="no run is kept"):
            pull(first, runs.root.parent / "none")
        after += 9
    assert after > 10
    killed("send", trained.path, uri, 7)
    there = sum(size for size in first.objects().values())
    mirror = Mirror(trained, first)
    whole = sum(said["bytes"] for said in mirror.send()["files"].values())
    assert mirror.sent <= whole - there + 16_384  # but for the one that was cut off, and what has one content twice


def test_a_killed_mirror_leaves_the_version_before_it(runs: Runs, trained: RunDirectory, prepared: Path) -> None:
    """Until the next index is written, the one before it is whole, and what it names stays."""
    uri, remote = f"{runs.uri}/run", open_remote(f"{runs.uri}/run")
    Mirror(trained, remote).send()
    before = contents(pull(remote, runs.root.parent / "before").directory.path)
    brought(prepared / "whole", runs)
    for number, after in enumerate((1, 4, 9)):
        assert killed("send", trained.path, uri, after)
        assert contents(pull(remote, runs.root.parent / f"after{number}").directory.path) == before
    Mirror(trained, remote).send()
    now = pull(remote, runs.root.parent / "now").directory
    assert contents(now.path) == contents(trained.path)
    assert len(remote.objects()) == len({said["sha256"] for said in (remote.read_index() or {})["files"].values()})


def test_an_index_that_was_cut_off_is_none(runs: Runs, trained: RunDirectory) -> None:
    """The one before it holds, and the next has a number of its own."""
    remote = open_remote(f"{runs.uri}/run")
    Mirror(trained, remote).send()
    (runs.store / "run" / "index-00000002.json").write_text('{"format": 1, "files": {')
    assert remote.read_index() is not None
    (trained.path / "backend" / "more").write_text("more")
    Mirror(trained, remote).send()
    assert remote.indexes() == [3]


def test_a_killed_pull_leaves_no_run_and_goes_on(runs: Runs, trained: RunDirectory, fast_cli: Cli) -> None:
    """What had arrived is not fetched again."""
    uri, other = f"{runs.uri}/run", runs.root.parent / "other"
    whole = sum(said["bytes"] for said in Mirror(trained, open_remote(uri)).send()["files"].values())
    assert killed("pull", other, uri, 8)
    assert not (other / "run").exists() and "No such run" in fast_cli("runs", "list", "--runs-dir", other).err
    pulled = pull(open_remote(uri), other)
    assert 0 < pulled.received < whole
    assert contents(pulled.directory.path) == contents(trained.path)


# ---- what may not be mixed up --------------------------------------------------------------------------------------


@pytest.fixture
def remote(runs: Runs, trained: RunDirectory) -> Iterator[Remote]:
    """Return where a run is mirrored, in the memory of this process."""
    fs = fsspec.filesystem("memory")
    found = Remote(fs, "/base/run")
    Mirror(trained, found).send()
    yield found
    fs.rm("/base", recursive=True)


def test_another_run_of_the_same_id_is_never_overwritten(runs: Runs, trained: RunDirectory, remote: Remote) -> None:
    """Neither in the store nor here."""
    first, *others = trained.events.read_text().splitlines(keepends=True)
    trained.events.write_text(first.replace('"time": 1', '"time": 2') + "".join(others))
    with pytest.raises(UsageError, match="another run of the id run"):
        Mirror(trained, remote).send()
    with pytest.raises(UsageError, match="another run of the id"):
        pull(remote, runs.root)


def test_a_run_that_went_on_here_is_not_overwritten(runs: Runs, prepared: Path, remote: Remote) -> None:
    """It is said what differs."""
    brought(prepared / "whole", runs)
    with pytest.raises(UsageError, match=r"its .* differs"):
        pull(remote, runs.root)


def test_altered_content_is_found_and_not_kept(runs: Runs, remote: Remote) -> None:
    """Of the same length, too; the rest of what was fetched is used again when it is mended."""
    said = (remote.read_index() or {})["files"]["episodes.jsonl"]
    path = f"{remote.path}/objects/{said['sha256']}"
    good = remote.fs.cat_file(path)
    remote.fs.pipe_file(path, b"x" * len(good))
    with pytest.raises(RlctlError, match=r"episodes\.jsonl was altered"):
        pull(remote, runs.root.parent / "other")
    assert not (runs.root.parent / "other" / "run").exists()
    remote.fs.pipe_file(path, good)
    assert pull(remote, runs.root.parent / "other").received <= len(good) + 100_000


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", ".hidden/x", "a//b", "a\\b", ""])
def test_an_index_cannot_write_outside_of_the_run(runs: Runs, remote: Remote, name: str) -> None:
    """Nor can its links, nor its id: it may be a stranger's."""
    index = remote.read_index() or {}
    said = index["files"]["config.json"]
    for wrong in (
        {**index, "files": {**index["files"], name: said}},
        {**index, "links": {"checkpoints/latest": f"../{name}"}},
        {**index, "run_id": f"x{name}"},
    ):
        remote.write_index(remote.indexes()[0] + 1, wrong)
        with pytest.raises(RlctlError, match="nothing was brought back"):
            pull(remote, runs.root.parent / "other")
        assert not (runs.root.parent / "other").exists()


def test_a_bundle_that_is_removed_while_it_is_sent_is_all_there(
    runs: Runs, trained: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest is held open; older ones that go before their turn are left out."""
    remote = Remote(fsspec.filesystem("memory"), "/gone/run")
    bundles = trained.path / "checkpoints"
    original = Remote.send

    def send(self: Remote, sha256: str, pieces: Any) -> None:
        for bundle in bundles.glob("step-*"):
            for path in bundle.iterdir():
                path.unlink()
        original(self, sha256, pieces)

    newest = json.loads((bundles / "latest" / "checkpoint.json").read_text())
    monkeypatch.setattr(Remote, "send", send)
    index = Mirror(trained, remote).send()
    sent = {name for name in index["files"] if name.startswith("checkpoints/")}
    assert sent == {
        f"checkpoints/step-{newest['step']:012d}/{name}" for name in ["checkpoint.json", *newest["members"]]
    }
    assert pull(remote, runs.root.parent / "back").index["step"] == newest["step"]


# ---- S3 ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    not importlib.util.find_spec("s3fs") or not importlib.util.find_spec("moto"), reason="no s3fs, moto"
)
def test_s3_takes_a_run_and_gives_it_back(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that speaks S3; a bucket that is not there is not made, and is said."""
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        fsspec.filesystem("s3").mkdir("rl-runs")
        assert runs.train("cloud", "--save-uri", "s3://rl-runs/kept").code == 0
        pulled = runs.cli("runs", "pull", "s3://rl-runs/kept/cloud", "--runs-dir", runs.root.parent / "other")
        assert pulled.code == 0, pulled.err
        assert contents(runs.root.parent / "other" / "cloud") == contents(runs["cloud"].path)
        nowhere = runs.train("nowhere", "--save-uri", "s3://lr-runs/kept")
        assert nowhere.code == 74 and nowhere.err.count("cannot be written") == 1, nowhere.err
        assert not fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True).exists("lr-runs")
    finally:
        server.stop()


# ---- a backend -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_real_backend_goes_on_elsewhere_exactly_and_can_be_evaluated(cli: Cli, tmp_path: Path) -> None:
    """DQN on CartPole, stopped, pulled into another store, resumed and measured there."""
    pytest.importorskip("rlctl_dqn")
    train = ("run", "dqn", "CartPole-v1", "-n", "1500", "--set", "hyperparameters.learning_starts=200")
    runs, other = tmp_path / "runs", tmp_path / "other"
    assert cli(*train, "--run-id", "whole").code == 0
    assert cli(*train, "--run-id", "part", "--stop-at", "700", "--save-uri", f"file://{tmp_path}/store").code == 75
    assert cli("runs", "pull", f"file://{tmp_path}/store/part", "--runs-dir", other).code == 0
    assert cli("resume", "part", "--runs-dir", other).code == 0
    assert differences(runs / "whole", other / "part") == []
    assert cli("evaluate", "part", "--episodes", "2", "--runs-dir", other).code == 0
