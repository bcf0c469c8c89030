"""`rlctl resume`: a run goes on in its own directory, and what it leaves is what it would have left in one go."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.core.toy_runs import ToyRuns

from rlctl import RunConfig, resume, run
from rlctl.errors import UsageError
from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json, read_lines
from rlctl.verify import differences

Cli = Callable[..., Any]
Wait = Callable[..., Any]

SLOW = ("--set", "hyperparameters.step_seconds=0.002")
OFTEN = ("--set", "checkpoint.every_steps=50")


class Runs(ToyRuns):
    """The test's runs, and the one that nothing disturbed."""

    def train(self, run_id: str, *args: object) -> Any:
        """Train the toy for 1000 steps, or as the arguments say."""
        return self.cli("run", "toy", "--run-id", run_id, "-n", "1000", *args)

    def whole(self) -> RunDirectory:
        """Return the same training in one go."""
        if not self["whole"].result.exists():
            assert self.train("whole").code == 0
        return self["whole"]

    def assert_as_in_one_go(self, run_id: str) -> None:
        """Compare a run with the one that nothing disturbed: episodes, metrics, last checkpoint, result."""
        whole, other = self.whole(), self[run_id]
        assert differences(whole.path, other.path) == []
        assert without_times(other.episodes) == without_times(whole.episodes) != []
        assert without_times(other.metrics) == without_times(whole.metrics) != []
        results = [read_json(item.result) or {} for item in (whole, other)]
        for key in ("status", "reason", "step", "episodes", "return_mean", "exit_code"):
            assert results[1][key] == results[0][key]


def without_times(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file; each must be whole, as nothing may be torn or written twice."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: line[key] for key in line if key != "seconds"} for line in lines]


@pytest.fixture
def runs(cli: Cli, tmp_path: Path, site: Callable[..., Any]) -> Runs:
    """Return the test's runs; the toy worker is installed."""
    site("toy_worker")
    return Runs(cli, tmp_path / "runs")


def trains(directory: RunDirectory, step: int = 1) -> bool:
    """Return whether the run has come so far."""
    return bool((read_json(directory.status) or {}).get("step", 0) >= step)


def worker_of(directory: RunDirectory) -> int:
    """Return the id of the worker process."""
    return int((read_json(directory.status) or {})["process"]["pid"])


# ---- one curve -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_at", [1, 333, 999])
def test_a_stopped_run_goes_on_as_if_it_had_not(runs: Runs, stop_at: int) -> None:
    """Stopped at any step, with exit code 75, and resumed: the curve is that of the run in one go."""
    outcome = runs.train("r", "--stop-at", stop_at)
    assert (outcome.code, state_of(runs["r"])) == (75, "stopped")
    result = read_json(runs["r"].result) or {}
    assert (result["step"], result["reason"], result["exit_code"]) == (stop_at, f"stop_at = {stop_at} reached", 75)

    assert runs.cli("resume", "r").code == 0

    runs.assert_as_in_one_go("r")


def test_a_run_in_slices(runs: Runs) -> None:
    """Stopped again and again, each time resumed to a later step."""
    assert runs.train("r", "--stop-at", 200).code == 75
    for stop_at in (400, 401, 800):
        assert runs.cli("resume", "r", "--stop-at", stop_at).code == 75
    assert runs.cli("resume", "r").code == 0

    runs.assert_as_in_one_go("r")
    manifest = read_json(runs["r"].manifest) or {}
    assert [entry["checkpoint_step"] for entry in manifest["resumes"]] == [200, 400, 401, 800]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_after_a_signal(runs: Runs, wait_until: Wait, number: signal.Signals) -> None:
    """A signal to the host saves and stops at the next safe point, with exit code 75."""
    process = runs.cli.start("run", "toy", "--run-id", "r", "-n", "1000", *SLOW)  # type: ignore[attr-defined]
    wait_until(lambda: trains(runs["r"]))
    process.send_signal(number)
    process.communicate(timeout=60)
    assert (process.returncode, state_of(runs["r"])) == (75, "stopped")

    assert runs.cli("resume", "r").code == 0

    runs.assert_as_in_one_go("r")


def test_after_runs_stop(runs: Runs, wait_until: Wait) -> None:
    """`rlctl runs stop` leaves a run that can be resumed; its request does not stop the resumed one."""
    process = runs.cli.start("run", "toy", "--run-id", "r", "-n", "1000", *SLOW)  # type: ignore[attr-defined]
    wait_until(lambda: trains(runs["r"]))
    assert runs.cli("runs", "stop", "r").code == 0
    process.communicate(timeout=60)
    assert process.returncode == 75

    assert runs.cli("resume", "r").code == 0
    assert not runs["r"].stop_request.exists()
    runs.assert_as_in_one_go("r")


def test_after_kill_9_of_the_worker(runs: Runs, wait_until: Wait) -> None:
    """What came after the last checkpoint is cut away and trained again."""
    process = runs.cli.start("run", "toy", "--run-id", "r", "-n", "1000", *SLOW, *OFTEN)  # type: ignore[attr-defined]
    wait_until(lambda: runs.bundles("r").all() and trains(runs["r"], 60))
    os.kill(worker_of(runs["r"]), signal.SIGKILL)
    process.communicate(timeout=60)
    assert (process.returncode, state_of(runs["r"])) == (1, "failed")
    step = runs.bundles("r").find("latest").step
    assert step % 50 == 0

    assert runs.cli("resume", "r").code == 0

    runs.assert_as_in_one_go("r")


def test_after_kill_9_of_host_and_worker(runs: Runs, wait_until: Wait) -> None:
    """A run that is lost, with nobody left to write a result, is resumed like any other."""
    process = runs.cli.start("run", "toy", "--run-id", "r", "-n", "1000", *SLOW, *OFTEN)  # type: ignore[attr-defined]
    wait_until(lambda: runs.bundles("r").all() and trains(runs["r"], 60))
    worker = worker_of(runs["r"])
    process.kill()
    os.kill(worker, signal.SIGKILL)
    process.communicate(timeout=60)
    wait_until(lambda: state_of(runs["r"]) == "lost")

    assert runs.cli("resume", "r").code == 0

    runs.assert_as_in_one_go("r")


def test_killed_again_and_again(runs: Runs, wait_until: Wait) -> None:
    """Three kills with -9, each of a resumed run, leave no trace in the curve."""
    process = runs.cli.start("run", "toy", "--run-id", "r", "-n", "1000", *SLOW, *OFTEN)  # type: ignore[attr-defined]
    for step in (60, 200, 400):
        wait_until(lambda step=step: trains(runs["r"], step) and runs.bundles("r").all())
        os.kill(worker_of(runs["r"]), signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == 1
        process = runs.cli.start("resume", "r")  # type: ignore[attr-defined]
        wait_until(lambda: len(list(read_lines(runs["r"].events))) > 0 and state_of(runs["r"]) == "running")
    process.communicate(timeout=60)

    assert process.returncode == 0
    runs.assert_as_in_one_go("r")


def test_a_torn_line_is_healed(runs: Runs) -> None:
    """Half a line at the end of a curve, and whole ones after the checkpoint, are cut away."""
    runs.train("r", "--stop-at", 500)
    for path in (runs["r"].episodes, runs["r"].metrics):
        with path.open("a") as file:
            file.write('{"episode": 9999, "step": 9999, "return": 1}\n{"epi')

    assert runs.cli("resume", "r").code == 0

    runs.assert_as_in_one_go("r")


def test_the_other_algorithm_too(runs: Runs) -> None:
    """Another algorithm of the worker resumes as exactly."""
    for run_id, arguments in (("whole", []), ("r", ["--stop-at", "400"])):
        runs.cli("run", "toy/bandit", "--run-id", run_id, "-n", "1000", *arguments)
    assert runs.cli("resume", "r").code == 0

    runs.assert_as_in_one_go("r")


def test_a_run_of_iterations(runs: Runs) -> None:
    """A backend that advances by many steps at a time stops past the step that it was told, and goes on from there."""
    stride = ("--set", "hyperparameters.steps_per_iteration=64")
    runs.train("whole", *stride)
    assert runs.train("r", *stride, "--stop-at", 100).code == 75
    assert (read_json(runs["r"].result) or {})["step"] == 128
    assert runs.cli("resume", "r").code == 0

    runs.assert_as_in_one_go("r")


def test_a_run_with_returns_that_are_no_numbers(runs: Runs) -> None:
    """NaN and infinite returns are no JSON, and must not keep a checkpoint from being saved."""
    nan = ("--set", "hyperparameters.nan_at=100")
    assert runs.train("r", *nan, "--stop-at", 500).code == 75
    assert runs.cli("resume", "r").code == 0
    assert runs.train("whole", *nan).code == 0

    assert without_times(runs["r"].episodes) == without_times(runs["whole"].episodes)


def test_without_records_there_is_nothing_to_cut(runs: Runs) -> None:
    """A run without the callback jsonl is resumed as well."""
    runs.train("r", "--callback", "no-jsonl", "--stop-at", 500)

    assert runs.cli("resume", "r").code == 0

    assert not runs["r"].episodes.exists()
    assert (read_json(runs["r"].result) or {})["step"] == 1000


# ---- what the directory says ---------------------------------------------------------------------------------------


def test_the_directory_tells_the_story(runs: Runs) -> None:
    """Events, manifest and configuration say when and from where the run went on, and who set what."""
    runs.train("r", "--stop-at", 500, "--set", "hyperparameters.episode_length=7")
    created = (read_json(runs["r"].manifest) or {})["created_at"]
    digest = runs.bundles("r").find("latest").sha256()
    runs.cli("resume", "r", "-n", 1200)

    types = [event["type"] for event in read_lines(runs["r"].events)]
    part = ["training_started", "checkpoint_saved", "training_ended", "run_ended"]
    assert types == ["run_created", *part, "run_resumed", *part]
    manifest = read_json(runs["r"].manifest) or {}
    assert manifest["created_at"] == created
    (entry,) = manifest["resumes"]
    assert (entry["checkpoint_step"], entry["checkpoint_sha256"]) == (500, digest)
    assert entry["command"][1:] == ["resume", "r", "-n", "1200"]
    saved = read_json(runs["r"].config) or {}
    assert saved["config"]["total_timesteps"] == 1200
    assert saved["config"]["stop_at"] is None
    assert saved["origins"]["hyperparameters.episode_length"] == "--set hyperparameters.episode_length"


def test_the_last_run_is_meant_by_default(runs: Runs) -> None:
    """`rlctl resume` alone goes on with the newest run."""
    runs.train("r", "--stop-at", 500)

    assert runs.cli("resume").code == 0
    assert (read_json(runs["r"].result) or {})["step"] == 1000


def test_json(runs: Runs) -> None:
    """With --json the outcome is data, as of `rlctl run`."""
    runs.train("r", "--stop-at", 500)

    outcome = runs.cli("resume", "r", "--json")
    assert (outcome.code, outcome.json()["run_id"], outcome.json()["step"]) == (0, "r", 1000)


def test_from_a_program(runs: Runs) -> None:
    """`rlctl.resume` is the same from Python, with objects that see the events."""
    quiet = {"progress": False}
    stopped = run(RunConfig(worker="toy", stop_at=500, callbacks=quiet), runs_dir=runs.root, run_id="r")
    assert (stopped.result.status, stopped.result.exit_code) == ("stopped", 75)

    outcome = resume("r", runs_dir=runs.root)

    assert (outcome.result.status, outcome.result.step) == ("finished", 1000)
    assert [episode.index for episode in outcome.episodes()] == list(range(outcome.result.episodes))
    runs.assert_as_in_one_go("r")


# ---- budgets and limits --------------------------------------------------------------------------------------------


def test_a_new_budget_in_steps_is_absolute(runs: Runs) -> None:
    """A finished run goes on to a later step, counted from its beginning, as if that had been its budget."""
    assert runs.train("r", "-n", "400").code == 0

    assert runs.cli("resume", "r", "--total-timesteps", 1000).code == 0

    runs.assert_as_in_one_go("r")


def test_a_new_budget_in_episodes(runs: Runs) -> None:
    """A budget in episodes replaces one in steps."""
    runs.train("r", "--stop-at", 300)

    assert runs.cli("resume", "r", "--total-episodes", 100).code == 0

    result = read_json(runs["r"].result) or {}
    assert (result["episodes"], result["reason"]) == (100, "total_episodes = 100 reached")
    assert without_times(runs["r"].episodes) == without_times(runs.whole().episodes)[:100]


def test_a_budget_in_episodes_goes_on(runs: Runs) -> None:
    """A run with a budget in episodes is resumed to it."""
    runs.cli("run", "toy", "--run-id", "r", "--total-episodes", 100, "--stop-at", 300)

    assert runs.cli("resume", "r").code == 0

    result = read_json(runs["r"].result) or {}
    assert (result["episodes"], result["reason"]) == (100, "total_episodes = 100 reached")


@pytest.mark.parametrize("budget", [[], ["-n", "1000"], ["-n", "500"], ["--total-episodes", "10"]])
def test_nothing_left_to_do(runs: Runs, budget: list[str]) -> None:
    """A run that has used up its budget is refused with what to do, and stays as it was."""
    runs.train("r")
    before = {path: path.read_bytes() for path in runs["r"].path.rglob("*") if path.is_file()}

    outcome = runs.cli("resume", "r", *budget)

    assert (outcome.code, outcome.out) == (2, "")
    assert "rlctl: run r has used up its budget at step 1000." in outcome.err
    assert "--total-timesteps N, counted from the run's beginning" in outcome.err
    assert {path: path.read_bytes() for path in runs["r"].path.rglob("*") if path.is_file()} == before


def test_two_budgets(runs: Runs) -> None:
    """Steps and episodes at once are refused."""
    runs.train("r", "--stop-at", 300)

    outcome = runs.cli("resume", "r", "-n", 2000, "--total-episodes", 100)
    assert outcome.code == 2
    assert "two budgets" in outcome.err


def test_a_time_limit_stops_resumable(runs: Runs) -> None:
    """`--time-limit` counts the seconds of a process: the run stops with 75, and goes on when it is resumed."""
    outcome = runs.train("r", "-n", "100000000", *SLOW, "--time-limit", "1")

    assert outcome.code == 75
    result = read_json(runs["r"].result) or {}
    assert (result["status"], result["reason"]) == ("stopped", "time_limit = 1 s reached")
    assert 0.9 < result["seconds"] < 10
    again = runs.cli("resume", "r")
    assert again.code == 75
    assert (read_json(runs["r"].result) or {})["step"] > result["step"]
    assert (read_json(runs["r"].result) or {})["seconds"] > result["seconds"] + 0.5


# ---- which checkpoint ----------------------------------------------------------------------------------------------


def test_from_an_earlier_checkpoint(runs: Runs) -> None:
    """`--checkpoint STEP` goes back: curve and checkpoints after it are gone, and come again."""
    runs.train("r", "--stop-at", 500, "--set", "checkpoint.every_steps=100", "--set", "checkpoint.keep_last=null")

    assert runs.cli("resume", "r", "--checkpoint", "200", "--stop-at", 250).code == 75

    assert [bundle.step for bundle in runs.bundles("r").all()] == [100, 200, 250]
    assert without_times(runs["r"].episodes)[-1]["step"] <= 250
    assert runs.cli("resume", "r").code == 0
    runs.assert_as_in_one_go("r")


def test_a_damaged_checkpoint_offers_the_one_before(runs: Runs) -> None:
    """Resuming from a damaged checkpoint is refused, and from the one that is offered it works."""
    runs.train("r", "--stop-at", 500, "--set", "checkpoint.every_steps=100")
    (runs.bundles("r").find("latest").path / "random.json").write_text("{}")

    outcome = runs.cli("resume", "r")
    assert (outcome.code, outcome.out) == (2, "")
    assert "the member random.json has 2 bytes" in outcome.err
    assert "A sound one before it: --checkpoint 400." in outcome.err

    assert runs.cli("resume", "r", "--checkpoint", "400").code == 0
    runs.assert_as_in_one_go("r")


@pytest.mark.parametrize("reference", ["best", "123", "nonsense"])
def test_a_checkpoint_that_is_not_there(runs: Runs, reference: str) -> None:
    """What there is none of is refused with what there is."""
    runs.train("r", "--stop-at", 500)

    outcome = runs.cli("resume", "r", "--checkpoint", reference)
    assert (outcome.code, outcome.out) == (2, "")
    assert f'there is no checkpoint "{reference}"' in outcome.err
    assert "There is: 500." in outcome.err


def test_a_run_without_any_checkpoint(runs: Runs, wait_until: Wait) -> None:
    """A run that was killed before its first checkpoint cannot be resumed, and that is said."""
    runs.train("r", "--set", "hyperparameters.kill_at=100")

    outcome = runs.cli("resume", "r")
    assert (outcome.code, outcome.out) == (2, "")
    assert 'there is no checkpoint "latest"' in outcome.err
    assert "There is: none." in outcome.err


def test_no_such_run(runs: Runs) -> None:
    """A run that does not exist is refused like everywhere else."""
    runs.train("r", "--stop-at", 500)

    outcome = runs.cli("resume", "q")
    assert outcome.code == 2
    assert 'there is no run "q"' in outcome.err


def test_a_running_run(runs: Runs, wait_until: Wait) -> None:
    """A run that is still trained is refused, and is not disturbed."""
    process = runs.cli.start("run", "toy", "--run-id", "r", "-n", "1000", *SLOW, *OFTEN)  # type: ignore[attr-defined]
    wait_until(lambda: runs.bundles("r").all())

    outcome = runs.cli("resume", "r")
    process.communicate(timeout=60)

    assert (outcome.code, outcome.out) == (2, "")
    assert "run r is still running" in outcome.err
    assert process.returncode == 0
    runs.assert_as_in_one_go("r")


def test_of_two_at_the_same_moment_one_goes_on(runs: Runs) -> None:
    """Two that resume one run at once do not both train in its directory."""
    runs.train("r", "--stop-at", 500, *SLOW)

    processes = [runs.cli.start("resume", "r") for _ in range(3)]  # type: ignore[attr-defined]
    for process in processes:
        process.communicate(timeout=60)

    assert sorted(process.returncode for process in processes) == [0, 2, 2]
    assert len((read_json(runs["r"].manifest) or {})["resumes"]) == 1
    runs.assert_as_in_one_go("r")


# ---- drift ---------------------------------------------------------------------------------------------------------


def change(path: Path, value: Any, *keys: str) -> None:
    """Set a value deep inside of a JSON file."""
    data = json.loads(path.read_text())
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(data))


def drift_hyperparameter(run: RunDirectory, saved: Path) -> None:
    """Change a hyper-parameter of the run's configuration."""
    change(run.config, 9, "config", "hyperparameters", "episode_length")


def drift_env(run: RunDirectory, saved: Path) -> None:
    """Change the environment of the run's configuration."""
    change(run.config, 2, "config", "env", "num_envs")


def drift_python(run: RunDirectory, saved: Path) -> None:
    """Let the checkpoint be of another Python."""
    change(saved, "3.9.1", "versions", "python")


def drift_package(run: RunDirectory, saved: Path) -> None:
    """Let the checkpoint be of a package that is not here."""
    change(saved, "1.2.3", "versions", "no-such-package")


def drift_worker(run: RunDirectory, saved: Path) -> None:
    """Let the checkpoint be of another version of the worker's package."""
    change(saved, "0.9", "worker", "version")


def drift_source(run: RunDirectory, saved: Path) -> None:
    """Let the checkpoint be of another source of the worker."""
    change(saved, {"sha256": "abc"}, "worker", "source")


@pytest.mark.parametrize(
    ("drift", "words"),
    [
        (drift_hyperparameter, "hyperparameters.episode_length: was 10 when the checkpoint was saved, is 9"),
        (drift_env, "env.num_envs: was None when the checkpoint was saved, is 2"),
        (drift_python, "python: was 3.9.1 when the checkpoint was saved, is "),
        (drift_package, "no-such-package: was 1.2.3 when the checkpoint was saved, is not installed"),
        (drift_worker, "toy-worker: was 0.9 when the checkpoint was saved, is 1.0"),
        (drift_source, "worker: its source has changed since the checkpoint: abc became None"),
    ],
)
def test_drift_is_refused_by_name_unless_allowed(runs: Runs, drift: Callable[..., None], words: str) -> None:
    """What has changed since is named with both values; --allow-drift goes on all the same."""
    runs.train("r", "--stop-at", 500)
    drift(runs["r"], runs.bundles("r").find("latest").path / "checkpoint.json")

    outcome = runs.cli("resume", "r")
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert "Go on all the same with --allow-drift." in outcome.err
    assert state_of(runs["r"]) == "stopped"

    assert runs.cli("resume", "r", "--allow-drift").code == 0
    assert (read_json(runs["r"].result) or {})["step"] == 1000


def test_all_drift_is_said_at_once(runs: Runs) -> None:
    """Several changes are one refusal."""
    runs.train("r", "--stop-at", 500)
    saved = runs.bundles("r").find("latest").path / "checkpoint.json"
    drift_python(runs["r"], saved)
    drift_hyperparameter(runs["r"], saved)

    outcome = runs.cli("resume", "r")
    assert outcome.code == 2
    assert "python: was" in outcome.err
    assert "hyperparameters.episode_length: was" in outcome.err


@pytest.mark.parametrize("drift", ["--allow-drift", ""])
def test_a_checkpoint_of_another_algorithm(runs: Runs, drift: str) -> None:
    """Another worker's or algorithm's checkpoint is refused in one sentence, whatever drift is allowed."""
    runs.train("r", "--stop-at", 500)
    change(runs.bundles("r").find("latest").path / "checkpoint.json", "bandit", "algo")

    outcome = runs.cli("resume", "r", *filter(None, [drift]))
    assert (outcome.code, outcome.out) == (2, "")
    assert "checkpoint: is of toy/bandit, the run is of toy/count" in outcome.err


def test_a_newer_format(runs: Runs) -> None:
    """A checkpoint of a newer rlctl is refused in one sentence."""
    runs.train("r", "--stop-at", 500)
    change(runs.bundles("r").find("latest").path / "checkpoint.json", 2, "format")

    outcome = runs.cli("resume", "r")
    (line,) = outcome.err.splitlines()
    assert (outcome.code, "has format 2, this rlctl reads 1: upgrade rlctl." in line) == (2, True)


def test_a_worker_that_cannot_resume(runs: Runs, tmp_path: Path, site: Callable[..., Any]) -> None:
    """A worker that declares `none` saves nothing, ends as interrupted programs do, and is refused."""
    from rlctl.testing import fake_distribution

    module = """
from rlctl import AlgorithmDescriptor, Run, WorkerDescriptor, hookimpl

class Plain:
    def train(self, run: Run) -> None:
        step = 0
        while run.advance(step):
            step += 1

@hookimpl
def rlctl_workers():
    algorithm = AlgorithmDescriptor(
        name="plain", action_spaces=(), observation_spaces=(), default_env="x", default_total_timesteps=100
    )
    return [WorkerDescriptor(name="plain", summary="", entry_point="plain:Plain", algorithms=(algorithm,), env_families=("x",))]
"""
    site(fake_distribution(tmp_path / "site", "plain", {"plain": "plain"}, {"plain": module}))
    assert runs.cli("run", "plain", "--run-id", "p", "--stop-at", 50).code == 143
    assert not (runs["p"].path / "checkpoints").exists()

    refused = runs.cli("verify", "resume", "plain", "-n", 100)
    assert refused.code == 2
    assert 'worker "plain" cannot resume a run (resume: none).' in refused.err


# ---- verify --------------------------------------------------------------------------------------------------------


def test_verify_resume(runs: Runs) -> None:
    """`rlctl verify resume` trains in one go and in two, and finds both equal."""
    outcome = runs.cli("verify", "resume", "toy", "-n", 600, "--share", "0.3", "--json")

    assert outcome.code == 0, outcome.err
    said = outcome.json()
    assert (said["holds"], said["differences"], said["declared"], said["stopped_at"]) == (True, [], "exact", 180)
    assert not runs.root.exists(), "a proof leaves no runs"


def test_verify_can_fail(runs: Runs, tmp_path: Path) -> None:
    """It is no decoration: what differs between two runs is named."""
    runs.train("a")
    runs.train("b", "-s", "2")
    found = differences(runs["a"].path, runs["b"].path)

    assert found[0].startswith("episode 0: ")
    assert "random.json differs" in found
    assert "weights.json differs" in found


def test_resuming_takes_no_longer_than_starting(runs: Runs) -> None:
    """A resume is a start, not a replay: the steps before the checkpoint are not taken again."""
    runs.train("r", "-n", "1000", "--stop-at", 900, *SLOW)
    begun = time.monotonic()
    assert runs.cli("resume", "r").code == 0
    record = read_json(runs["r"].result) or {}

    assert record["step"] == 1000
    assert time.monotonic() - begun < 60
    started = [event for event in read_lines(runs["r"].events) if event["type"] == "training_started"]
    ended = [event for event in read_lines(runs["r"].events) if event["type"] == "training_ended"]
    assert ended[1]["time"] - started[1]["time"] < ended[0]["time"] - started[0]["time"]


def test_a_reference_to_nothing_from_a_program(runs: Runs) -> None:
    """From Python a refusal is raised."""
    with pytest.raises(UsageError, match="there are no runs"):
        resume("r", runs_dir=runs.root)
