"""What the callbacks' package exports: Minari's datasets, metrics as parallel lists, episode records."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.plugins.callbacks.stepping import dqn_run

from rlctl import Exportable, NotAvailableError, load_transitions
from rlctl.runs.files import write_json
from rlctl.testing import fake_run
from rlctl_callbacks.metrics_json import metrics_of


def exportable(run, path, **options):
    """Return what an exporter of records is handed."""
    identity = {"run_id": run.info.run_id, "worker": "dqn", "algo": "dqn"}
    return Exportable(
        path=path, identity=identity, config=run.info.config, options=options, source=None,
        directory=run.info.directory, seed=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def dqn(tmp_path_factory):
    """A training of DQN whose transitions were recorded."""
    return dqn_run(tmp_path_factory.mktemp("dqn"), ("transitions", {}), steps=400)


@pytest.mark.filterwarnings("ignore")
def test_minaris_own_loader_reads_the_transitions(dqn, tmp_path, monkeypatch):
    """Each episode that has ended comes back by `minari.load_dataset` to the last bit, and the environment with it."""
    minari = pytest.importorskip("minari")
    from rlctl_callbacks.minari_export import write

    said = write(exportable(dqn, tmp_path / "minari", dataset_id=None))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    dataset = minari.load_dataset(said["dataset_id"])
    wanted = [item for item in load_transitions(dqn.info.directory) if item.ended]
    assert said == {
        "dataset_id": "rlctl/cartpole-v1/test-v0", "episodes": len(wanted), "steps": sum(map(len, wanted)), "left_out": 1,
    }  # fmt: skip
    assert (dataset.total_episodes, dataset.total_steps) == (said["episodes"], said["steps"])
    for mine, theirs in zip(wanted, dataset.iterate_episodes(), strict=True):
        for name in ("observations", "actions", "rewards", "terminations", "truncations"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
    assert dataset.recover_environment().spec.id == "CartPole-v1"


METRICS = [
    {"step": 5, "seconds": 1.0, "values": {"train/loss": 1.0, "train/q_value": 10.0}},
    {"step": 9, "seconds": 1.0, "values": {"train/loss": 3.0, "train/exploration_rate": 0.5}},
    {"step": 25, "seconds": 1.0, "values": {"train/loss": None}, "nonfinite": {"train/loss": "nan"}},
]


def write_lines(path, lines):
    """Write lines of JSON."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def recorded(tmp_path):
    """The directory of a run of three episodes of ten steps, with some metrics."""
    directory = fake_run(tmp_path).info.directory
    episodes = [
        {"episode": n, "step": 10 * n + 10, "return": 1.5 * n, "length": 10, "env": 0, "seconds": 1.0} for n in range(3)
    ]
    write_lines(directory / "episodes.jsonl", episodes)
    write_lines(directory / "metrics.jsonl", METRICS)
    return directory


def test_metrics_json_has_the_lists_of_dqn_trainers(recorded):
    """Losses are the means of the episodes that have some, epsilons the last one known at the end of each."""
    assert metrics_of(recorded) == {
        "train_rewards": [0.0, 1.5, 3.0],
        "train_lengths": [10, 10, 10],
        "eval_rewards": [],
        "eval_episodes": [],
        "losses": [2.0, None],
        "epsilons": [0.5, 0.5, 0.5],
        "q_values": [10.0],
    }


def test_metrics_json_needs_episodes(tmp_path):
    """Of a run that recorded no episodes it is said why there are none."""
    with pytest.raises(NotAvailableError, match="the callback jsonl was off"):
        metrics_of(fake_run(tmp_path).info.directory)


def test_a_run_is_exported_from_the_command_line(recorded, fast_cli):
    """`rlctl export` writes metrics.json and the records of episodes, options and all, without a checkpoint."""
    config = json.loads((recorded / "config.json").read_text())["config"]
    write_json(recorded / "config.json", {"config": {**config, "callbacks": {}}, "origins": {}})
    write_json(recorded / "manifest.json", {"worker": {"name": "dqn"}, "callbacks": {}})
    made = fast_cli("export", recorded, "--format", "metrics-json")
    assert made.code == 0, made.err
    assert json.loads((recorded / "exports" / "metrics.json").read_text()) == metrics_of(recorded)
    made = fast_cli("export", recorded, "--format", "episodes", "--option", "agent_logs=true")
    assert made.code == 0, made.err
    lines = [json.loads(line) for line in (recorded / "exports" / "episodes.jsonl").read_text().splitlines()]
    assert [line["ep_return"] for line in lines] == [0.0, 1.5, 3.0]
    assert [len(line["agent_logs"]) for line in lines] == [2, 0, 1]
