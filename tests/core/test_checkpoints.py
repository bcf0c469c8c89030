"""Checkpoint bundles: whole or not there, found by name or step, and what is said of one that is not sound."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlctl.errors import CheckpointError
from rlctl.runs.abandoned import set_aside
from rlctl.runs.checkpoints import Checkpoint, CheckpointFolder, read_checkpoint, sha256_of
from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json, read_lines

Cli = Callable[..., Any]
Site = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    """Return a folder for bundles that does not exist yet."""
    return CheckpointFolder(tmp_path / "checkpoints")


def save(folder: CheckpointFolder, step: int, text: str = "weights") -> Checkpoint:
    """Commit a bundle with two members, one of them in a folder of its own."""
    temporary = folder.begin(step)
    (temporary / "weights.bin").write_text(f"{text} {step}")
    (temporary / "more").mkdir()
    (temporary / "more" / "state.json").write_text("{}")
    return folder.commit(temporary, {"step": step, "episodes": step // 10})


def steps(folder: CheckpointFolder) -> list[int]:
    """Return the steps of all bundles."""
    return [bundle.step for bundle in folder.all()]


def hidden(folder: CheckpointFolder) -> list[str]:
    """Return what is left of saves and removals."""
    return [path.name for path in folder.path.glob(".*")]


# ---- making and finding --------------------------------------------------------------------------------------------


def test_a_bundle_describes_all_its_members(folder: CheckpointFolder) -> None:
    """checkpoint.json has the format, what it was given, and hash and size of each member, but not of itself."""
    bundle = save(folder, 100)

    assert (bundle.path.name, bundle.step, bundle.data["format"], bundle.data["episodes"]) == (
        "step-000000000100",
        100,
        1,
        10,
    )
    assert sorted(bundle.data["members"]) == ["more/state.json", "weights.bin"]
    weights = bundle.path / "weights.bin"
    assert bundle.data["members"]["weights.bin"] == {"sha256": sha256_of(weights), "bytes": 11}
    assert read_checkpoint(bundle.path) == bundle
    assert bundle.sha256() == sha256_of(bundle.path / "checkpoint.json")
    bundle.verify()


def test_nothing_temporary_is_left(folder: CheckpointFolder) -> None:
    """After a commit there are the bundle and the link, nothing else."""
    save(folder, 100)

    assert sorted(path.name for path in folder.path.iterdir()) == ["latest", "step-000000000100"]


def test_what_is_not_committed_is_no_bundle(folder: CheckpointFolder) -> None:
    """A save that has only begun is not found."""
    save(folder, 100)
    (folder.begin(200) / "weights.bin").write_text("half")

    assert steps(folder) == [100]


def test_members_are_found_by_name(folder: CheckpointFolder) -> None:
    """A member's path is given for its name, and a name that there is none of is refused."""
    bundle = save(folder, 100)

    assert bundle.member("weights.bin").read_text() == "weights 100"
    with pytest.raises(CheckpointError, match=r"has no member optimizer\.json"):
        bundle.member("optimizer.json")


def test_latest_follows_each_save(folder: CheckpointFolder) -> None:
    """`latest` is a relative link to the bundle that was saved last, so that a run can be moved."""
    for step in (100, 200):
        save(folder, step)
        assert (folder.path / "latest").readlink() == Path(f"step-{step:012d}")

    moved = folder.path.rename(folder.path.with_name("moved"))
    assert CheckpointFolder(moved).find("latest").step == 200


def test_bundles_are_found_by_step_and_by_link(folder: CheckpointFolder) -> None:
    """`latest`, `best` and a step each mean a bundle."""
    for step in (100, 200, 300):
        save(folder, step)
    folder.link("best", folder.path / "step-000000000100")

    assert [folder.find(name).step for name in ("latest", "best", "200", "000200")] == [300, 100, 200, 200]


@pytest.mark.parametrize("reference", ["best", "150", "-100", "", "1e2", "../checkpoints/step-000000000100"])
def test_a_reference_to_nothing_lists_what_there_is(folder: CheckpointFolder, reference: str) -> None:
    """Anything else is refused with the steps that there are."""
    save(folder, 100)
    save(folder, 200)

    with pytest.raises(CheckpointError) as caught:
        folder.find(reference)
    assert f'there is no checkpoint "{reference}"' in caught.value.message
    assert caught.value.hint == "There is: 100, 200."


def test_an_empty_folder_has_none(folder: CheckpointFolder) -> None:
    """Without any bundle that is what the refusal says."""
    assert folder.all() == []
    with pytest.raises(CheckpointError, match="There is: none"):
        folder.find("latest")


def test_a_lost_link_costs_nothing(folder: CheckpointFolder) -> None:
    """Without its link, after a copy say, `latest` means the bundle of the highest step."""
    save(folder, 100)
    save(folder, 200)
    (folder.path / "latest").unlink()

    assert folder.find("latest").step == 200


def test_bundles_are_sorted_by_step(folder: CheckpointFolder) -> None:
    """They come in the order of their steps, whatever the order in which they were saved."""
    for step in (300, 20, 10**13, 100):
        save(folder, step)

    assert steps(folder) == [20, 100, 300, 10**13]


def test_the_same_step_can_be_saved_again(folder: CheckpointFolder) -> None:
    """After a resume the newer bundle of a step replaces the older, and nothing of that is left."""
    save(folder, 100, "old")
    bundle = save(folder, 100, "new")

    assert bundle.member("weights.bin").read_text() == "new 100"
    assert folder.find("latest").member("weights.bin").read_text() == "new 100"
    assert (steps(folder), hidden(folder)) == ([100], [])
    bundle.verify()


def test_going_back_keeps_what_came_later_aside(folder: CheckpointFolder) -> None:
    """A run that goes on from an earlier bundle has this one as its latest; the later ones and the records are kept."""
    for step in (100, 200, 300):
        save(folder, step)
    run = RunDirectory(folder.path.parent)
    run.episodes.write_text("all of it\n")

    place = set_aside(run, folder.find("100"), ["episodes.jsonl", "metrics.jsonl"])

    assert (steps(folder), folder.find("latest").step, hidden(folder)) == ([100], 100, [])
    assert place == run.path / "abandoned" / "001"
    assert steps(CheckpointFolder(place / "checkpoints")) == [200, 300]
    assert (place / "episodes.jsonl").read_text() == "all of it\n"
    assert set_aside(run, folder.find("100"), ["episodes.jsonl"]) is None


# ---- retention -----------------------------------------------------------------------------------------------------


def test_the_last_ones_are_kept(folder: CheckpointFolder) -> None:
    """`prune` keeps as many as it is told, the newest."""
    for step in range(100, 600, 100):
        save(folder, step)
    folder.prune(2)

    assert (steps(folder), hidden(folder)) == ([400, 500], [])


def test_what_is_linked_or_wanted_is_kept(folder: CheckpointFolder) -> None:
    """The bundle that `best` means and those of named steps are kept beside the last ones."""
    for step in range(100, 600, 100):
        save(folder, step)
    folder.link("best", folder.path / "step-000000000200")
    folder.prune(1, keep=(300,))

    assert steps(folder) == [200, 300, 500]


def test_none_keeps_all(folder: CheckpointFolder) -> None:
    """Without a number nothing is removed."""
    for step in (100, 200, 300):
        save(folder, step)
    folder.prune(None)

    assert steps(folder) == [100, 200, 300]


def test_the_latest_is_never_removed(folder: CheckpointFolder) -> None:
    """`latest` is kept even where it is not the one of the highest step."""
    save(folder, 200)
    save(folder, 300)
    save(folder, 100)
    folder.prune(1)

    assert steps(folder) == [100, 300]


def test_sweeping_removes_what_was_interrupted(folder: CheckpointFolder) -> None:
    """Half a save, half a removal and half a link are removed; bundles and links stay."""
    save(folder, 100)
    (folder.begin(200) / "weights.bin").write_text("half")
    (folder.path / ".removed-step-000000000050").mkdir()
    (folder.path / ".latest.1").symlink_to("step-000000000100")
    folder.sweep()

    assert sorted(path.name for path in folder.path.iterdir()) == ["latest", "step-000000000100"]


def test_sweeping_what_is_not_there(folder: CheckpointFolder) -> None:
    """A run without checkpoints can be swept, and none come of it."""
    folder.sweep()

    assert not folder.path.exists()


# ---- soundness -----------------------------------------------------------------------------------------------------


def damage_missing(path: Path) -> None:
    """Remove a member."""
    path.unlink()


def damage_torn(path: Path) -> None:
    """Cut a member."""
    os.truncate(path, 4)


def damage_altered(path: Path) -> None:
    """Change one bit of a member."""
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(bytes(data))


DAMAGES = pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_missing, "the member weights.bin is missing."),
        (damage_torn, "the member weights.bin has 4 bytes, not 11."),
        (damage_altered, "the member weights.bin was altered, its hash differs."),
    ],
)


@DAMAGES
def test_damage_names_the_member(folder: CheckpointFolder, damage: Callable[[Path], None], words: str) -> None:
    """A missing, torn or altered member is named, and the newest sound bundle before it offered."""
    for step in (100, 200, 300):
        save(folder, step)
    damage(folder.path / "step-000000000300" / "weights.bin")

    with pytest.raises(CheckpointError) as caught:
        folder.find_sound("latest")
    assert caught.value.message == f"checkpoint {folder.path / 'step-000000000300'}: {words}"
    assert caught.value.hint == "A sound one before it: --checkpoint 200."
    assert folder.find_sound("200").step == 200


@DAMAGES
def test_only_sound_ones_are_offered(folder: CheckpointFolder, damage: Callable[[Path], None], words: str) -> None:
    """What is offered is verified, too; where none is sound, that is said."""
    for step in (100, 200, 300):
        save(folder, step)
    for step in (200, 300):
        damage(folder.path / f"step-{step:012d}" / "weights.bin")
    with pytest.raises(CheckpointError, match=r"before it: --checkpoint 100\."):
        folder.find_sound("latest")

    damage(folder.path / "step-000000000100" / "weights.bin")
    with pytest.raises(CheckpointError, match=r"There is no sound one before it\."):
        folder.find_sound("latest")


def test_a_newer_format_is_one_sentence(folder: CheckpointFolder) -> None:
    """A bundle of a newer rlctl is refused in one sentence, before its members are looked at."""
    bundle = save(folder, 100)
    description = bundle.path / "checkpoint.json"
    description.write_text(json.dumps({**bundle.data, "format": 2, "members": {"new": {}}}))

    with pytest.raises(CheckpointError) as caught:
        folder.find_sound("latest")
    assert str(caught.value) == f"checkpoint {bundle.path} has format 2, this rlctl reads 1: upgrade rlctl."


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"step": 100}'])
def test_a_folder_without_a_readable_description_is_no_bundle(folder: CheckpointFolder, text: str) -> None:
    """A description that is torn or says too little makes no bundle: nobody lists it, and nobody goes on from it."""
    save(folder, 100)
    bundle = save(folder, 200)
    (bundle.path / "checkpoint.json").write_text(text)

    assert read_checkpoint(bundle.path) is None
    assert steps(folder) == [100]
    with pytest.raises(CheckpointError, match="cannot be read"):
        folder.find_sound("latest")


# ---- kills and full disks ------------------------------------------------------------------------------------------


@pytest.fixture
def found(tmp_path: Path, rlctl_env: dict[str, str], site: Site) -> RunDirectory:
    """Return the directory of the test's run "r", which does not exist yet; the toy worker is installed."""
    site("toy_worker")
    return RunDirectory(tmp_path / "runs" / "r")


def settings(**values: Any) -> list[str]:
    """Return the arguments that set hyper-parameters."""
    return [part for name, value in values.items() for part in ("--set", f"hyperparameters.{name}={json.dumps(value)}")]


EVERY_100 = ("run", "toy", "--run-id", "r", "-n", "1000", "--set", "checkpoint.every_steps=100")


def test_a_kill_while_saving_leaves_the_one_before_whole(cli: Cli, found: RunDirectory) -> None:
    """`kill -9` in the midst of a save: the half bundle is no bundle, the one before it is sound and `latest`."""
    outcome = cli(*EVERY_100, *settings(kill_saving_at=300))

    assert (outcome.code, state_of(found)) == (1, "failed")
    bundles = CheckpointFolder(found.path / "checkpoints")
    assert steps(bundles) == [100, 200]
    assert bundles.find_sound("latest").step == 200
    assert len(hidden(bundles)) == 1, "the save was not interrupted"


def test_what_a_kill_left_is_swept_by_the_next_process(cli: Cli, found: RunDirectory) -> None:
    """The process that goes on with the run removes the half bundle, also when it is killed in the same save again."""
    cli(*EVERY_100, *settings(kill_saving_at=300))
    bundles = CheckpointFolder(found.path / "checkpoints")
    before = hidden(bundles)

    assert cli("resume", "r").code == 1

    assert len(hidden(bundles)) == 1
    assert hidden(bundles) != before
    assert bundles.find_sound("latest").step == 200


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of one megabyte; skips where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    if not shutil.which("mount"):
        pytest.skip("there is no mount")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        pytest.skip(f"mount is not allowed here: {answer.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


BIG = settings(save_bytes=400_000)
"""Two of these fit onto the disk, three do not."""


def test_a_full_disk_leaves_those_before_whole_and_goes_on(cli: Cli, found: RunDirectory, disk: Path) -> None:
    """By default a run says that it could not save, goes on to its end, and can be resumed from what was whole."""
    outcome = cli(*EVERY_100, "--runs-dir", disk, *BIG)

    assert outcome.code == 0
    log = (disk / "r" / "logs" / "worker.log").read_text()
    assert "rlctl: checkpoint at step 300 could not be saved: No space left on device" in log
    bundles = CheckpointFolder(disk / "r" / "checkpoints")
    assert (steps(bundles), hidden(bundles)) == ([100, 200], [])
    assert bundles.find_sound("latest").step == 200
    episodes = list(read_lines(disk / "r" / "episodes.jsonl"))
    assert len(episodes) == (read_json(disk / "r" / "result.json") or {})["episodes"]


def test_a_full_disk_stops_the_run_where_that_is_wanted(cli: Cli, found: RunDirectory, disk: Path) -> None:
    """With `on_error: stop` the run fails with the step and the reason, and what was whole still is."""
    outcome = cli(*EVERY_100, "--runs-dir", disk, *BIG, "--set", "checkpoint.on_error=stop")

    assert outcome.code == 1
    result = read_json(disk / "r" / "result.json") or {}
    assert result["status"] == "failed"
    assert result["reason"].endswith("checkpoint at step 300 could not be saved: No space left on device")
    bundles = CheckpointFolder(disk / "r" / "checkpoints")
    assert (steps(bundles), hidden(bundles)) == ([100, 200], [])
    assert bundles.find_sound("latest").step == 200


def test_tensors_on_a_full_disk_raise_what_files_raise(disk: Path) -> None:
    """A library's own error for a full disk becomes an OSError, which is what saving knows how to survive."""
    torch = pytest.importorskip("torch")
    from rlctl.torch.data import write_data

    with pytest.raises(OSError, match="No space left on device") as caught:
        write_data(disk, "big", torch.zeros(1_000_000))
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.05, 0.1, 0.2, 0.4, 0.8])
def test_a_kill_at_any_time_leaves_sound_bundles(
    cli: Cli, found: RunDirectory, wait_until: Callable[..., Any], delay: float
) -> None:
    """A run that saves all the time is killed: every bundle that is found is sound."""
    import time

    process = cli.start(
        "run", "toy", "--run-id", "r", "-n", "100000000", "--set", "checkpoint.every_steps=1", "--set",
        "checkpoint.keep_last=2", *settings(save_bytes=2_000_000),
    )  # type: ignore[attr-defined]  # fmt: skip
    bundles = CheckpointFolder(found.path / "checkpoints")
    wait_until(bundles.all)
    time.sleep(delay)
    os.kill((read_json(found.status) or {})["process"]["pid"], signal.SIGKILL)
    process.communicate(timeout=60)

    assert bundles.all()
    for bundle in bundles.all():
        bundle.verify()
