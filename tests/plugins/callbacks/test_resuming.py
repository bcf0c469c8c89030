"""What callbacks leave of a resumed run is what they would have left in one go: no row twice, and none lost."""

import csv
import threading

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlctl import CheckpointSaved, RunConfig, load_transitions, resume, run
from rlctl.runs.files import read_json, write_json
from rlctl.testing import fake_run
from rlctl_callbacks.resuming import Ledger

CALLBACKS = {"progress": False, "csv": {}, "tensorboard": {"flush_every": 1}}


def config(**more):
    """Return a training of 1000 steps, saved every 50, whose records all three kinds of files get."""
    return RunConfig(worker="toy", total_timesteps=1000, checkpoint={"every_steps": 50}, callbacks=CALLBACKS, **more)


def tables(directory):
    """Return the rows of both tables without what depends on the clock."""
    found = {}
    for name in ("episodes", "metrics"):
        with (directory / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            found[name] = [{**row, "seconds": None} for row in csv.DictReader(file)]
    return found


def scalars(directory):
    """Return tag → [(step, value)] as TensorBoard reads it."""
    found = EventAccumulator(str(directory / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return {tag: [(point.step, point.value) for point in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


@pytest.fixture
def whole(site, tmp_path):
    """The directory of the training in one go."""
    site("toy_worker")
    return run(config(), runs_dir=tmp_path / "whole").directory


@pytest.mark.parametrize("end", [{"stop_at": 430}, {"hyperparameters": {"kill_at": 430}}])
@pytest.mark.parametrize("checkpoint", ["latest", "350"])
def test_a_resumed_run_leaves_what_it_would_in_one_go(whole, tmp_path, end, checkpoint):
    """Stopped or killed, from its last checkpoint or an earlier one: tables and curves are those of the whole."""
    begun = run(config(**end), runs_dir=tmp_path / "runs")
    assert begun.result.status != "finished"
    said = read_json(begun.directory / "config.json")
    said["config"]["hyperparameters"]["kill_at"] = None  # or it would be killed again
    write_json(begun.directory / "config.json", said)
    resumed = resume(begun.directory, checkpoint=checkpoint, allow_drift=True)
    assert resumed.result.status == "finished"
    assert tables(resumed.directory) == tables(whole)
    assert scalars(resumed.directory) == scalars(whole)


def test_runs_side_by_side_do_not_touch_each_others_files(whole, tmp_path):
    """Two trainings at the same time leave, each in its directory, what each would leave alone."""
    found = []

    def train(seed):
        found.append((seed, run(config(seed=seed), runs_dir=tmp_path / "runs").directory))

    threads = [threading.Thread(target=train, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    directories = dict(found)
    assert (tables(directories[1]), scalars(directories[1])) == (tables(whole), scalars(whole))
    assert tables(directories[2]) != tables(whole)


def test_without_a_note_a_table_is_cut_at_the_step(tmp_path):
    """A kill between the checkpoint and the note of it costs the exact place only: what is later still goes."""
    from rlctl import Episode
    from rlctl_callbacks.csv import Csv

    info = fake_run(tmp_path).info
    callback = Csv(info)
    for index in range(5):
        callback.rlctl_episode_ended(Episode(index=index, step=10 * index, episode_return=1.0, length=10))
    write_json(info.directory / "manifest.json", {"resumes": [{"checkpoint_step": 20, "checkpoint_sha256": "unknown"}]})
    Csv(info)
    with (info.directory / "episodes.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "10", "20"]


def test_notes_of_what_is_no_more_are_forgotten(tmp_path):
    """A run that goes on from an earlier checkpoint keeps the notes up to it, and finds its own."""
    info = fake_run(tmp_path).info
    ledger = Ledger(info, "mine")
    for step in (10, 20, 30):
        ledger.note(CheckpointSaved(step=step, path=tmp_path, reason="periodic", sha256=f"hash {step}"), {"rows": step})
    write_json(info.directory / "manifest.json", {"resumes": [{"checkpoint_step": 20, "checkpoint_sha256": "hash 20"}]})
    resumed = Ledger(info, "mine").resumed
    assert (resumed.step, resumed.noted) == (20, {"rows": 20})
    assert "hash 30" not in (info.directory / "logs" / "mine-positions.jsonl").read_text()


def test_steps_after_an_earlier_checkpoint_are_kept(tmp_path):
    """Back to an earlier checkpoint: the run has each step once, and what it had recorded until then can still be read."""
    config = RunConfig(
        worker="dqn",
        total_timesteps=300,
        hyperparameters={"learning_starts": 50, "batch_size": 32},
        checkpoint={"every_steps": 100},
        callbacks={"progress": False, "transitions": {}},
    )
    begun = run(config, runs_dir=tmp_path)
    before = [item.actions.tolist() for item in load_transitions(begun)]
    resumed = resume(begun.directory, checkpoint="100", total_timesteps=200)
    kept = list(load_transitions(begun.directory / "abandoned" / "001"))
    assert [item.actions.tolist() for item in kept] == before
    assert sum(map(len, kept)) == 300
    assert sum(map(len, load_transitions(resumed))) == 200
