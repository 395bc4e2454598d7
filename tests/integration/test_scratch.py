"""Scratch space for the ids of long inputs, on a real folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchrouter.adapters.scratch import FolderScratch
from batchrouter.errors import BlobFull


def test_buckets_keep_what_was_appended_and_closing_removes_them(tmp_path: Path) -> None:
    """A bucket without ids is empty, whether anything was ever written or not."""
    scratch = FolderScratch(tmp_path / "scratch")
    assert scratch.read(0) == b""
    scratch.append(1, b"ab")
    scratch.append(1, b"cd")
    assert (scratch.read(1), scratch.read(2)) == (b"abcd", b"")
    scratch.close()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    """So that whoever uploads is told that there is no room, and not of a fault."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full, which this system does not have")
    scratch = FolderScratch(tmp_path)
    scratch.append(0, b"x")
    next(tmp_path.glob("*/0")).with_name("1").symlink_to(full)
    with pytest.raises(BlobFull):
        scratch.append(1, b"x")
    scratch.close()
