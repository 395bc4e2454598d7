"""Blobs in a bucket: S3 and what speaks like it, Google Cloud Storage, Azure.

What is relied upon: a put is atomic, and what was put is there for the next read. Nothing relies on conditional writes,
which some stores ignore, and a listing only finds garbage. Each request moves a few MiB at most and has a time limit of
its own, so that a broken connection costs one small request and not a download.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING

from batchrouter.adapters.blobs.bucket import Bucket, PastTheEnd
from batchrouter.adapters.blobs.keys import check_span, checked, is_key
from batchrouter.adapters.blobs.local import neighbours
from batchrouter.adapters.blobs.probe import probe
from batchrouter.adapters.blobs.upload import PART_BYTES, PARTS_AT_ONCE, ObjectWriter, Upload, joined
from batchrouter.errors import BlobError, BlobMissing
from batchrouter.ports.blobs import BlobWriter

if TYPE_CHECKING:
    from obstore import GetOptions

PIECE_BYTES = 2 * 1024 * 1024
"""Of a stream, which holds two of them: the one given out and the next."""
READ_BYTES = 4 * 1024 * 1024
GAP_BYTES = 128 * 1024
"""A request costs 20 to 50 ms on a real store, in which this much comes for nothing."""
READS_AT_ONCE = 8
AGED_MAX = 1000
LOOKED_AT_MAX = 20_000
"""Of keys in one look for garbage: twenty requests."""


class ObjectBlobs:
    """`ports.blobs.Blobs` in a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        import obstore

        self._get = obstore.get_async
        self._head = obstore.head_async
        self._put = obstore.put_async
        self._list = obstore.list
        self._list_tops = obstore.list_with_delimiter_async
        self._delete = obstore.delete_async
        self._bucket = bucket
        self._store = bucket.store
        self._mapped = bucket.mapped
        self.uploads: set[asyncio.Task[None]] = set()
        self._aged_after: str | None = None
        self._aged_begun = False

    @classmethod
    def open(cls, url: str, options: Mapping[str, str]) -> ObjectBlobs:
        """Asks nothing of the network; see `check`. Raises `ConfigError`."""
        return cls(Bucket.open(url, options))

    async def create(self, key: str) -> BlobWriter:
        return ObjectWriter(self, checked(key))

    async def put(self, key: str, parts: Sequence[bytes]) -> None:
        data = joined(parts)
        with self._mapped("writing", checked(key)):
            await self._put(
                self._store,
                key,
                data,
                use_multipart=len(data) > 2 * PART_BYTES,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )

    async def read(self, key: str, offset: int, length: int) -> bytes:
        if length <= READ_BYTES:
            check_span(offset, length)
            return (await self._range(checked(key), offset, offset + length))[0]
        return b"".join([piece async for piece in self.stream(key, offset, length)])

    async def read_many(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        for span in spans:
            check_span(*span)
        if not spans:
            await self.size(key)
        found = [b""] * len(spans)
        room = asyncio.Semaphore(READS_AT_ONCE)

        async def fetch(start: int, end: int, places: list[int]) -> None:
            async with room:
                data = await self.read(key, start, end - start)
            for place in places:
                offset, length = spans[place]
                found[place] = data[offset - start : offset - start + length]

        reads = neighbours(spans, gap=GAP_BYTES, longest=READ_BYTES)
        if len(reads) == 1:
            await fetch(*reads[0])
        else:
            await _all([fetch(*each) for each in reads])
        return found

    async def stream(self, key: str, offset: int, length: int) -> AsyncIterator[bytes]:
        """One piece is fetched ahead. A blob that is deleted meanwhile ends it with `BlobMissing`, one that is replaced
        with `BlobError`; the bytes of two blobs are never mixed."""
        check_span(offset, length)
        end = offset + length
        data, size, tag = await self._range(checked(key), offset, min(end, offset + PIECE_BYTES))
        end = min(end, size)
        while data:
            offset += len(data)
            if offset >= end:
                yield data
                return
            ahead = asyncio.ensure_future(self._range(key, offset, min(end, offset + PIECE_BYTES), tag))
            try:
                yield data
                data, _, _ = await ahead
            finally:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)
            if not data:
                raise BlobError(f"blob {key} in {self._bucket.url} ended at {offset}, {end} bytes were expected")

    async def size(self, key: str) -> int:
        try:
            with self._mapped("reading", checked(key)):
                return (await self._head(self._store, key))["size"]
        except BlobMissing:
            # The answer to HEAD has no body, which would tell whether the blob is missing or the bucket.
            return (await self._range(key, 0, 1))[1]

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            checked(key)
        if not keys:
            return
        try:
            with self._mapped("deleting", ", ".join(keys[:3])):
                await self._delete(self._store, keys)
        except BlobMissing:
            # Google and Azure refuse the whole list for one that is gone; S3 does not.
            if len(keys) > 1:
                for key in keys:
                    await self.delete([key])

    async def aged(self, older_than_ms: int) -> list[str]:
        """Looks at `LOOKED_AT_MAX` keys at most, once around the listing: from where the last call stopped, the first
        from anywhere. So blobs that are all needed do not hide the garbage behind them, be they millions and the
        process restarted every hour."""
        with self._mapped("listing", "all"):
            start = self._aged_after if self._aged_begun else await self._anywhere()
            self._aged_begun = True
            found: list[str] = []
            looked = 0
            for offset, until in ((start, None), (None, start)):
                async for page in self._list(self._store, offset=offset, chunk_size=AGED_MAX):
                    for meta in page:
                        key, looked = meta["path"], looked + 1
                        if until is not None and key > until:
                            return found
                        if meta["last_modified"].timestamp() * 1000 < older_than_ms and is_key(key):
                            found.append(key)
                        if len(found) == AGED_MAX or looked == LOOKED_AT_MAX:
                            self._aged_after = key
                            return found
                if start is None:
                    break
        return found

    async def check(self) -> None:
        """Write, read and delete a blob of no meaning. Raises `ConfigError` where only a person can help, and says what
        to do, `BlobError` where time may."""
        await probe(self._bucket, f"probe/{secrets.token_hex(8)}")

    def close(self) -> None:
        """Nothing may be asked afterwards. Uploads under way are given up with their loop."""

    # --- for writers ----------------------------------------------------------------------------------------------

    def upload(self, key: str) -> Upload:
        async def begin(pieces: AsyncIterator[bytes]) -> None:
            with self._mapped("writing", key):
                await self._put(
                    self._store,
                    key,
                    pieces,
                    use_multipart=True,
                    chunk_size=PART_BYTES,
                    max_concurrency=PARTS_AT_ONCE,
                )

        upload = Upload(begin)
        self.uploads.add(upload.task)
        upload.task.add_done_callback(self.uploads.discard)
        return upload

    # --- requests -------------------------------------------------------------------------------------------------

    async def _range(self, key: str, start: int, end: int, tag: str | None = None) -> tuple[bytes, int, str | None]:
        """The bytes, how many there are in all (0 if `start` is past them), and the blob's tag. `tag`: of this one."""
        if start == end:
            return b"", await self.size(key), None
        options: GetOptions = {"range": (start, end)}
        if tag is not None:
            options["if_match"] = tag
        try:
            with self._mapped("reading", key):
                reply = await self._get(self._store, key, options=options)
                data = bytes(await reply.bytes_async())
        except PastTheEnd:
            return b"", 0, None
        size = reply.meta["size"]
        # A store may lie in either number; a line cut short must never pass for a line.
        if reply.range != (start, min(end, size)) or len(data) != reply.range[1] - start:
            raise BlobError(
                f"reading blob {key} in {self._bucket.url} gave {len(data)} bytes from {start}, not to {end}"
            )
        return data, size, reply.meta["e_tag"]

    async def _anywhere(self) -> str | None:
        """A random place in the listing: one of the first words of all keys, then a random second word like those that
        are there, whose random part follows its last underscore."""
        tops = (await self._list_tops(self._store))["common_prefixes"]
        if not tops:
            return None
        top = secrets.choice(tops)
        async for page in self._list(self._store, prefix=top, chunk_size=1):
            word = page[0]["path"].split("/")[1]
            return f"{top}/{word[: word.rfind('_') + 1]}{secrets.token_hex(4)}"
        return None


async def _all(work: list[Coroutine[None, None, None]]) -> None:
    """All at once; the first failure ends the others."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
