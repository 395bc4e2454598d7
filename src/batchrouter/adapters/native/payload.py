"""Lines as a request body of aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import NoReturn

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from batchrouter.adapters.native.body import LinesBody


class LinesPayload(Payload):
    """Sent with its length, once. `alive` is called whenever a piece is there and the last one was taken."""

    _consumed = True  # never sent a second time by aiohttp

    def __init__(self, body: LinesBody, alive: Callable[[], None]) -> None:
        super().__init__(body)
        self._size = body.size
        self._body = body
        self._alive = alive
        self.writing: asyncio.Task[object] | None = None

    async def write(self, writer: AbstractStreamWriter) -> None:
        self.writing = asyncio.current_task()
        async with aclosing(self._body.pieces()) as pieces:
            async for piece in pieces:
                self._alive()
                await writer.write(piece)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> NoReturn:
        raise TypeError("a body of lines is never in memory")


@asynccontextmanager
async def body_of(body: LinesBody, alive: Callable[[], None]) -> AsyncIterator[LinesPayload]:
    """The payload; at the end nobody reads the lines any more, even if the reply came before they were all sent."""
    payload = LinesPayload(body, alive)
    try:
        yield payload
    finally:
        task = payload.writing
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task})
