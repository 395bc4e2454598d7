"""An intake is kept whole or not at all."""

from __future__ import annotations

import pytest

from batchrouter.adapters.blobs import MemoryBlobs
from batchrouter.adapters.memory import StepClock
from batchrouter.domain.line_index import IndexView
from batchrouter.errors import BlobFull, BlobMissing
from batchrouter.ports.blobs import BlobWriter
from batchrouter.service.intake import Intake, MemoryScratch

LINE = b'{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"x"}}\n'


class CountedScratch(MemoryScratch):
    closed = 0

    def close(self) -> None:
        self.closed += 1


class FullAtCommit(MemoryBlobs):
    """The disk is found full only when a file is to be made durable."""

    async def create(self, key: str) -> BlobWriter:
        writer = await super().create(key)
        if not key.endswith(".idx"):

            async def commit() -> None:
                raise BlobFull("no room")

            writer.commit = commit  # type: ignore[method-assign]
        return writer


def begin(blobs: MemoryBlobs, scratch: CountedScratch) -> Intake:
    return Intake(blobs, "files/a", 1000, lambda: scratch)


async def test_the_index_beside_the_file_tells_its_lines() -> None:
    blobs, scratch = MemoryBlobs(StepClock()), CountedScratch()
    intake = begin(blobs, scratch)
    for byte in LINE * 2:
        await intake.write(bytes([byte]))
    totals = await intake.finish()
    await intake.commit()
    assert totals is not None
    assert (totals.lines, totals.errors, intake.bytes) == (2, 1, len(LINE) * 2)
    size = await blobs.size("files/a.idx")
    trailer = await blobs.read("files/a.idx", *IndexView.trailer_span(size))
    view = IndexView(trailer, await blobs.read("files/a.idx", *IndexView.tail_span(size, trailer)))
    assert view.totals == totals
    assert scratch.closed == 1


async def test_without_a_commit_nothing_is_there() -> None:
    blobs, scratch = MemoryBlobs(StepClock()), CountedScratch()
    intake = begin(blobs, scratch)
    await intake.write(LINE)
    await intake.finish()
    await intake.abort()
    assert await blobs.aged(1 << 60) == []
    assert blobs._unfinished_bytes == 0
    assert scratch.closed == 1


async def test_a_file_that_cannot_be_kept_keeps_no_index_either() -> None:
    blobs, scratch = FullAtCommit(StepClock()), CountedScratch()
    intake = begin(blobs, scratch)
    await intake.write(LINE)
    await intake.finish()
    with pytest.raises(BlobFull):
        await intake.commit()
    await intake.abort()
    assert await blobs.aged(1 << 60) == []
    assert scratch.closed == 1


async def test_no_index_is_kept_of_what_will_be_no_batch() -> None:
    blobs, scratch = MemoryBlobs(StepClock()), CountedScratch()
    intake = begin(blobs, scratch)
    await intake.write(LINE)
    intake.drop_index()
    await intake.write(b"anything")
    assert await intake.finish() is None
    await intake.commit()
    assert await blobs.read("files/a", 0, 1000) == LINE + b"anything"
    with pytest.raises(BlobMissing):
        await blobs.size("files/a.idx")
