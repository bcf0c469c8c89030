"""`wandb`, `mlflow` and `trackio`, each against its own library and what that stores on this machine."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlctl import Episode, Metrics, Result
from rlctl.requirements import all_missing
from rlctl.runs.files import read_lines, write_json
from rlctl.testing import CallbackContract, fake_run
from rlctl_callbacks.mlflow import MLflow
from rlctl_callbacks.trackio import Trackio
from rlctl_callbacks.wandb import Wandb, chosen_mode

END = Result(status="finished", reason="over", step=30, return_mean=2.5)


def needs(name):
    """Skip where a library is not installed: none of them is among the development tools."""
    return pytest.mark.skipif(bool(all_missing([name])), reason=f"{name} is not installed: pip install {name}")


@pytest.fixture
def info(tmp_path, monkeypatch):
    """A run to write into, in a folder of its own; nothing here reaches a network."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.chdir(tmp_path)
    return fake_run(tmp_path / "runs", seed=7).info


def tell(callback, steps):
    """Report an episode and a loss at each of these steps."""
    for step in steps:
        callback.rlctl_episode_ended(Episode(index=step, step=step, episode_return=step / 10, length=10))
        callback.rlctl_metrics(Metrics(step=step, seconds=0.1, values={"train/loss": 1.0 / step}))


def trouble(info):
    """Return what was said of the callback."""
    return [
        line["message"] for line in read_lines(info.directory / "events.jsonl") if line["type"] == "callback_trouble"
    ]


def twice(kind, info):
    """Let a run begin, end, and go on from step 20, whose step 30 it had told already."""
    first = kind(info, patience=120.0)
    tell(first, (10, 20, 30))
    first.rlctl_training_ended(END)
    second = kind(info, patience=120.0)
    tell(second, (30, 40))
    second.rlctl_training_ended(END)
    assert trouble(info) == []


# ---- W&B -----------------------------------------------------------------------------------------------------------


def wandb_rows(folder):
    """Return the rows of all offline folders of a run, as W&B's own records have them: [(step, {name: value})]."""
    from wandb.proto import wandb_internal_pb2

    rows = []
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for data in records(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            values = {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in record.history.item}
            if values:
                rows.append((values.pop("step"), values))
    return rows


def records(data):
    """Yield the records of a file in W&B's format: LevelDB's log, after a head of seven bytes; a torn end is none."""
    block, position, whole = 32768, 7, b""
    while position + 7 <= len(data):
        left = block - position % block
        if left < 7:
            position += left
            continue
        length, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
        piece = data[position + 7 : position + 7 + length]
        if kind == 0 or len(piece) < length:
            return
        whole += piece
        if kind in (1, 4):  # whole, or its last piece
            yield whole
            whole = b""
        position += 7 + length


@needs("wandb")
class TestWandb(CallbackContract):
    """A page of Weights & Biases, offline."""

    callback = "wandb"
    options = {"mode": "offline", "tags": ["contract"]}


@needs("wandb")
def test_wandb_keeps_a_run_offline_without_a_key(info):
    """The folder has each number at its step, under the run's id; a resumed run adds to it and tells nothing twice."""
    twice(Wandb, info)
    found = [(step, values["train/loss"]) for step, values in wandb_rows(info.directory) if "train/loss" in values]
    assert found == [(10, 0.1), (20, 0.05), (30, 1 / 30), (40, 0.025)]
    folders = list((info.directory / "wandb").glob("offline-run-*"))
    assert len(folders) == 2
    assert all(folder.name.endswith(f"-{info.run_id}") for folder in folders)


@needs("wandb")
def test_wandb_gets_films_that_are_whole(info):
    """A film is uploaded when it has its name; one that is being written has none yet."""
    callback = Wandb(info, patience=120.0)
    films = info.directory / "videos" / "evaluation-10"
    films.mkdir(parents=True)
    (films / "seed-1-return-9.mp4").write_bytes(b"whole")
    (films / ".film-1.mp4").write_bytes(b"half")
    callback.rlctl_training_ended(END)
    assert trouble(info) == []
    ((_, values),) = wandb_rows(info.directory)
    assert [name for name in values if name.startswith("videos/")] == ["videos/evaluation-10/seed-1-return-9"]
    stored = info.directory.glob("wandb/offline-run-*/files/media/videos/**/*.mp4")
    assert [path.read_bytes() for path in stored] == [b"whole"]


@needs("wandb")
def test_a_kill_leaves_what_wandb_has_readable(info):
    """After kill -9 of the training and all of its process group, what had been handed over can be read."""
    program = f"""
import os, signal, sys, time
from pathlib import Path
from rlctl import Metrics, RunInfo
from rlctl_callbacks.wandb import Wandb
info = RunInfo(run_id="killed", directory=Path({str(info.directory)!r}), worker="w", algo="a", env_id="e", seed=1,
               total_timesteps=9, total_episodes=None)
callback = Wandb(info, mode="offline")
for step in range(100):
    callback.rlctl_metrics(Metrics(step=step, seconds=0.0, values={{"train/loss": 1.0}}))
while callback._background._sent < 100:
    time.sleep(0.1)
os.killpg(os.getpid(), signal.SIGKILL)
"""
    answer = subprocess.run([sys.executable, "-c", program], check=False, start_new_session=True, timeout=200)
    assert answer.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while len(wandb_rows(info.directory)) < 100 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert [step for step, _ in wandb_rows(info.directory)] == list(range(100))


@pytest.mark.parametrize(
    ("environment", "mode", "expected"),
    [
        ({}, "auto", "offline"),
        ({"WANDB_API_KEY": "k" * 40}, "auto", "online"),
        ({"WANDB_API_KEY": "k" * 40, "WANDB_MODE": "offline"}, "auto", "offline"),
        ({"WANDB_API_KEY": "k" * 40}, "offline", "offline"),
        ({}, "online", "online"),
    ],
)
def test_wandb_is_online_with_a_key_only(info, monkeypatch, environment, mode, expected):
    """What the option says holds; `auto` is what WANDB_MODE says, else online if there is a key."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert chosen_mode(mode) == expected


def test_wandb_finds_a_key_where_its_login_puts_it(info, tmp_path, monkeypatch):
    """A key in the file of `wandb login` is one; a file for other hosts is none."""
    (tmp_path / "netrc").write_text("machine elsewhere login user password x\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert chosen_mode("auto") == "offline"
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password x\n")
    (tmp_path / "netrc").chmod(0o600)
    assert chosen_mode("auto") == "online"


def test_a_key_is_no_option(fast_cli):
    """A key that somebody puts into the configuration is refused before anything is written, and not shown as taken."""
    outcome = fast_cli("run", "dqn", "--set", "callbacks.wandb.api_key=sesame", "--dry-run")
    assert outcome.code == 2
    assert "callbacks.wandb.api_key" in outcome.err


@needs("wandb")
def test_no_file_of_a_run_has_the_key(info, monkeypatch):
    """The key of the environment is in none of the files that the callback leaves."""
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    monkeypatch.setenv("WANDB_MODE", "offline")
    callback = Wandb(info, patience=120.0)
    tell(callback, (10,))
    callback.rlctl_training_ended(END)
    files = [path for path in info.directory.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if b"0123456789" * 4 in path.read_bytes()]


@needs("wandb")
def test_an_unreachable_wandb_says_so_once_and_the_training_goes_on(info, monkeypatch):
    """With a key and a server that nobody answers at, the end comes after `patience`, with one message and a count."""
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    callback = Wandb(info, patience=20.0)
    tell(callback, (10, 20))
    start = time.monotonic()
    callback.rlctl_training_ended(END)
    assert time.monotonic() - start < 60
    assert len(trouble(info)) == 2
    assert trouble(info)[1] == "4 of 4 points did not reach it"


# ---- MLflow --------------------------------------------------------------------------------------------------------


@needs("mlflow-skinny")
class TestMLflow(CallbackContract):
    """A run of an MLflow experiment, in files."""

    callback = "mlflow"

    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The store is in the current folder."""
        monkeypatch.chdir(tmp_path)


@needs("mlflow-skinny")
def test_mlflow_has_each_number_at_its_step(info, tmp_path, monkeypatch):
    """The store of files has one run of that id, its settings, each number once also after a resume, and how it ended."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    twice(MLflow, info)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("rlctl").experiment_id])
    assert run.data.tags["rlctl.run_id"] == info.run_id
    assert (run.data.params["seed"], run.data.params["env.id"]) == ("7", "CartPole-v1")
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(10, 0.1), (20, 0.05), (30, 1 / 30), (40, 0.025)]
    assert run.data.metrics["result/return_mean"] == 2.5
    assert run.info.status == "FINISHED"


# ---- Trackio -------------------------------------------------------------------------------------------------------


@needs("trackio")
class TestTrackio(CallbackContract):
    """A run of a Trackio project."""

    callback = "trackio"

    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The database is in a folder of its own."""
        monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))


@needs("trackio")
def test_trackio_has_each_number_at_its_step(info, tmp_path):
    """The project's database has each number of the run once, also after a resume."""
    twice(Trackio, info)
    with sqlite3.connect(tmp_path / "trackio" / "rlctl.db") as database:
        rows = database.execute(
            "select step, metrics from metrics where run_name = ? order by id", [info.run_id]
        ).fetchall()
    found = [(step, json.loads(text)["train/loss"]) for step, text in rows if "train/loss" in json.loads(text)]
    assert found == [(10, 0.1), (20, 0.05), (30, 1 / 30), (40, 0.025)]


# ---- all of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Wandb, MLflow, Trackio])
def test_a_library_that_is_not_there_costs_its_numbers_only(info, monkeypatch, kind):
    """Where the import fails after all, that is said once, and the rest of the run is as it would be."""
    broken = info.directory / "broken"
    for name in ("wandb", "mlflow", "trackio"):
        (broken / name).mkdir(parents=True)
        (broken / name / "__init__.py").write_text("raise ImportError('it is broken')\n")
    monkeypatch.setenv("PYTHONPATH", f"{broken}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    callback = kind(info, patience=60.0)
    tell(callback, (10, 20))
    time.sleep(3)
    callback.rlctl_training_ended(END)
    first, last = trouble(info)
    assert "ImportError: it is broken" in first
    assert last == "4 of 4 points did not reach it"


def test_each_run_knows_its_own_page_only(info, tmp_path):
    """What a run notes of its page is in its own directory, so two runs side by side have each their own."""
    other = fake_run(tmp_path / "runs").info
    write_json(other.directory / "logs" / "wandb.json", {"step": 1000})
    from rlctl_callbacks.service_process import Mark

    assert (Mark(info, "wandb").data, Mark(other, "wandb").data) == ({}, {"step": 1000})
