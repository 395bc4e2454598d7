"""The store and the blobs with a watch beside them: what each call took, and what failed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import ParamSpec, TypeVar, cast

from batchrouter.errors import BlobError, StoreError
from batchrouter.ports.blobs import Blobs, BlobWriter
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.meters import NAMES_MAX, OTHER, Meters, cause_of, count, spread_of

P = ParamSpec("P")
T = TypeVar("T")


class MeteredCalls:
    """`ports.calls.Calls` over another. The time of a verb is its caller's: from asking to the answer."""

    def __init__(self, calls: Calls, meters: Meters, clock: Clock) -> None:
        self._calls = calls
        self._meters = meters
        self._now_s = clock.mono_s

    async def read(self, verb: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._watch(verb, self._calls.read(verb, *args, **kwargs))

    async def write(self, verb: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._watch(verb, self._calls.write(verb, *args, **kwargs))

    async def _watch(self, verb: Callable[P, T], answer: Awaitable[T]) -> T:
        name = getattr(verb, "__name__", OTHER)
        began_s = self._now_s()
        try:
            return await answer
        except StoreError as error:
            errors, key = self._meters.store_errors, (name, cause_of(error))
            if key in errors or len(errors) < NAMES_MAX:
                errors[key] = errors.get(key, 0) + 1
            raise
        finally:
            spread_of(self._meters.verbs, name).add(self._now_s() - began_s)


class MeteredBlobs:
    """`ports.blobs.Blobs` over another. Of a stream each piece is an operation; what its reader does is not counted."""

    def __init__(self, blobs: Blobs, meters: Meters, clock: Clock) -> None:
        self._blobs = blobs
        self._meters = meters
        self._now_s = clock.mono_s

    async def create(self, key: str) -> BlobWriter:
        return _MeteredWriter(await self.watch("create", self._blobs.create(key)), self)

    async def put(self, key: str, parts: Sequence[bytes]) -> None:
        await self.watch("put", self._blobs.put(key, parts))
        self.wrote(sum(map(len, parts)))

    async def read(self, key: str, offset: int, length: int) -> bytes:
        data = await self.watch("read", self._blobs.read(key, offset, length))
        self._read(len(data))
        return data

    async def read_many(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        parts = await self.watch("read_many", self._blobs.read_many(key, spans))
        self._read(sum(map(len, parts)))
        return parts

    async def stream(self, key: str, offset: int, length: int) -> AsyncIterator[bytes]:
        pieces = self._blobs.stream(key, offset, length)
        async with aclosing(cast("AsyncGenerator[bytes, None]", pieces)):
            while True:
                try:
                    piece = await self.watch("stream", anext(pieces))
                except StopAsyncIteration:
                    return
                self._read(len(piece))
                yield piece

    async def size(self, key: str) -> int:
        return await self.watch("size", self._blobs.size(key))

    async def delete(self, keys: Sequence[str]) -> None:
        await self.watch("delete", self._blobs.delete(keys))

    async def aged(self, older_than_ms: int) -> list[str]:
        return await self.watch("list", self._blobs.aged(older_than_ms))

    # --- for writers ----------------------------------------------------------------------------------------------

    async def watch(self, op: str, answer: Awaitable[T]) -> T:
        began_s = self._now_s()
        try:
            return await answer
        except BlobError:
            count(self._meters.blob_errors, op)
            raise
        finally:
            spread_of(self._meters.blobs, op).add(self._now_s() - began_s)

    def wrote(self, size: int) -> None:
        self._meters.blob_bytes["write"] += size

    def _read(self, size: int) -> None:
        self._meters.blob_bytes["read"] += size


class _MeteredWriter:
    def __init__(self, writer: BlobWriter, blobs: MeteredBlobs) -> None:
        self._writer = writer
        self._blobs = blobs

    async def write(self, data: bytes) -> None:
        await self._blobs.watch("write", self._writer.write(data))
        self._blobs.wrote(len(data))

    async def commit(self) -> None:
        await self._blobs.watch("commit", self._writer.commit())

    async def abort(self) -> None:
        await self._writer.abort()
