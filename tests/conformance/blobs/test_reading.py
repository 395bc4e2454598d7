"""Spans, streams, and what is not there."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrouter.adapters.blobs import LocalBlobs, MemoryBlobs, ObjectBlobs
from batchrouter.adapters.blobs.local import GAP_BYTES, PIECE_BYTES, neighbours
from batchrouter.adapters.memory import StepClock
from batchrouter.errors import BlobError, BlobMissing
from batchrouter.ports.blobs import Blobs

WHOLE = random.Random(7).randbytes(3_000_000)

# Short and long, near and far, past the end; around the bounds at which reads are joined or cut.
offsets = st.one_of(st.integers(0, len(WHOLE) + 1000), st.integers(0, 4 * GAP_BYTES))
lengths = st.one_of(
    st.integers(0, 5000), st.sampled_from([0, 1, GAP_BYTES, GAP_BYTES + 1, PIECE_BYTES, PIECE_BYTES + 1, 2_500_000])
)
spans = st.lists(st.tuples(offsets, lengths), max_size=30)


async def streamed(blobs: Blobs, key: str, offset: int, length: int) -> bytes:
    pieces = [piece async for piece in blobs.stream(key, offset, length)]
    assert all(0 < len(piece) <= 4 * 1024 * 1024 for piece in pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("kind", ["memory", "folder", "bucket"])
def test_read_stream_and_read_many_agree_on_every_span(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The same bytes in three ways, fewer at the end, none past it, in the order asked."""
    blobs: Blobs
    if kind == "memory":
        blobs = MemoryBlobs(StepClock())
    elif kind == "folder":
        blobs = LocalBlobs(tmp_path, sync=False)
    else:
        blobs = ObjectBlobs.open(*request.getfixturevalue("blob_place"))

    @settings(max_examples=8 if kind == "bucket" else 60, deadline=None)
    @given(asked=spans)
    def agree(asked: list[tuple[int, int]]) -> None:
        async def look() -> None:
            expected = [WHOLE[offset : offset + length] for offset, length in asked]
            assert await blobs.read_many("k", asked) == expected
            for (offset, length), data in list(zip(asked, expected, strict=True))[:4]:
                assert await blobs.read("k", offset, length) == data
                assert await streamed(blobs, "k", offset, length) == data

        loop.run_until_complete(look())

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(blobs.put("k", [WHOLE]))
        agree()
    finally:
        loop.close()
        if not isinstance(blobs, MemoryBlobs):
            blobs.close()


@given(asked=spans)
def test_neighbouring_spans_share_a_read(asked: list[tuple[int, int]]) -> None:
    """Each span is in exactly one read that covers it; no two reads could have been one; only a span that is longer by
    itself makes a read longer than the bound."""
    reads = neighbours(asked)
    assert sorted(place for _, _, places in reads for place in places) == list(range(len(asked)))
    for start, end, places in reads:
        assert all(start <= asked[place][0] and sum(asked[place]) <= end for place in places)
        assert end - start <= PIECE_BYTES or len({asked[place] for place in places}) == 1
    for (start, end, _), (next_start, next_end, _) in pairwise(reads):
        assert next_start > end + GAP_BYTES or max(end, next_end) - start > PIECE_BYTES


async def test_what_is_not_there_is_missing(blobs: Blobs) -> None:
    """For every way of looking; a key that is only the beginning of another's is not there either."""
    await blobs.put("a/b", [b"x"])
    for key in ("c", "a", "a/b/c", "a/c"):
        with pytest.raises(BlobMissing):
            await blobs.read(key, 0, 1)
        with pytest.raises(BlobMissing):
            await blobs.read_many(key, [(0, 1)])
        with pytest.raises(BlobMissing):
            await blobs.read_many(key, [])
        with pytest.raises(BlobMissing):
            await streamed(blobs, key, 0, 1)
        with pytest.raises(BlobMissing):
            await blobs.size(key)


@pytest.mark.parametrize("span", [(-1, 1), (0, -1)])
async def test_a_span_that_is_none_is_a_mistake_of_the_caller(blobs: Blobs, span: tuple[int, int]) -> None:
    """Not an empty answer."""
    await blobs.put("k", [b"abc"])
    with pytest.raises(ValueError):
        await blobs.read("k", *span)
    with pytest.raises(ValueError):
        await blobs.read_many("k", [span])
    with pytest.raises(ValueError):
        await streamed(blobs, "k", *span)


async def test_a_deleted_blob_is_gone_and_deleting_again_is_harmless(blobs: Blobs) -> None:
    """Though it was being read a moment ago; keys that are not there are skipped, and the others still go."""
    for key in ("a/1", "a/2", "b/c/1"):
        await blobs.put(key, [b"x"])
        await blobs.read(key, 0, 1)
    await blobs.delete(["a/1", "nothing", "a/9", "b/c/1"])
    await blobs.delete(["a/1"])
    for key in ("a/1", "b/c/1"):
        with pytest.raises(BlobMissing):
            await blobs.read(key, 0, 1)
    assert await blobs.read("a/2", 0, 1) == b"x"
    await blobs.put("b/c/1", [b"again"])
    assert await blobs.read("b/c/1", 0, 9) == b"again"


@pytest.mark.parametrize("meanwhile", ["deleted", "replaced"])
async def test_a_stream_that_has_begun_is_told_whole_or_fails(blobs: Blobs, meanwhile: str) -> None:
    """Whatever happens to the blob meanwhile: never other bytes, never fewer without an error. Only a bucket, which is
    asked piece by piece, may fail."""
    await blobs.put("k", [WHOLE + WHOLE])
    pieces: list[bytes] = []
    told_whole = True
    try:
        async for piece in blobs.stream("k", 5, 2 * len(WHOLE)):
            if not pieces:
                await (blobs.delete(["k"]) if meanwhile == "deleted" else blobs.put("k", [bytes(2 * len(WHOLE))]))
            pieces.append(piece)
    except BlobError:
        told_whole = False
    assert told_whole or isinstance(blobs, ObjectBlobs)
    told = b"".join(pieces)
    assert told == (WHOLE + WHOLE)[5 : 5 + len(told)]
    assert (len(told) == 2 * len(WHOLE) - 5) == told_whole


async def test_only_old_blobs_are_aged(blobs: Blobs) -> None:
    """Those last touched before that time, by key."""
    await blobs.put("a", [b"x"])
    assert await blobs.aged(0) == []
    assert await blobs.aged(2**60) == ["a"]


async def test_the_aged_are_told_a_thousand_at_a_time(blobs: Blobs) -> None:
    """Never more; and once those that were told are gone, the rest."""
    keys = {f"a/{number % 7}/{number:04}" for number in range(1100)}
    for key in keys:
        await blobs.put(key, [])
    first = await blobs.aged(2**60)
    assert len(first) == 1000
    await blobs.delete(first)
    second = await blobs.aged(2**60)
    assert len(second) == 100
    assert {*first, *second} == keys
