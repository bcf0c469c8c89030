"""Where a training begins if not anew: with the weights of a run's checkpoint or of a file, and with nothing else of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.core.toy_runs import ToyRuns

from rlctl import RunConfig, run
from rlctl.errors import CheckpointError
from rlctl.runs.checkpoints import Checkpoint, CheckpointFolder, sha256_of
from rlctl.runs.directory import state_of
from rlctl.runs.files import read_json, read_lines
from rlctl.testing import fake_distribution, on_path
from rlctl.worker.beginning import PolicyLent, Weights, beginning_of

FAKE_SITE = Path(__file__).parents[1] / "fake_site"
Cli = Callable[..., Any]
Site = Callable[..., Any]


class Runs(ToyRuns):
    """The test's runs; of the toy, whose weight is its skill: it grows by a thousandth each step."""

    def train(self, run_id: str, *args: object, worker: str = "toy") -> Any:
        """Train for 500 steps, or as the arguments say."""
        return self.cli("run", worker, "--run-id", run_id, "-n", "500", *args)

    def bundle(self, run_id: str, reference: str = "latest") -> Checkpoint:
        """Return a checkpoint of a run."""
        return self.bundles(run_id).find(reference)

    def skill(self, run_id: str, reference: str = "latest") -> float:
        """Return the weight in a checkpoint."""
        return float(json.loads(self.bundle(run_id, reference).member("weights.json").read_text())["skill"])

    def episodes(self, run_id: str) -> list[tuple[int, int, float]]:
        """Return number, step and return of a run's episodes."""
        return [(line["episode"], line["step"], line["return"]) for line in read_lines(self[run_id].episodes)]


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of the toy of 500 steps, saved every 100 and evaluated every 200."""
    config = RunConfig(
        worker="toy",
        total_timesteps=500,
        callbacks={"progress": False},
        checkpoint={"every_steps": 100, "keep_last": None},
        evaluation={"every_steps": 200},
    )
    with on_path(FAKE_SITE / "toy_worker"):
        outcome = run(config, runs_dir=tmp_path_factory.mktemp("runs"), run_id="parent")
    assert outcome.result.status == "finished"
    return outcome.directory


@pytest.fixture
def runs(cli: Cli, tmp_path: Path, site: Site, parent: Path) -> Runs:
    """Return the test's runs: there is a copy of `parent`; the toy worker is installed."""
    site("toy_worker")
    shutil.copytree(parent, tmp_path / "runs" / "parent", symlinks=True)
    return Runs(cli, tmp_path / "runs")


# ---- which weights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "step"), [("parent", 500), ("parent:latest", 500), ("parent:300", 300), ("parent:best", 500)]
)
def test_a_run_begins_with_the_weights_of_a_checkpoint(runs: Runs, reference: str, step: int) -> None:
    """A run alone means its latest checkpoint; `latest`, `best` or a step may be named."""
    assert runs.train("child", "--init-from", reference).code == 0

    assert runs.skill("child") == pytest.approx(runs.skill("parent", str(step)) + 0.5)
    assert runs.skill("parent", str(step)) == pytest.approx(step / 1000)


def test_the_best_is_not_just_the_latest(runs: Runs) -> None:
    """`best` is what the parent's evaluations say, also when later checkpoints are there."""
    checkpoints = CheckpointFolder(runs["parent"].path / "checkpoints")
    checkpoints.link("best", runs.bundle("parent", "200").path)

    assert runs.train("child", "--init-from", "parent:best").code == 0

    assert runs.skill("child") == pytest.approx(0.7)
    assert (read_json(runs["child"].manifest) or {})["parent"]["checkpoint_step"] == 200


def test_a_run_is_meant_by_its_folder_too(runs: Runs) -> None:
    """A path to a run's folder names it as everywhere else."""
    assert runs.train("child", "--init-from", runs["parent"].path).code == 0

    assert runs.skill("child") == pytest.approx(1.0)


def test_a_run_begins_with_a_file_of_the_library(runs: Runs) -> None:
    """A path to a file is the library's own business."""
    (runs.cli.folder / "skill.json").write_text("0.25")  # type: ignore[attr-defined]

    assert runs.train("child", "--init-from", "skill.json", "--trust").code == 0

    assert runs.skill("child") == pytest.approx(0.75)


def test_only_the_weights_are_taken(runs: Runs) -> None:
    """Counts, generator and budget are those of a new run: its episodes are the ones that it has without a parent."""
    assert runs.train("child", "--init-from", "parent").code == 0
    assert runs.train("stranger").code == 0

    assert runs.episodes("child") == runs.episodes("stranger") != []
    assert (read_json(runs["child"].result) or {})["step"] == 500
    assert runs.bundle("child").member("random.json").read_bytes() == (
        runs.bundle("stranger").member("random.json").read_bytes()
    )
    assert runs.skill("child") == pytest.approx(runs.skill("stranger") + 0.5)


def test_the_parent_is_left_as_it_was(runs: Runs) -> None:
    """Somebody else's run is read and nothing more."""
    before = {path: path.read_bytes() for path in runs["parent"].path.rglob("*") if path.is_file()}

    assert runs.train("child", "--init-from", "parent").code == 0

    assert {path: path.read_bytes() for path in runs["parent"].path.rglob("*") if path.is_file()} == before


def test_a_resumed_child_goes_on_with_its_own(runs: Runs) -> None:
    """Stopped and resumed it is the child in one go, also when its parent is gone by then."""
    assert runs.train("whole", "--init-from", "parent").code == 0
    assert runs.train("child", "--init-from", "parent", "--stop-at", "300").code == 75
    shutil.rmtree(runs["parent"].path)

    assert runs.cli("resume", "child").code == 0

    assert runs.episodes("child") == runs.episodes("whole")
    assert runs.skill("child") == runs.skill("whole")


# ---- what the manifest says ----------------------------------------------------------------------------------------


def test_the_manifest_names_the_parent(runs: Runs) -> None:
    """Which run, which step, and the hash by which its checkpoint can be told for good; also after a resume."""
    bundle = runs.bundle("parent", "300")
    parent = {
        "run_id": "parent",
        "checkpoint_step": 300,
        "checkpoint_sha256": bundle.sha256(),
        "path": str(bundle.path),
    }

    assert runs.train("child", "--init-from", "parent:300", "--stop-at", "100").code == 75
    assert (read_json(runs["child"].manifest) or {})["parent"] == parent
    assert runs.cli("resume", "child").code == 0
    assert (read_json(runs["child"].manifest) or {})["parent"] == parent
    assert (read_json(runs["parent"].manifest) or {})["parent"] is None


def test_the_manifest_names_the_file(runs: Runs) -> None:
    """Where it was, its hash, and whether it was trusted."""
    file = runs.cli.folder / "skill.json"  # type: ignore[attr-defined]
    file.write_text("0.25")

    runs.train("child", "--init-from", "skill.json", "--trust")

    parent = (read_json(runs["child"].manifest) or {})["parent"]
    assert parent == {"path": str(file), "sha256": sha256_of(file), "trust": True}


# ---- refusals ------------------------------------------------------------------------------------------------------


def assert_refused(runs: Runs, words: str, *args: object, worker: str = "toy") -> None:
    """Check that the run is refused in one sentence with these words, and that there is no trace of it."""
    outcome = runs.train("child", *args, worker=worker)

    (line,) = outcome.err.splitlines()
    assert (outcome.code, outcome.out) == (2, "")
    assert words in line
    assert not runs["child"].path.exists()


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("nobody", 'init_from: there is no run "nobody"'),
        ("nobody:best", 'init_from: there is no run "nobody"'),
        ("parent:250", 'init_from: there is no checkpoint "250"'),
        ("parent:", 'init_from: there is no checkpoint ""'),
        ("parent:250", "There is: 100, 200, 300, 400, 500."),
        ("model.zip", 'init_from: there is no run "model.zip"'),
    ],
)
def test_what_is_not_there_is_refused(runs: Runs, reference: str, words: str) -> None:
    """A run, a checkpoint or a file that does not exist is named before anything starts."""
    assert_refused(runs, words, "--init-from", reference)


def test_a_dry_run_shows_a_missing_parent_beside_all_else(runs: Runs) -> None:
    """What will be refused is refused by a dry run, with who said it."""
    outcome = runs.train("child", "--init-from", "parent:250", "--callback", "nonsense", "--dry-run")

    assert outcome.code == 2
    assert 'init_from: there is no checkpoint "250"' in outcome.err
    assert "(from --init-from)" in outcome.err
    assert "callbacks.nonsense: " in outcome.err


def test_a_run_without_evaluations_has_no_best_to_begin_with(runs: Runs) -> None:
    """`best` is only there where something was evaluated."""
    runs.train("plain")

    assert_refused(runs, 'init_from: there is no checkpoint "best"', "--init-from", "plain:best")


def test_a_checkpoint_of_another_algorithm_is_refused(runs: Runs) -> None:
    """Weights belong to an algorithm; both are named."""
    words = "init_from: is of toy/count, the run is of toy/bandit"

    assert_refused(runs, words, "--init-from", "parent", worker="toy/bandit")


def test_an_altered_checkpoint_is_refused(runs: Runs) -> None:
    """A member whose hash is another is named: weights that somebody has exchanged are no parent."""
    member = runs.bundle("parent").member("weights.json")
    member.write_text(member.read_text().replace("0", "9"))

    assert_refused(runs, "the member weights.json was altered, its hash differs", "--init-from", "parent")


def test_a_file_that_is_none_of_the_library_fails_in_one_sentence(runs: Runs) -> None:
    """What the library cannot read is said by the run that could not begin."""
    (runs.cli.folder / "model.zip").write_text("PK")  # type: ignore[attr-defined]

    outcome = runs.train("child", "--init-from", "model.zip", "--trust")

    assert (outcome.code, state_of(runs["child"])) == (1, "failed")
    assert "model.zip is no file of the toy's" in outcome.err
    assert "Traceback" not in outcome.err


WORKER = """
from rlctl import AlgorithmDescriptor, Resume, Run, WorkerDescriptor, hookimpl

class State:
    def write_state(self, folder):
        (folder / "weights.json").write_text("1")

    def read_artefact(self, path, trust):
        pass

    read_state = read_weights = policy = write_state

class Worker:
    def train(self, run: Run) -> None:
        {begin}
        step = 0
        while run.advance(step):
            step += 1

@hookimpl
def rlctl_workers():
    algorithm = AlgorithmDescriptor(
        name="plain", action_spaces=(), observation_spaces=(), default_env="x", default_total_timesteps=100
    )
    return [WorkerDescriptor(
        name="other", summary="", entry_point="other:Worker", algorithms=(algorithm,), env_families=("x",),
        resume=Resume.{resume},
    )]
"""


@pytest.fixture
def other(runs: Runs, tmp_path: Path, site: Site) -> Callable[..., Any]:
    """Return `other(begin, resume=...)`: installs a worker whose training begins so, and lets it begin with a file."""

    def install(begin: str, resume: str = "WEIGHTS") -> tuple[str, str]:
        module = WORKER.format(begin=begin, resume=resume)
        site(fake_distribution(tmp_path / "site", "other", {"other": "other"}, {"other": module}))
        (runs.cli.folder / "weights").touch()  # type: ignore[attr-defined]
        return "--init-from", "weights"

    return install


@pytest.mark.parametrize(
    ("begin", "words"),
    [
        ("run.attach(State())", "other began to train without `run.restore()`: it would not begin where it is to"),
        ("run.restore()", "other attaches no state, so it can neither be resumed nor begin with weights"),
    ],
)
def test_a_worker_that_does_not_do_its_part_fails_in_one_sentence(
    runs: Runs, other: Callable[..., Any], begin: str, words: str
) -> None:
    """A worker that would have trained from scratch under the name of a child is stopped before its first step."""
    outcome = runs.train("child", *other(begin), worker="other")

    result = read_json(runs["child"].result) or {}
    assert (outcome.code, result["status"], result["step"]) == (1, "failed", 0)
    assert words in result["reason"]
    assert words in outcome.err
    assert "Traceback" not in outcome.err
    assert not (runs["child"].path / "checkpoints").exists(), "something was saved under its name"


def test_a_worker_that_does_its_part_begins(runs: Runs, other: Callable[..., Any]) -> None:
    """The same worker with both calls trains: it is these that the two above lack."""
    assert runs.train("child", *other("run.attach(State()); run.restore()"), worker="other").code == 0


def test_a_worker_that_takes_no_weights_is_refused(runs: Runs, other: Callable[..., Any]) -> None:
    """One that declares that it saves nothing is not even started."""
    words = "init_from: worker other cannot begin with weights (resume: none)."

    assert_refused(runs, words, *other("run.restore()", resume="NONE"), worker="other")


# ---- between host and worker ---------------------------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path: Path) -> Checkpoint:
    """Return a bundle with one member."""
    folder = CheckpointFolder(tmp_path / "checkpoints")
    temporary = folder.begin(100)
    (temporary / "weights.json").write_text("1")
    return folder.commit(temporary, {"step": 100})


def parent_of(bundle: Checkpoint) -> dict[str, Any]:
    """Return what a manifest says of a bundle."""
    return {"run_id": "r", "checkpoint_step": 100, "checkpoint_sha256": bundle.sha256(), "path": str(bundle.path)}


def test_the_manifest_says_how_the_worker_begins(bundle: Checkpoint, tmp_path: Path) -> None:
    """No parent, a bundle, or a file that is trusted or not."""
    file = tmp_path / "model.zip"

    assert beginning_of(None) is None
    assert beginning_of(parent_of(bundle)) == Weights(bundle.path)
    assert beginning_of({"path": str(file), "sha256": "", "trust": True}) == Weights(file, trust=True)
    assert beginning_of({"path": str(file), "sha256": "", "trust": False}) == Weights(file, trust=False)


def test_a_bundle_that_is_gone_is_no_beginning(bundle: Checkpoint) -> None:
    """The parent's own retention may have removed it between the command and the start of the process."""
    parent = parent_of(bundle)
    shutil.rmtree(bundle.path)

    with pytest.raises(CheckpointError, match="which this run is to begin with, is gone or was altered"):
        beginning_of(parent)


@pytest.mark.parametrize(
    ("name", "words"),
    [("checkpoint.json", "is gone or was altered"), ("weights.json", "the member weights.json has 2 bytes, not 1")],
)
def test_a_bundle_that_was_altered_since_is_no_beginning(bundle: Checkpoint, name: str, words: str) -> None:
    """What the worker reads is what the host has seen, or nothing."""
    parent = parent_of(bundle)
    with (bundle.path / name).open("a") as file:
        file.write("\n")

    with pytest.raises(CheckpointError, match=words):
        beginning_of(parent)


class Taker:
    """Remembers where it was given weights from."""

    def __init__(self) -> None:
        self.taken: list[tuple[Any, ...]] = []

    def read_weights(self, folder: Path) -> None:
        self.taken.append(("bundle", folder))

    def read_artefact(self, path: Path, trust: bool) -> None:
        self.taken.append(("file", path, trust))


@pytest.mark.parametrize("trust", [True, False])
def test_a_folder_is_a_bundle_and_a_file_is_not(tmp_path: Path, trust: bool) -> None:
    """Trust is a matter of files: of a bundle nothing is ever unpickled."""
    state, file = Taker(), tmp_path / "model"
    file.touch()

    Weights(tmp_path, trust=trust).read(state)  # type: ignore[arg-type]
    Weights(file, trust=trust).read(state)  # type: ignore[arg-type]

    assert state.taken == [("bundle", tmp_path), ("file", file, trust)]


def test_a_policy_is_lent_with_its_weights_and_not_trained(tmp_path: Path) -> None:
    """With `use` the training ends there, whatever exceptions the backend catches."""
    state = Taker()
    seen: list[Any] = []

    with pytest.raises(PolicyLent):
        Weights(tmp_path, use=lambda given: seen.append((given, list(state.taken)))).read(state)  # type: ignore[arg-type]

    assert seen == [(state, [("bundle", tmp_path)])]
    assert not issubclass(PolicyLent, Exception)
