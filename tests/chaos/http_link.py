"""HTTP between us and the blob store, with the faults that object stores have.

Each request has its own connection to the store, so that a fault touches one request and no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.proxies import LIMIT, Proxies, reset

CHUNK = 64 * 1024
BUSY = b"HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
BUSY_XML = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Fault(StrEnum):
    SLOW = "slow"
    """`delay_s` late."""
    BUSY = "busy"
    """503, and nothing is done."""
    TORN_REQUEST = "torn_request"
    """Half of the request arrives, then the connection is reset."""
    TORN_REPLY = "torn_reply"
    """What was asked is done; half of the reply arrives, then the connection is reset."""
    LOST_REPLY = "lost_reply"
    """What was asked is done; the connection is reset instead of a reply."""
    HANG = "hang"
    """Nothing is done and nothing is said until the fault is over; then the connection is reset."""


@dataclass(frozen=True, slots=True)
class Weather:
    """`share` of all requests meet one of `faults`."""

    faults: tuple[Fault, ...] = ()
    share: float = 0.0
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """The head with its empty line, and how its body ends."""

    head: bytes
    length: int | None
    chunked: bool
    close: bool

    @property
    def bounded(self) -> bool:
        return self.chunked or self.length is not None

    @property
    def method(self) -> bytes:
        return self.head.partition(b" ")[0]

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])


CLEAR = Weather()


class HttpLink:
    """All requests from `port` to `target_port` of this machine."""

    def __init__(self, proxies: Proxies, target_port: int, seed: int = 0) -> None:
        self._proxies = proxies
        self._target_port = target_port
        self._weather = CLEAR
        self._chance = random.Random(seed)
        self._over = asyncio.Event()
        self.faults: dict[Fault, int] = dict.fromkeys(Fault, 0)
        self.port = proxies.listen(self._accept)

    def set(self, weather: Weather) -> None:
        self._proxies.run(self._set, weather)

    def _set(self, weather: Weather) -> None:
        self._weather = weather
        self._over.set()
        self._over = asyncio.Event()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _head(reader)) is not None:
                if not await self._exchange(request, reader, writer) or request.close:
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _exchange(self, request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its reply. False: the connection is of no more use."""
        fault = self._draw()
        if fault is Fault.SLOW:
            await asyncio.sleep(self._weather.delay_s)
        elif fault is Fault.HANG:
            await self._over.wait()
            reset(writer)
            return False
        elif fault is Fault.BUSY:
            if b"100-continue" not in request.head.lower():
                await _body(reader, request)
            writer.write(BUSY % (len(BUSY_XML), BUSY_XML))
            await writer.drain()
            return False
        there, back = await asyncio.open_connection("127.0.0.1", self._target_port, limit=LIMIT)
        try:
            return await self._forward(fault, request, reader, writer, there, back)
        finally:
            back.close()

    async def _forward(
        self,
        fault: Fault | None,
        request: Message,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
    ) -> bool:
        if fault is Fault.TORN_REQUEST:
            body = await _body(reader, request)
            back.write((request.head + body)[: max(1, (len(request.head) + len(body)) // 2)])
            await back.drain()
            reset(back)
            reset(writer)
            return False
        back.write(request.head)
        sending = asyncio.ensure_future(_copy(reader, back, request))
        try:
            reply = await _head(there)
            while reply is not None and reply.status < 200:
                writer.write(reply.head)
                reply = await _head(there)
            if reply is None:
                reset(writer)
                return False
            if fault is None or fault is Fault.SLOW:
                writer.write(reply.head)
                if _has_body(request, reply):
                    await _copy(there, writer, reply, to_end=True)
                await writer.drain()
                await asyncio.wait({sending}, timeout=1.0)
                return sending.done() and not reply.close and reply.bounded
            body = await _body(there, reply, to_end=True) if _has_body(request, reply) else b""
            if fault is Fault.TORN_REPLY:
                writer.write((reply.head + body)[: (len(reply.head) + len(body)) // 2])
                await writer.drain()
                await asyncio.sleep(0.01)  # a reset may overtake what was written
            reset(writer)
            return False
        finally:
            sending.cancel()
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await sending

    def _draw(self) -> Fault | None:
        weather = self._weather
        if not weather.faults or self._chance.random() >= weather.share:
            return None
        fault = self._chance.choice(weather.faults)
        self.faults[fault] += 1
        return fault


async def _head(reader: asyncio.StreamReader) -> Message | None:
    """None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    length: int | None = None
    chunked = close = False
    for field in head.split(b"\r\n")[1:]:
        name, _, value = field.partition(b":")
        word = value.strip().lower()
        match name.strip().lower():
            case b"content-length":
                length = int(word)
            case b"transfer-encoding":
                chunked = word.endswith(b"chunked")
            case b"connection":
                close = word == b"close"
    return Message(head, length, chunked, close)


def _has_body(request: Message, reply: Message) -> bool:
    return request.method != b"HEAD" and reply.status not in (204, 304)


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: Message, *, to_end: bool = False
) -> None:
    """The body of `message`. `to_end`: one that has neither a length nor chunks lasts until the connection ends."""
    async for data in _pieces(reader, message, to_end):
        writer.write(data)
        await writer.drain()


async def _body(reader: asyncio.StreamReader, message: Message, *, to_end: bool = False) -> bytes:
    return b"".join([data async for data in _pieces(reader, message, to_end)])


async def _pieces(reader: asyncio.StreamReader, message: Message, to_end: bool) -> AsyncIterator[bytes]:
    if message.chunked:
        size = -1
        while size:
            size_line = await reader.readuntil(b"\r\n")
            size = int(size_line.split(b";")[0], 16)
            yield size_line + await reader.readexactly(size + 2)
        return
    if message.length is None:
        while to_end and (data := await reader.read(CHUNK)):
            yield data
        return
    left = message.length
    while left:
        data = await reader.read(min(left, CHUNK))
        if not data:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(data)
        yield data
