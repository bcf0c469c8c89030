"""Where CleanRL comes from: fetched, copied or cloned into the cache, verified, and never half there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rlctl.errors import ExitCode, NotAvailableError
from rlctl_cleanrl import fetching, sources
from rlctl_cleanrl.scripts import read_scripts
from rlctl_cleanrl.sources import current, ensure, load_scripts

SCRIPT = """
import argparse
def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--env-id", type=str, default="CartPole-v1")
    parser.add_argument("--total-timesteps", type=int, default=1000)
    return parser.parse_args()
"""


def quiet(_: str) -> None:
    """Report to nobody."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test."""
    monkeypatch.setenv("RLCTL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cleanrl"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real wheel, fetched once from PyPI."""
    return fetching.download(tmp_path_factory.mktemp("wheel"))


def offline(monkeypatch: pytest.MonkeyPatch, links: Path) -> None:
    """Let pip see nothing but the files in one folder."""
    settings = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(links)}
    for name, value in {**settings, "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def local(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pip without network that has the real wheel; returns the folder that it is in."""
    offline(monkeypatch, wheel.parent)
    return wheel.parent


def checkout(folder: Path) -> Path:
    """Write a small source of the test's own."""
    for name in ("cleanrl/mine.py", "cleanrl/broken.py", "cleanrl_utils/buffers.py", "cleanrl/runs/left.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("def broken(:" if "broken" in name else SCRIPT)
    (folder / "cleanrl" / "weights.bin").write_bytes(b"0" * 100)
    return folder


def leftovers(cache: Path) -> list[str]:
    """Return what was begun and not finished."""
    return [path.name for path in cache.rglob("*") if path.name.startswith(".")]


def test_the_first_use_fetches_the_release_and_the_second_does_not(
    cache: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyPI's 1.2.0 is fetched once, with one sentence about it, and found there afterwards, without any network."""
    said: list[str] = []
    assert current() is None
    first = ensure(None, said.append)
    assert (first.kind, first.version, len(said)) == ("pypi", "1.2.0", 1)
    assert all(word in said[0] for word in ("CleanRL 1.2.0", "187 kB", "PyPI", str(cache)))
    assert (first.path / "cleanrl" / "ppo.py").is_file() and (first.path / "cleanrl_utils" / "buffers.py").is_file()
    monkeypatch.setenv("PIP_FIND_LINKS", str(cache))
    assert ensure(None, pytest.fail) == first == current() == ensure("pypi", pytest.fail)
    assert leftovers(cache) == []


def test_verification_is_quick(local: Path) -> None:
    """All files of the release are hashed in less processor time than anybody notices."""
    ensure(None, quiet)
    times = []
    for _ in range(5):
        began = time.process_time()
        ensure(None, quiet)
        times.append(time.process_time() - began)
    assert min(times) < 0.05


def test_concurrent_first_uses_end_in_one_copy(cache: Path, local: Path) -> None:
    """Several processes' first use at once leave one whole copy, and each of them gets it."""
    code = "from rlctl_cleanrl.sources import ensure; print(ensure(None, lambda text: None).sha256)"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    env = {**os.environ, "PYTHONPATH": path}

    def use(_: int) -> str:
        return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(3) as pool:
        found = set(pool.map(use, range(3)))
    assert found == {ensure(None, pytest.fail).sha256 + "\n"}
    assert [path.name for path in (cache / "snapshots").iterdir()] == ["pypi-1.2.0"]
    assert leftovers(cache) == []


def test_without_network_there_is_one_clear_error(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline with an empty cache: what was tried, pip's last word, and what to do."""
    offline(monkeypatch, tmp_path)
    with pytest.raises(NotAvailableError) as caught:
        ensure(None, quiet)
    assert caught.value.exit_code == ExitCode.NOT_AVAILABLE
    assert "pip download cleanrl==1.2.0" in caught.value.message
    assert "No matching distribution found for cleanrl==1.2.0" in caught.value.message
    assert "rlctl workers setup cleanrl" in str(caught.value.hint) and "--source PATH" in str(caught.value.hint)
    assert current() is None and leftovers(cache) == []


def test_without_pip_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python without pip is told apart from a missing network."""
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    python = bare / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(NotAvailableError, match="has no pip") as caught:
        ensure(None, quiet)
    assert "ensurepip" in str(caught.value.hint)


def test_another_wheel_is_refused_with_both_hashes(
    cache: Path, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel with one more file in it is not unpacked."""
    forged = tmp_path / "links" / fetching.WHEEL
    forged.parent.mkdir()
    shutil.copy(wheel, forged)
    with zipfile.ZipFile(forged, "a") as archive:
        archive.writestr("cleanrl/more.py", SCRIPT)
    offline(monkeypatch, forged.parent)
    with pytest.raises(NotAvailableError, match=fetching.WHEEL_SHA256) as caught:
        ensure(None, quiet)
    assert caught.value.message.count("sha256") == 1 and len(caught.value.message.split()) < 20
    assert not (cache / "snapshots").exists()


@pytest.mark.parametrize(
    "member", ["cleanrl/../../out.py", "/cleanrl/out.py", "cleanrl\\..\\out.py", "C:/cleanrl/o.py"]
)
def test_a_member_that_leads_out_is_refused(tmp_path: Path, member: str) -> None:
    """No member of an archive is written outside its folder."""
    archive = tmp_path / "bad.whl"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(member, "")
    with pytest.raises(NotAvailableError, match="leads out"):
        fetching.unpack(archive, tmp_path / "to")
    assert not list(tmp_path.rglob("out.py"))


@pytest.mark.parametrize("change", ["altered", "removed", "added", "manifest"])
def test_an_altered_copy_is_named_and_can_be_repaired(cache: Path, local: Path, change: str) -> None:
    """A cached file that is not what was fetched stops the run, by name; setting up again repairs it."""
    source = ensure(None, quiet)
    file = source.path / {"added": "cleanrl/torch.py", "manifest": "manifest.json"}.get(change, "cleanrl/ppo.py")
    if change == "removed":
        file.unlink()
    else:
        with file.open("a") as opened:
            opened.write("# changed")
    with pytest.raises(NotAvailableError) as caught:
        ensure(None, quiet)
    assert str(file) in caught.value.message and "rlctl workers setup cleanrl" in str(caught.value.hint)
    said: list[str] = []
    assert ensure(None, said.append, repair=True) == source and len(said) == 1
    assert ensure(None, pytest.fail) == source
    assert leftovers(cache) == []


def test_a_folder_is_copied_and_stays_as_it_was(cache: Path, tmp_path: Path, local: Path) -> None:
    """A folder's scripts, and only those, are copied; later changes of the folder are another source."""
    folder, said = checkout(tmp_path / "mine"), list[str]()
    source = ensure(str(folder), said.append)
    assert (source.kind, source.origin, len(said)) == ("path", str(folder), 1)
    copied = sorted(path.relative_to(source.path).as_posix() for path in source.path.rglob("*.*"))
    assert copied == ["cleanrl/broken.py", "cleanrl/mine.py", "cleanrl_utils/buffers.py", "index.json", "manifest.json"]
    (folder / "cleanrl" / "mine.py").write_text(SCRIPT + "# more\n")
    assert ensure(None, said.append) == source == current()
    assert len(said) == 2 and "has changed since it was copied" in said[1]
    changed = ensure(str(folder), quiet)
    assert changed.sha256 != source.sha256 and source.path.is_dir() and current() == changed
    assert ensure("pypi", quiet).kind == "pypi" and ensure(None, pytest.fail).kind == "pypi"
    assert leftovers(cache) == []


def test_an_altered_copy_of_a_folder_is_made_afresh_from_it(tmp_path: Path) -> None:
    """Repair goes back to the folder that was chosen, and naming the folder again does too."""
    folder = checkout(tmp_path / "mine")
    source = ensure(str(folder), quiet)
    for given, repair in ((None, True), (str(folder), False)):
        (source.path / "cleanrl" / "mine.py").write_text("changed")
        with pytest.raises(NotAvailableError, match=r"mine\.py was altered"):
            ensure(None, quiet)
        assert ensure(given, quiet, repair=repair) == source == ensure(None, pytest.fail)


def test_a_chosen_source_that_is_gone_is_not_replaced_by_another(tmp_path: Path) -> None:
    """Where the chosen copy was deleted, nothing else is put in its place silently."""
    source = ensure(str(checkout(tmp_path / "mine")), quiet)
    shutil.rmtree(source.path)
    for use in (current, lambda: ensure(None, pytest.fail)):
        with pytest.raises(NotAvailableError, match="is gone"):
            use()


def test_a_folder_that_is_no_source_is_refused(tmp_path: Path) -> None:
    """A missing folder, one without cleanrl/, one without a training script, and a link to elsewhere are errors."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "helpers" / "cleanrl").mkdir(parents=True)
    (tmp_path / "helpers" / "cleanrl" / "helper.py").write_text("x = 1\n")
    linked = checkout(tmp_path / "linked")
    (linked / "cleanrl" / "out.py").symlink_to(tmp_path / "helpers" / "cleanrl" / "helper.py")
    messages = {
        "absent": "no folder",
        "empty": "neither it nor a folder cleanrl/",
        "helpers": "no CleanRL training",
        "linked": "link",
    }
    for name, message in messages.items():
        with pytest.raises(NotAvailableError, match=message):
            ensure(str(tmp_path / name), quiet)
    assert current() is None


def test_a_git_repository_is_cloned_at_its_newest_commit(cache: Path, tmp_path: Path) -> None:
    """A git URL gives a copy of its scripts, with the commit as the version."""
    folder = checkout(tmp_path / "repository")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    said: list[str] = []
    source = ensure(folder.as_uri(), said.append)
    head = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert (source.kind, source.origin, source.version) == ("git", folder.as_uri(), head.stdout.strip())
    assert not (source.path / ".git").exists() and len(said) == 1
    assert [script.name for script in load_scripts(source)] == ["mine"]
    with pytest.raises(NotAvailableError, match="cannot be cloned"):
        ensure((tmp_path / "nothing").as_uri(), quiet)
    assert current() == source and leftovers(cache) == []


def test_a_password_in_a_url_is_kept_nowhere() -> None:
    """The user and password of a URL are not written into files and messages."""
    assert fetching.without_password("https://me:secret@example.org/x@y.git") == "https://example.org/x@y.git"
    assert fetching.without_password("git@example.org:x/y.git") == "git@example.org:x/y.git"
    assert fetching.without_password("ssh://git@example.org/y.git") == "ssh://git@example.org/y.git"


def test_the_index_saves_reading_and_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts come from the index as they were read, with what could not be read; another schema makes it anew."""
    source, said = ensure(str(checkout(tmp_path / "mine")), quiet), list[str]()
    fresh = read_scripts(source.path)
    with monkeypatch.context() as patch:
        patch.setattr("rlctl_cleanrl.sources.read_scripts", lambda *_: pytest.fail("read again"))
        assert load_scripts(source, said.append) == fresh
    assert len(said) == 1 and said[0].startswith("cleanrl/broken.py cannot be parsed")
    index = source.path / "index.json"
    for text in ("not JSON", json.dumps({"key": f"0:{source.sha256}", "scripts": [], "problems": []})):
        index.write_text(text)
        assert load_scripts(source) == fresh


def test_the_cache_is_where_the_user_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rlctl's own variable wins over XDG's, and that over the home folder; one that cannot be written is an error."""
    assert sources.cache_root() == tmp_path / "cache" / "cleanrl"
    monkeypatch.delenv("RLCTL_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert sources.cache_root() == tmp_path / "xdg" / "rlctl" / "cleanrl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sources.cache_root() == tmp_path / ".cache" / "rlctl" / "cleanrl"
    (tmp_path / "file").touch()
    monkeypatch.setenv("RLCTL_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(NotAvailableError, match="cannot be used"):
        ensure(str(checkout(tmp_path / "mine")), quiet)
