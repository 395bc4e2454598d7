"""A link whose connections are made of nothing, so that a test decides every read to the byte."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from batchrouter.adapters.http.connection import Connection
from batchrouter.adapters.http.direct import DirectTransport
from batchrouter.adapters.http.link import DirectLink
from batchrouter.domain.origin import Origin
from batchrouter.ports.transport import LinkSettings

HEAD = b"POST /v1/x HTTP/1.1\r\nhost: upstream\r\naccept-encoding: identity\r\ncontent-length: %d\r\n\r\n"


class Wire(asyncio.Transport):
    """One connection's far end: what was written to it, and the reads it gives."""

    def __init__(self, protocol: Connection, port: int) -> None:
        super().__init__()
        self.protocol = protocol
        self.port = port
        self.written = b""
        self.unsent = 0
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed, "a request was written to a closed connection"
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self

    def setsockopt(self, *option: int) -> None:
        pass

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def read(self, data: bytes) -> None:
        """The event loop reads these bytes at once; nothing when the connection is closed."""
        while data and not self.closed:
            room = self.protocol.get_buffer(-1)
            size = min(len(room), len(data))
            room[:size] = data[:size]
            self.protocol.buffer_updated(size)
            data = data[size:]

    def read_cut(self, data: bytes, cuts: Sequence[int]) -> None:
        """The same bytes in several reads."""
        for start, stop in zip((0, *cuts), (*cuts, len(data)), strict=True):
            self.read(data[start:stop])

    def end(self, error: Exception | None = None) -> None:
        """The upstream closes, or with an error the connection breaks."""
        if not self.closed:
            if error is None:
                self.protocol.eof_received()
            if not self.closed:
                self.closed = True
                self.protocol.connection_lost(error)


class Wires:
    """A link and the connections it has opened, in order; with `refuse` set it opens none.

    Further links of its transport open theirs here too; `port` tells whose they are.
    """

    def __init__(self, settings: LinkSettings, scheme: str = "http", max_connections: int = sys.maxsize) -> None:
        self.opened: list[Wire] = []
        self.transport = DirectTransport(max_connections)
        self.link: DirectLink = self.transport.link(Origin(scheme, "127.0.0.1", 80), settings)
        self.refuse: OSError | None = None
        asyncio.get_running_loop().create_connection = self._connect  # type: ignore[method-assign,assignment]

    async def _connect(
        self, factory: Callable[[], Connection], host: str, port: int, **how: Any
    ) -> tuple[Wire, Connection]:
        if self.refuse is not None:
            raise self.refuse
        protocol = factory()
        wire = Wire(protocol, port)
        self.opened.append(wire)
        protocol.connection_made(wire)
        return wire, protocol

    def send(self, sink: Any, body: bytes = b"{}") -> Any:
        return self.link.send(HEAD % len(body), body, sink)


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scene on a loop of its own, whose `create_connection` may be replaced."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scene()

    with asyncio.Runner() as runner:
        runner.run(bounded())


async def until(truth: Callable[[], bool]) -> None:
    """Let the loop run until it is true; a test that waits in vain ends with a TimeoutError."""
    async with asyncio.timeout(5):
        while not truth():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


async def opened(wires: Wires, count: int) -> None:
    """Until so many connections have been opened."""
    await until(lambda: len(wires.opened) >= count)


def reply(name: str, extra: bytes = b"", status: int = 200) -> bytes:
    """A whole reply that says whose it is."""
    body = b'{"id":"%s"}' % name.encode()
    return b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), extra, body)


def answers(name: str) -> bytes:
    return b'{"id":"%s"}' % name.encode()
