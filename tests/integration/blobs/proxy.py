"""An HTTP proxy before an S3 server, which a test tells what to break."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Request:
    number: int
    method: str
    target: str


@dataclass(frozen=True)
class Answer:
    """In the store's place; it never sees the request."""

    status: int
    code: str = "InternalError"
    body: bytes | None = None


@dataclass(frozen=True)
class Hang:
    """The request is read, and nothing follows."""


@dataclass(frozen=True)
class Cut:
    """The connection ends: before the store sees the request, or after so many bytes of its reply, head included."""

    reply_bytes: int | None = None


@dataclass(frozen=True)
class Short:
    """A reply that lies: whole by its own length, and yet only this many bytes of what was asked."""

    bytes: int


Fault = Answer | Hang | Cut | Short
Plan = Callable[[Request], Fault | None]
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


def whole(_: Request) -> None:
    return None


class Proxy:
    """Asks `plan` about each request. `seen` holds them all."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._tasks: set[asyncio.Task[None]] = set()
        self.seen: list[Request] = []
        self.plan: Plan = whole

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def heal(self) -> None:
        self.plan = whole
        self.seen.clear()

    def first_of_each(self, *faults: Fault) -> None:
        """From now on: these faults for each method and address, then none."""
        left: dict[tuple[str, str], deque[Fault]] = {}

        def plan(each: Request) -> Fault | None:
            mine = left.setdefault((each.method, each.target), deque(faults))
            return mine.popleft() if mine else None

        self.plan = plan
        self.seen.clear()

    def always(self, fault: Fault, method: str = "", within: str = "") -> None:
        self.plan = lambda each: fault if each.method.startswith(method) and within in each.target else None
        self.seen.clear()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its reply; whether the connection lives."""
        head, body = await _message(reader)
        method, target, _ = head.split(b" ", 2)
        request = Request(len(self.seen), method.decode(), target.decode())
        self.seen.append(request)
        match self.plan(request):
            case Hang():
                await reader.read()  # until the client gives up
                return False
            case Answer(status, code, own):
                error = b"<Error><Code>%s</Code><Message>said the proxy</Message></Error>" % code.encode()
                writer.write(_reply(status, error if own is None else own))
            case Cut(reply_bytes=None):
                return False
            case Cut(reply_bytes=int(sent)):
                writer.write(b"".join(await self._ask(head, body, method))[:sent])
                await writer.drain()
                writer.close()
                await writer.wait_closed()
                return False
            case Short(size):
                reply_head, reply_body = await self._ask(head, body, method)
                writer.write(_LENGTH.sub(b"\r\nContent-Length: %d" % size, reply_head) + reply_body[:size])
            case None:
                writer.write(b"".join(await self._ask(head, body, method)))
        await writer.drain()
        return True

    async def _ask(self, head: bytes, body: bytes, method: bytes) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream_port, limit=2**24)
        try:
            writer.write(head + body)
            return await _message(reader, empty=method == b"HEAD")
        finally:
            writer.transport.abort()


async def _message(reader: asyncio.StreamReader, empty: bool = False) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head, b"" if empty or length is None else await reader.readexactly(int(length[1]))


def _reply(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d Told\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
