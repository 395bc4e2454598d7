"""The watch beside the store and the blobs changes nothing of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from batchrouter.adapters.blobs import MemoryBlobs
from batchrouter.adapters.memory.clock import StepClock
from batchrouter.adapters.metered import MeteredBlobs, MeteredCalls
from batchrouter.adapters.threads import InlineCalls
from batchrouter.errors import BlobMissing, StoreAway
from batchrouter.ports.meters import Meters


async def test_a_verb_is_timed_under_its_name_and_its_failure_is_counted() -> None:
    clock, meters = StepClock(), Meters()
    calls = MeteredCalls(InlineCalls(), meters, clock)

    def settle(value: int) -> int:
        clock.advance(0.02)
        return value + 1

    def lanes() -> int:
        raise StoreAway("away")

    assert await calls.write(settle, 1) == 2
    assert await calls.read(settle, value=2) == 3
    with pytest.raises(StoreAway):
        await calls.read(lanes)
    assert meters.verbs["settle"].total == pytest.approx(0.04)
    assert sum(meters.verbs["settle"].counts) == 2
    assert meters.store_errors == {("lanes", "database_away"): 1}


async def test_blobs_are_timed_by_operation_and_their_bytes_counted() -> None:
    clock, meters = StepClock(), Meters()
    blobs = MeteredBlobs(MemoryBlobs(clock), meters, clock)
    await blobs.put("a/b", [b"12", b"345"])
    writer = await blobs.create("c/d")
    await writer.write(b"67")
    await writer.commit()
    assert await blobs.read("a/b", 1, 2) == b"23"
    assert await blobs.read_many("a/b", [(0, 1), (4, 1)]) == [b"1", b"5"]
    assert b"".join([piece async for piece in blobs.stream("c/d", 0, 2)]) == b"67"
    assert await blobs.size("c/d") == 2
    await blobs.delete(["a/b"])
    with pytest.raises(BlobMissing):
        await blobs.read("a/b", 0, 1)
    assert meters.blob_bytes == {"read": 6, "write": 7}
    assert meters.blob_errors == {"read": 1}
    assert set(meters.blobs) == {"put", "create", "write", "commit", "read", "read_many", "stream", "size", "delete"}


async def test_a_stream_that_nobody_reads_on_is_closed() -> None:
    """The file under it would stay open."""
    closed = asyncio.Event()

    class Blobs(MemoryBlobs):
        async def stream(self, key: str, offset: int, length: int) -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x"
            finally:
                closed.set()

    clock = StepClock()
    stream = MeteredBlobs(Blobs(clock), Meters(), clock).stream("k", 0, 10)
    assert await anext(stream) == b"x"
    await stream.aclose()  # type: ignore[attr-defined]
    assert closed.is_set()
