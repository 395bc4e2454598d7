"""A scripted upstream: a real listening socket whose every byte, pause and close a test decides."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable

GAP_S = 0.03
"""Long enough for the client to have read what was sent before."""


class Lost(Exception):
    """The client closed the connection."""


class Visit:
    """One connection as the upstream sees it."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self.head = b""

    async def request(self) -> bytes:
        """The body of the next request; `head` is its head. Raises `Lost` when the client is gone."""
        try:
            self.head = await self.reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in self.head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            return await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise Lost from error

    async def gone(self) -> bool:
        """Whether the client closes the connection, or sends on."""
        with contextlib.suppress(OSError):
            return await self.reader.read(1) == b""
        return True

    def send(self, data: bytes) -> None:
        if self.writer.transport.is_closing():  # writing on would raise in uvloop, and be dropped in asyncio
            raise Lost
        self.writer.write(data)

    async def gap(self) -> None:
        """What was sent before is read before what is sent next."""
        await self.writer.drain()
        await asyncio.sleep(GAP_S)

    def reset(self) -> None:
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.writer.transport.abort()


Script = Callable[[Visit], Awaitable[None]]


def reply(body: bytes, extra: bytes = b"", status: int = 200) -> bytes:
    return b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), extra, body)


async def echo(visit: Visit) -> None:
    """Answers every request with `re:` and its body."""
    while True:
        visit.send(reply(b"re:" + await visit.request()))


class Upstream:
    """Plays `script` on each connection. `visits` counts them, `open_max` is the most that stood at once."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._context = context
        self.visits = 0
        self.open = 0
        self.open_max = 0
        self.faults: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Upstream:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self._context, limit=1 << 20, backlog=1024
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        await asyncio.sleep(0)
        assert not self.faults, self.faults

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.visits += 1
        self.open += 1
        self.open_max = max(self.open_max, self.open)
        try:
            await self._script(Visit(self.visits, reader, writer))
            await writer.drain()
        except (Lost, asyncio.CancelledError, OSError):
            pass
        except BaseException as error:
            self.faults.append(error)
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._tasks.discard(task)
