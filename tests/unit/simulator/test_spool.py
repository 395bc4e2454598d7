"""Bytes in memory or on disk: the same to whoever reads them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.simulator import spool as spools
from batchrouter.simulator.spool import MEMORY_BYTES, Part, Spool


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few bytes are many."""
    monkeypatch.setattr(spools, "MEMORY_BYTES", 64)
    monkeypatch.setattr(spools, "PIECE_BYTES", 16)


PIECES = st.lists(st.binary(max_size=60), max_size=8)


@given(pieces=PIECES, start=st.integers(0, 300), size=st.integers(0, 300))
def test_what_was_written_is_read_wherever_it_lies(pieces: list[bytes], start: int, size: int) -> None:
    spool = Spool()
    for piece in pieces:
        spool.write(piece)
    whole = b"".join(pieces)
    assert (len(spool), spool.on_disk) == (len(whole), len(whole) > 64)
    assert spool.read(start, size) == whole[start : start + size]
    assert b"".join(Part(spool).pieces()) == whole


@given(pieces=PIECES, start=st.integers(0, 100), length=st.integers(0, 100), needle=st.binary(min_size=1, max_size=4))
def test_a_part_is_a_slice(pieces: list[bytes], start: int, length: int, needle: bytes) -> None:
    whole = b"".join(pieces)
    start = min(start, len(whole))
    part = Part(Spool(whole)).part(start, length)
    held = whole[start : start + length]
    assert (part.length, part.read(), part.read(3, 5), part.read(400)) == (len(held), held, held[3:8], b"")
    assert part.find(needle) == held.find(needle)
    assert part.find(needle, 7) == held.find(needle, 7)
    assert part.part(5).read() == held[5:]


def test_a_file_is_closed_with_the_last_who_holds_it() -> None:
    """No file descriptor is left behind, and a part keeps the file alive."""
    before = _open_files()
    part = Part(Spool(b"x" * 1000))
    assert _open_files() == before + 1
    assert part.read(990) == b"x" * 10
    del part
    assert _open_files() == before


def test_what_is_small_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    spool = Spool(b"x" * MEMORY_BYTES)
    assert not spool.on_disk
    spool.write(b"x")
    assert spool.on_disk


def _open_files() -> int:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("needs /proc to count open files")
    return len(os.listdir(folder))
