"""Multipart uploads: nothing is left of one that was given up, and memory stays bounded."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from batchrouter.adapters.blobs import ObjectBlobs
from batchrouter.adapters.blobs.upload import PART_BYTES, PARTS_AT_ONCE
from batchrouter.errors import BlobError, BlobMissing
from tests.integration.blobs.proxy import Answer, Hang, Proxy, Request

LARGE = 3 * PART_BYTES
Unfinished = Callable[[], list[str]]


async def settled(blobs: ObjectBlobs) -> None:
    """Until every upload has ended."""
    async with asyncio.timeout(60):
        while blobs.uploads:
            await asyncio.wait(blobs.uploads)


async def test_small_blobs_are_one_request(proxy: Proxy, blobs: ObjectBlobs) -> None:
    """However they come."""
    await blobs.put("a", [b"x" * PART_BYTES])
    writer = await blobs.create("b")
    for _ in range(4):
        await writer.write(b"x" * 1_000_000)
    await writer.commit()
    assert [(each.method, each.target.rpartition("/")[2]) for each in proxy.seen] == [("PUT", "a"), ("PUT", "b")]


async def test_an_abort_aborts_the_upload(blobs: ObjectBlobs, unfinished: Unfinished) -> None:
    """It was there, and is gone when the abort returns."""
    writer = await blobs.create("k")
    for _ in range(12):
        await writer.write(b"x" * 1_000_000)
    assert len(await asyncio.to_thread(unfinished)) == 1
    await writer.abort()
    assert await asyncio.to_thread(unfinished) == []


async def test_a_writer_that_nobody_holds_aborts_its_upload(blobs: ObjectBlobs, unfinished: Unfinished) -> None:
    writer = await blobs.create("k")
    for _ in range(12):
        await writer.write(b"x" * 1_000_000)
    del writer
    gc.collect()
    await settled(blobs)
    assert await asyncio.to_thread(unfinished) == []


@pytest.mark.parametrize("turns", range(0, 12, 2))
async def test_a_cancelled_write_ends_the_upload(
    blobs: ObjectBlobs, behind: ObjectBlobs, unfinished: Unfinished, turns: int
) -> None:
    """Whenever it comes: whether the bytes were taken is not known, so that nothing may follow them."""
    writer = await blobs.create("k")
    await writer.write(b"x" * PART_BYTES)
    task = asyncio.create_task(writer.write(b"y" * LARGE))
    for _ in range(turns):
        await asyncio.sleep(0)
    begun = turns > 0
    if task.cancel():
        await asyncio.gather(task, return_exceptions=True)
    if begun and task.cancelled():
        with pytest.raises(BlobError):
            await writer.commit()
    await writer.abort()
    await settled(blobs)
    with pytest.raises(BlobMissing):
        await behind.size("k")
    assert await asyncio.to_thread(unfinished) == []
    with pytest.raises(BlobError):
        await writer.commit()


async def test_a_cancelled_commit_is_whole_or_nothing(
    blobs: ObjectBlobs, behind: ObjectBlobs, unfinished: Unfinished
) -> None:
    for turns in range(0, 12, 3):
        writer = await blobs.create("k")
        await writer.write(b"x" * (LARGE + 1))
        task = asyncio.create_task(writer.commit())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await writer.abort()
        await settled(blobs)
        with suppress(BlobMissing):
            assert await behind.size("k") == LARGE + 1
        await behind.delete(["k"])
    assert await asyncio.to_thread(unfinished) == []


async def test_a_slow_store_slows_the_writer_down(proxy: Proxy, blobs: ObjectBlobs) -> None:
    """While no part goes through, no more is taken than memory is for: what is in flight, one part collected, and what
    waits before it."""
    parts_came = asyncio.Event()

    def plan(each: Request) -> Hang | None:
        if each.method != "PUT":
            return None
        if sum(each.method == "PUT" for each in proxy.seen) == PARTS_AT_ONCE:
            parts_came.set()
        return Hang()

    proxy.plan = plan
    writer = await blobs.create("k")
    taken = 0

    async def write() -> None:
        nonlocal taken
        for _ in range(200):
            await writer.write(b"x" * 1_000_000)
            taken += 1_000_000

    task = asyncio.create_task(write())
    async with asyncio.timeout(60):
        await parts_came.wait()
        seen = -1
        while seen != taken:  # until it stands still
            seen = taken
            await asyncio.sleep(0.1)
    assert taken <= (PARTS_AT_ONCE + 2) * PART_BYTES + 3_000_000
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    proxy.plan = lambda _: Answer(400)


async def test_two_writers_do_not_mix(blobs: ObjectBlobs, behind: ObjectBlobs) -> None:
    data = [random.Random(seed).randbytes(LARGE + seed) for seed in range(2)]
    writers = [await blobs.create(f"k{seed}") for seed in range(2)]
    for start in range(0, LARGE + 1, 700_000):
        for writer, each in zip(writers, data, strict=True):
            await writer.write(each[start : start + 700_000])
    await asyncio.gather(*(writer.commit() for writer in writers))
    for seed in range(2):
        assert await behind.read(f"k{seed}", 0, LARGE + 9) == data[seed]


async def test_the_loop_never_waits_for_the_store(no_blocking: object, blobs: ObjectBlobs) -> None:
    await blobs.put("a/1", [b"x" * 100])
    writer = await blobs.create("a/2")
    await writer.write(b"x" * LARGE)
    await writer.commit()
    assert [piece async for piece in blobs.stream("a/2", 0, 3)] == [b"xxx"]
    assert await blobs.read_many("a/1", [(0, 1), (50, 2)]) == [b"x", b"xx"]
    assert len(await blobs.aged(2**60)) == 2
    await blobs.delete(["a/1", "a/2"])
