"""Sweeps that run: real processes, pruned, killed and gone on with; what comes out is a configuration that runs."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlctl.config.files import read_config
from rlctl.plans.running import Placing
from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json, read_lines
from rlctl_tune.checks import make_ready
from rlctl_tune.host import SweepHost
from rlctl_tune.reading import read_sweep
from rlctl_tune.study import SweepFolder, ask

Cli = Callable[..., Any]
Site = Callable[..., Any]


def write(folder: Path, text: str) -> None:
    """Write a sweep's file, s.yaml."""
    (folder / "s.yaml").write_text(text)


def runs_of(root: Path, **labels: str) -> list[RunDirectory]:
    """Return the runs with these labels, by their names."""
    found = (
        [RunDirectory(path) for path in sorted(root.glob("[!.]*")) if (path / "config.json").exists()]
        if root.exists()
        else []
    )
    return [run for run in found if labels.items() <= config_of(run)["labels"].items()]


def config_of(run: RunDirectory) -> dict[str, Any]:
    """Return the configuration of a run."""
    config: dict[str, Any] = (read_json(run.config) or {})["config"]
    return config


BANDIT = """
run:
  worker: toy
  algo: bandit
  total_timesteps: 60
  evaluation: {every_steps: 30, episodes: 2}
  hyperparameters: {prior: zero, arms: 2}
space:
  hyperparameters.prior: {values: [zero, optimistic]}
  hyperparameters.arms: {values: [10, 20]}
  env.max_episode_steps: {same_as: hyperparameters.arms, times: 2}
sampler: grid
fresh: {trials: 1, seeds: [5, 6]}
"""


@pytest.mark.timeout(280)
def test_the_winner_is_judged_by_fresh_seeds_and_runs(cli: Cli, site: Site, tmp_path: Path) -> None:
    """A grid finds the better setting; the gap to its fresh seeds is said; tied values arrive; its file is a configuration."""
    site("toy_worker")
    write(cli.folder, BANDIT)  # type: ignore[attr-defined]

    outcome = cli("sweep", "run", "s.yaml", "-j", 2, "--json", timeout=240)

    assert outcome.code == 0, outcome.err
    data = outcome.json()
    assert data["counts"] == {"complete": 4, "pruned": 0, "failed": 0, "open": 0}
    assert sum(data["importance"].values()) == pytest.approx(1)
    best = data["fresh"]["best"]
    assert data["trials"][best["trial"]]["values"] == {
        "hyperparameters.prior": "optimistic", "hyperparameters.arms": 20, "env.max_episode_steps": 40,
    }  # fmt: skip
    assert best["optimism"] == best["searched"] - best["fresh"]
    assert data["fresh"]["winner"]["fresh"] > data["fresh"]["defaults"]
    root = tmp_path / "runs"
    assert Counter(config_of(run)["labels"]["phase"] for run in runs_of(root, sweep="s")) == {
        "search": 4, "fresh": 2, "defaults": 2,
    }  # fmt: skip
    assert [config_of(run)["seed"] for run in runs_of(root, phase="fresh")] == [5, 6]
    for run in runs_of(root, phase="search"):
        assert config_of(run)["env"]["max_episode_steps"] == 2 * config_of(run)["hyperparameters"]["arms"]

    winner, _ = read_config(Path(data["winner"]))
    assert winner["hyperparameters"] == {"prior": "optimistic", "arms": 20}
    again = cli("run", "-c", data["winner"], "--dry-run")
    assert again.code == 0, again.err
    assert "labels" not in winner

    shown = cli("sweep", "show", "s")
    assert "optimism: trial" in shown.out
    assert "importance" in shown.out
    assert "best so far: " in shown.out
    repeated = cli("sweep", "run", "s.yaml", "--json")
    assert repeated.code == 0, repeated.err
    assert len(runs_of(root)) == 8, "what is finished is not trained again"


PRUNED = """
run:
  worker: toy
  total_timesteps: 400
  evaluation: {every_steps: 200, episodes: 10}
  hyperparameters: {steps_per_iteration: 10, step_seconds: 0.1}
space:
  env.max_episode_steps: {values: [40, 1]}
sampler: grid
seeds: 0..1
pruner: asha
fresh: {trials: 0}
"""


@pytest.mark.timeout(200)
def test_a_pruned_trial_stops_its_run_and_begins_no_other_seed(cli: Cli, site: Site, tmp_path: Path) -> None:
    """A trial that falls behind at its first evaluation is stopped there, and its second seed is never trained."""
    site("toy_worker")
    write(cli.folder, PRUNED)  # type: ignore[attr-defined]

    outcome = cli("sweep", "run", "s.yaml", "-j", 1, "--json", timeout=180)

    assert outcome.code == 0, outcome.err
    first, second = outcome.json()["trials"]
    assert (first["state"], second["state"]) == ("complete", "pruned")
    assert [*first["evaluations"]] == ["1", "2", "3", "4"], "two evaluations of each seed, one seed after the other"
    assert [*second["evaluations"]] == ["1"]
    assert len(runs_of(tmp_path / "runs", trial="0")) == 2
    (stopped,) = runs_of(tmp_path / "runs", trial="1")
    result = read_json(stopped.result) or {}
    assert state_of(stopped) == "stopped"
    assert 200 <= result["step"] < 400
    assert "pruned after 1 evaluations" in result["reason"]
    assert cli("sweep", "resume", "s").code == 0
    assert len(runs_of(tmp_path / "runs")) == 3, "a pruned trial is not taken up again"
    assert state_of(stopped) == "stopped"


KILLED = """
run:
  worker: toy
  total_timesteps: 300
  checkpoint: {every_steps: 20}
  evaluation: {every_steps: 100, episodes: 2}
  hyperparameters: {step_seconds: 0.02}
space:
  hyperparameters.episode_length: {low: 1, high: 50}
sampler: random
trials: 3
seeds: 0..1
fresh: {trials: 0}
"""


@pytest.mark.timeout(280)
def test_a_sweep_whose_host_is_killed_goes_on(
    cli: Cli, site: Site, tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    """After kill -9 in the middle, `sweep resume` ends all: each trial once, with its values, its runs resumed in place."""
    site("toy_worker")
    write(cli.folder, KILLED)  # type: ignore[attr-defined]
    root = tmp_path / "runs"
    host = cli.start("sweep", "run", "s.yaml", "-j", 2)  # type: ignore[attr-defined]
    wait_until(lambda: len([run for run in runs_of(root) if list(run.path.glob("checkpoints/step-*"))]) == 2, 100)
    os.kill(host.pid, signal.SIGKILL)
    host.wait()
    before = {run.run_id: config_of(run) for run in runs_of(root)}

    resumed = cli("sweep", "resume", "s", "-j", 2, "--json", timeout=200)

    assert resumed.code == 0, resumed.err
    data = resumed.json()
    assert data["counts"]["complete"] == 3
    assert Counter(config_of(run)["labels"]["trial"] for run in runs_of(root)) == {"0": 2, "1": 2, "2": 2}
    assert len({row["values"]["hyperparameters.episode_length"] for row in data["trials"]}) == 3, "no trial twice"
    for run_id, config in before.items():
        run = RunDirectory(root / run_id)
        assert config_of(run) == config
        assert (read_json(run.manifest) or {})["resumes"][0]["checkpoint_step"] > 0
        assert [line["type"] for line in read_lines(run.events)].count("training_started") == 2


@pytest.mark.timeout(280)
def test_one_ctrl_c_stops_a_sweep_resumable(
    cli: Cli, site: Site, tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    """SIGINT ends the runs with a checkpoint and the host with 75; `resume`, with an executor, goes on in their directories."""
    site("toy_worker", "toy_executor")
    write(cli.folder, KILLED.replace("trials: 3", "trials: 1").replace("seeds: 0..1", "seeds: [3]"))  # type: ignore[attr-defined]
    root = tmp_path / "runs"
    host = cli.start("sweep", "run", "s.yaml")  # type: ignore[attr-defined]
    wait_until(lambda: [run for run in runs_of(root) if list(run.path.glob("checkpoints/step-*"))], 100)

    host.send_signal(signal.SIGINT)
    _, err = host.communicate(timeout=60)

    assert host.returncode == 75, err
    assert "to go on: rlctl sweep resume s" in err
    (run,) = runs_of(root)
    assert state_of(run) == "stopped"
    assert cli("sweep", "show", "s", "--json").json()["counts"]["open"] == 1
    resumed = cli("sweep", "resume", "s", "--executor", "toy", "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.json()["counts"]["complete"] == 1
    assert state_of(run) == "finished"
    assert len(list(tmp_path.rglob("executor.txt"))) == 1, "the other executor has placed it"
    assert len(runs_of(root)) == 1


def test_a_sweep_that_is_told_to_stop_begins_no_fresh_seeds(site: Site, tmp_path: Path) -> None:
    """Also when all trials have ended by then: a stop is never answered by a new training."""
    site("toy_worker")
    write(tmp_path, BANDIT)
    one = read_sweep(tmp_path / "s.yaml")
    ready = make_ready(one, tmp_path / "runs", Placing(), print)
    folder = SweepFolder(one, tmp_path / "runs")
    with folder.locked():
        study = folder.study(create=True)
        for _ in range(4):
            study.tell(ask(study, one), 1.0)
        assert SweepHost(ready, study, ready.slots()).run()
        assert not SweepHost(ready, study, ready.slots(), stopping=True).run()


def test_a_sweep_that_was_changed_needs_another_name(cli: Cli, site: Site, tmp_path: Path) -> None:
    """Trials of two spaces are not one sweep; a failed trial is told, and the exit code is 1 when there is no other."""
    site("toy_worker")
    text = BANDIT.replace("algo: bandit", "algo: count").replace("{prior: zero, arms: 2}", "{raise_at: 5}")
    head = text.partition("space:")[0] + "seeds: 0..2\n"
    write(cli.folder, head + "space: {hyperparameters.metrics_every: {values: [10]}}\nsampler: grid\n")  # type: ignore[attr-defined]
    failed = cli("sweep", "run", "s.yaml", "-j", 2, "--json")
    assert failed.code == 1, failed.err
    assert failed.json()["counts"]["failed"] == 1
    assert "told to raise at step 5" in failed.json()["trials"][0]["said"]
    assert len(runs_of(tmp_path / "runs")) == 2, "the third seed of a trial that has failed is not trained"

    write(cli.folder, head + "space: {hyperparameters.metrics_every: {values: [10, 20]}}\nsampler: grid\n")  # type: ignore[attr-defined]
    changed = cli("sweep", "run", "s.yaml")
    assert changed.code == 2
    assert "was begun with another space" in changed.err
    assert cli("sweep", "show", "t").code == 2


def test_all_settings_are_checked_before_anything_starts(fast_cli: Cli, site: Site, tmp_path: Path) -> None:
    """Edges that the worker refuses, unknown keys, a missing evaluation: all at once, with the line, and nothing is written."""
    site("toy_worker")
    path = tmp_path / "s.yaml"
    path.write_text("""
run: {worker: toy, algo: bandit, total_timesteps: 60, hyperparameters: {prior: zerro}}
space:
  hyperparameters.epsilon: {low: 0.0, high: 2.0}
  hyperparameters.arms: {low: 1, high: 7}
  hyperparameters.armss: {values: [3]}
trials: 3
""")
    outcome = fast_cli("sweep", "run", path, "--json")
    assert outcome.code == 2
    said = {problem["path"]: problem for problem in outcome.json()["problems"]}
    assert said["run.hyperparameters.epsilon"]["message"].startswith("must be at most 1, got 2.0")
    assert said["run.hyperparameters.epsilon"]["origin"].endswith("s.yaml:4")
    assert said["run.hyperparameters.arms"]["message"].startswith("must be at least 2, got 1")
    assert 'Did you mean "arms"?' in said["run.hyperparameters.armss"]["hint"]
    assert "run.hyperparameters.prior" in said
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "sweeps").exists()


def test_a_sweep_needs_evaluations_and_bounds_that_say_what_they_mean(
    fast_cli: Cli, site: Site, tmp_path: Path
) -> None:
    """Without evaluations there is no score; whole bounds of a number would try its ends only."""
    site("toy_worker")
    path = tmp_path / "s.yaml"
    text = "run: {worker: toy, algo: bandit}\nspace: {hyperparameters.epsilon: {low: 0, high: 1}}\ntrials: 3\n"
    path.write_text(text)
    outcome = fast_cli("sweep", "run", path)
    assert outcome.code == 2
    assert "run.evaluation.every_steps: is required" in outcome.err
    assert "space.hyperparameters.epsilon: takes fractions, but both bounds are whole numbers" in outcome.err
    path.write_text(text.replace("bandit", "bandit, evaluation: {every_steps: 50}").replace("low: 0", "low: 0.0"))
    sound = fast_cli("sweep", "run", path, "--dry-run")
    assert sound.code == 0, sound.err
    assert "3 trials of 1 seeds can be run; nothing was started" in sound.err
    assert fast_cli("sweep", "run", path, "--dry-run", "--json").json() == {"sweep": "s", "trials": 3, "seeds": [0]}
    path.write_text(path.read_text() + "resources: {gpus: 1000}\n")
    short = fast_cli("sweep", "run", path, "--dry-run")
    assert "resources.gpus: it needs 1000, there are" in short.err
    assert not (tmp_path / "sweeps").exists()


def test_what_begins_in_one_turn_is_handed_over_together(cli: Cli, site: Site) -> None:
    """An engine that starts several at once is given the first three runs so; the sweep is none the wiser."""
    site("toy_worker", "toy_engine")
    engine = cli.folder / "engine"  # type: ignore[attr-defined]
    engine.mkdir()
    write(cli.folder, BANDIT)  # type: ignore[attr-defined]
    outcome = cli("sweep", "run", "s.yaml", "-j", 3, "--executor", "arrays", "--address", engine)
    assert outcome.code == 0, outcome.err
    assert (engine / "arrays").read_text().startswith("3 with 1\n")
