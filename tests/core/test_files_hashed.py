"""Hashes that are computed while a file is written, and what becomes of them in a bundle."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.files import WORTH_HASHING, hash_file, write_hashed


@pytest.mark.parametrize("size", [0, 10, WORTH_HASHING - 1, WORTH_HASHING, 3 * WORTH_HASHING + 7])
def test_the_bytes_are_those_that_were_given(size: int, tmp_path: Path) -> None:
    """Whatever the size, the file is the pieces one after the other; the hash stands beside a large one only."""
    pieces = [b"head", memoryview(bytes(range(256)) * (size // 256 + 1))[:size]]
    write_hashed(tmp_path / "file", pieces)

    written = (tmp_path / "file").read_bytes()
    assert written == b"".join(pieces)
    large = len(written) >= WORTH_HASHING
    assert hash_file(tmp_path / "file").exists() == large
    if large:
        assert hash_file(tmp_path / "file").read_text().split()[0] == hashlib.sha256(written).hexdigest()


def test_a_bundle_takes_the_hash_and_not_its_file(tmp_path: Path) -> None:
    """The hash becomes the member's, the file that held it is no member."""
    folder = CheckpointFolder(tmp_path / "checkpoints")
    temporary = folder.begin(1)
    write_hashed(temporary / "replay", [b"x" * WORTH_HASHING])
    bundle = folder.commit(temporary, {"step": 1})

    assert sorted(bundle.data["members"]) == ["replay"]
    assert sorted(path.name for path in bundle.path.iterdir()) == ["checkpoint.json", "replay"]
    bundle.verify()


def test_a_hash_that_is_not_of_these_bytes_is_not_believed(tmp_path: Path) -> None:
    """A file that was written again, shorter or longer, is read and hashed."""
    folder = CheckpointFolder(tmp_path / "checkpoints")
    temporary = folder.begin(1)
    write_hashed(temporary / "replay", [b"x" * WORTH_HASHING])
    (temporary / "replay").write_bytes(b"y" * (WORTH_HASHING + 1))

    bundle = folder.commit(temporary, {"step": 1})
    assert bundle.data["members"]["replay"]["sha256"] == hashlib.sha256(b"y" * (WORTH_HASHING + 1)).hexdigest()
