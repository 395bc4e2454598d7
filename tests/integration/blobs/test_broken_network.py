"""Never wrong bytes, never half a blob, errors of ours, in bounded time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from batchrouter.adapters.blobs import ObjectBlobs
from batchrouter.adapters.blobs.upload import PART_BYTES
from batchrouter.errors import BlobError, BlobFull, BlobMissing
from batchrouter.ports.blobs import BlobWriter
from tests.integration.blobs.proxy import Answer, Cut, Hang, Proxy, Short
from tests.s3 import options_of

DATA = random.Random(3).randbytes(5_000_000)
LARGE = 3 * PART_BYTES
TRIES = 3
FAR_MS = 2**60
SLOW_DOWN = Answer(503, "SlowDown")


async def streamed(blobs: ObjectBlobs, key: str) -> bytes:
    return b"".join([piece async for piece in blobs.stream(key, 0, len(DATA))])


VERBS: dict[str, Callable[[ObjectBlobs], Awaitable[object]]] = {
    "read": lambda blobs: blobs.read("k", 100, 50_000),
    "read_many": lambda blobs: blobs.read_many("k", [(0, 9), (20, 9), (4_000_000, 9)]),
    "stream": lambda blobs: streamed(blobs, "k"),
    "size": lambda blobs: blobs.size("k"),
    "put": lambda blobs: blobs.put("new", [DATA]),
    "aged": lambda blobs: blobs.aged(FAR_MS),
    "delete": lambda blobs: blobs.delete(["old"]),
}


async def written(writer: BlobWriter, data: bytes) -> None:
    for start in range(0, len(data), 1_000_000):
        await writer.write(data[start : start + 1_000_000])
    await writer.commit()


async def outcomes(blobs: ObjectBlobs) -> dict[str, object]:
    """What each verb returned or raised; all at once, because a retry is mostly waiting."""
    results = await asyncio.gather(*(verb(blobs) for verb in VERBS.values()), return_exceptions=True)
    return dict(zip(VERBS, results, strict=True))


@pytest.mark.parametrize("fault", [SLOW_DOWN, Answer(500), Cut(), Cut(0)], ids=str)
async def test_a_passing_fault_is_not_noticed(
    proxy: Proxy, blobs: ObjectBlobs, behind: ObjectBlobs, fault: Answer | Cut
) -> None:
    """Each request fails twice, with an answer or without, seen by the store or not; then comes the right result."""
    await behind.put("k", [DATA])
    proxy.first_of_each(fault, fault)
    told = await outcomes(blobs)
    assert told["read"] == DATA[100:50_100]
    assert told["read_many"] == [DATA[:9], DATA[20:29], DATA[4_000_000:4_000_009]]
    assert told["stream"] == DATA
    assert told["size"] == len(DATA)
    assert told["delete"] is None
    assert told["put"] is None
    assert await streamed(behind, "new") == DATA
    assert set(cast(list[str], told["aged"])) in ({"k"}, {"k", "new"})


async def test_a_store_that_keeps_failing_is_an_error_of_ours(
    proxy: Proxy, blobs: ObjectBlobs, behind: ObjectBlobs
) -> None:
    """After few requests; it tells the answer's status and code, and nothing else that the server wrote."""
    await behind.put("k", [DATA])
    proxy.always(SLOW_DOWN)
    for verb, error in (await outcomes(blobs)).items():
        assert isinstance(error, BlobError)
        assert ("it answered 503" if verb == "size" else "it answered 503 SlowDown") in str(error)  # HEAD has no body
        assert "said the proxy" not in repr(error)
        assert error.__cause__ is None
        assert error.__suppress_context__
    assert len(proxy.seen) <= TRIES * (len(VERBS) + 1)  # read_many asks for two places


async def test_a_store_that_hangs_is_given_up(proxy: Proxy, behind: ObjectBlobs, place: str) -> None:
    """After a request's time and few repeats. The deadline here only ends a test that hangs itself."""
    await behind.put("k", [DATA])
    proxy.always(Hang())
    impatient = {"timeout": "300ms", "max_retries": "2", "retry_timeout_s": "5"}
    blobs = ObjectBlobs.open(place, {**options_of(proxy.url), **impatient})
    async with asyncio.timeout(60):
        told = await outcomes(blobs)
    for error in told.values():
        assert isinstance(error, BlobError)
        assert "did not answer in time" in str(error)
    assert len(proxy.seen) <= TRIES * (len(VERBS) + 1)


async def test_a_stream_goes_on_where_the_connection_broke(
    proxy: Proxy, blobs: ObjectBlobs, behind: ObjectBlobs
) -> None:
    """Every other reply is cut off at another place."""
    await behind.put("k", [DATA])
    chance = random.Random(5)
    proxy.plan = lambda each: Cut(chance.randrange(2_000_000)) if each.number % 2 == 0 else None
    assert await streamed(blobs, "k") == DATA


@pytest.mark.parametrize("verb", ["read", "stream", "read_many"])
async def test_a_reply_that_is_too_short_is_no_answer(
    proxy: Proxy, blobs: ObjectBlobs, behind: ObjectBlobs, verb: str
) -> None:
    """Though it is whole by its own length."""
    await behind.put("k", [DATA])
    proxy.always(Short(5))
    with pytest.raises(BlobError):
        await VERBS[verb](blobs)


async def test_a_put_whose_answer_was_lost_is_whole(proxy: Proxy, blobs: ObjectBlobs, behind: ObjectBlobs) -> None:
    """It is an error, and the blob is there whole; what writes it again does no harm."""
    proxy.always(Cut(0), "PUT")
    with pytest.raises(BlobError):
        await blobs.put("k", [b"abc", b"def"])
    assert await behind.read("k", 0, 99) == b"abcdef"
    proxy.heal()
    await blobs.put("k", [b"abc", b"def"])
    assert await behind.read("k", 0, 99) == b"abcdef"


@pytest.mark.parametrize(
    ("fault", "method", "within"),
    [
        (Answer(500), "POST", "uploads"),
        (Answer(500), "PUT", "partNumber=2"),
        (Cut(), "PUT", "partNumber=3"),
        (Answer(500), "POST", "uploadId"),
        (Answer(200, "InternalError"), "POST", "uploadId"),
        (Cut(), "POST", "uploadId"),
        (Answer(507, "QuotaExceeded"), "PUT", "partNumber=1"),
    ],
    ids=str,
)
async def test_an_upload_that_fails_leaves_nothing(
    proxy: Proxy,
    blobs: ObjectBlobs,
    behind: ObjectBlobs,
    unfinished: Callable[[], list[str]],
    fault: Answer | Cut,
    method: str,
    within: str,
) -> None:
    """At its beginning, in a part, at its end: no blob, no unfinished upload, and the writer is over."""
    proxy.always(fault, method, within)
    writer = await blobs.create("k")
    with pytest.raises(BlobFull if fault == Answer(507, "QuotaExceeded") else BlobError):
        await written(writer, bytes(LARGE + 9))
    await writer.abort()
    with pytest.raises(BlobError):
        await writer.write(b"x")
    with pytest.raises(BlobMissing):
        await behind.size("k")
    assert await asyncio.to_thread(unfinished) == []


async def test_an_upload_through_a_flaky_network_is_whole(
    proxy: Proxy, blobs: ObjectBlobs, behind: ObjectBlobs
) -> None:
    """Each request fails once before it is let through."""
    proxy.first_of_each(SLOW_DOWN)
    data = random.Random(9).randbytes(LARGE + 9)
    writer = await blobs.create("k")
    await written(writer, data)
    assert await behind.read("k", 0, len(data) + 1) == data


@pytest.mark.parametrize("size", [9, LARGE])
async def test_a_full_store_is_told_as_full(proxy: Proxy, blobs: ObjectBlobs, behind: ObjectBlobs, size: int) -> None:
    """By a put, and by a writer, which is over then."""
    proxy.always(Answer(403, "QuotaExceeded"), "P")
    with pytest.raises(BlobFull, match="no room is left"):
        await blobs.put("k", [bytes(size)])
    writer = await blobs.create("k")
    with pytest.raises(BlobFull):
        await written(writer, bytes(size))
    with pytest.raises(BlobError):
        await writer.commit()


async def test_a_bucket_that_went_away_is_not_a_missing_blob(proxy: Proxy, blobs: ObjectBlobs) -> None:
    """For no verb: what is missing may be given up, what cannot be reached may not."""
    proxy.plan = lambda each: Answer(404, "NoSuchBucket", b"" if each.method == "HEAD" else None)
    for error in (await outcomes(blobs)).values():
        assert isinstance(error, BlobError)
        assert not isinstance(error, BlobMissing)
        assert "there is no such bucket" in str(error)
