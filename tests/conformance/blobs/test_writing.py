"""A blob is there whole, or not at all."""

from __future__ import annotations

import pytest

from batchrouter.errors import BlobError, BlobMissing
from batchrouter.ports.blobs import Blobs

FAR_MS = 2**60
MIB = 1024 * 1024


async def everything(blobs: Blobs) -> list[str]:
    return sorted(await blobs.aged(FAR_MS))


async def test_nothing_is_seen_before_the_commit(blobs: Blobs) -> None:
    """Neither its size nor its bytes, however much was written; afterwards all of it."""
    writer = await blobs.create("a/b")
    await writer.write(b"x" * (2 * MIB + 7))
    for look in (blobs.size("a/b"), blobs.read("a/b", 0, 1), blobs.read_many("a/b", [(0, 1)])):
        with pytest.raises(BlobMissing):
            await look
    await writer.commit()
    assert await blobs.size("a/b") == 2 * MIB + 7


@pytest.mark.parametrize("sizes", [[], [0], [3], [1, 2, 3], [MIB], [MIB - 1, 2], [300_000] * 9])
async def test_what_was_written_is_read(blobs: Blobs, sizes: list[int]) -> None:
    """In order, for every way of cutting it, the empty blob too."""
    pieces = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    writer = await blobs.create("k")
    for piece in pieces:
        await writer.write(piece)
    await writer.commit()
    whole = b"".join(pieces)
    assert await blobs.size("k") == len(whole)
    assert await blobs.read("k", 0, len(whole) + 9) == whole


@pytest.mark.parametrize("size", [0, 5, 2 * MIB])
async def test_an_aborted_write_leaves_nothing(blobs: Blobs, size: int) -> None:
    """No blob, no rest; a second abort is harmless, and the writer is over."""
    writer = await blobs.create("a/b")
    await writer.write(b"x" * size)
    await writer.abort()
    await writer.abort()
    assert await everything(blobs) == []
    with pytest.raises(BlobError):
        await writer.write(b"y")
    with pytest.raises(BlobError):
        await writer.commit()
    with pytest.raises(BlobMissing):
        await blobs.size("a/b")


async def test_an_abandoned_writer_leaves_nothing(blobs: Blobs) -> None:
    """Nobody calls abort when a task dies."""
    writer = await blobs.create("a/b")
    await writer.write(b"x" * (2 * MIB))
    del writer
    assert await everything(blobs) == []


async def test_an_abort_after_the_commit_is_harmless(blobs: Blobs) -> None:
    """The blob stays."""
    writer = await blobs.create("k")
    await writer.write(b"abc")
    await writer.commit()
    await writer.abort()
    assert await blobs.read("k", 0, 9) == b"abc"


async def test_a_commit_replaces_what_was_there(blobs: Blobs) -> None:
    """Whole, for readers that had it open before too."""
    await blobs.put("k", [b"old old old"])
    assert await blobs.read("k", 0, 3) == b"old"
    writer = await blobs.create("k")
    await writer.write(b"new")
    assert await blobs.read("k", 0, 99) == b"old old old"
    await writer.commit()
    assert await blobs.read("k", 0, 99) == b"new"
    await blobs.put("k", [b"newer"])
    assert await blobs.read("k", 0, 99) == b"newer"


async def test_a_small_blob_is_put_whole(blobs: Blobs) -> None:
    """From its parts, in order, more of them than one system call takes."""
    parts = [b"%d," % number for number in range(3000)]
    await blobs.put("a/b/c", parts)
    assert await blobs.read("a/b/c", 0, MIB) == b"".join(parts)
    await blobs.put("empty", [])
    assert await blobs.size("empty") == 0


@pytest.mark.parametrize(
    "key", ["", "/", "a/", "/a", "a//b", "..", "a/../b", "./a", "a b", "a\n", "a\0", "é", "a~b", "a\\b", "x" * 201]
)
async def test_a_key_that_could_lead_astray_is_refused(blobs: Blobs, key: str) -> None:
    """By every verb, before anything is touched."""
    with pytest.raises(BlobError):
        await blobs.create(key)
    with pytest.raises(BlobError):
        await blobs.put(key, [b"x"])
    with pytest.raises(BlobError):
        await blobs.read(key, 0, 1)
    with pytest.raises(BlobError):
        await blobs.size(key)
    assert await everything(blobs) == []


async def test_odd_but_lawful_keys_are_kept(blobs: Blobs) -> None:
    """Dots and dashes at any place, and long words."""
    keys = sorted(["..a", "-rf", "_", "a.b-c_D/9", "x" * 200, "/".join("abcdefgh"), "a.b-c_D/8/7"])
    for key in keys:
        await blobs.put(key, [key.encode()])
    assert await everything(blobs) == keys
    for key in keys:
        assert await blobs.read(key, 0, 999) == key.encode()
