"""Wires that can be broken: every proxy of a run lives in one event loop in a thread of its own.

A `Proxies` hosts `TcpLink`s (before the database) and `HttpLink`s (before the blob store). The verbs of a link may be
called from any thread and have taken effect when they return.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
CALL_S = 30.0
LIMIT = 1 << 20


class Proxies:
    """The loop and its thread; see `running_proxies`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self.loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def run(self, action: Callable[..., T], *args: Any) -> T:
        """`action(*args)` in the loop's thread."""

        async def call() -> T:
            return action(*args)

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(CALL_S)

    def listen(self, accept: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> int:
        """Serve a free port of this machine; returns it."""

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.CancelledError):  # asyncio takes a server's end for a fault of ours
                await accept(reader, writer)

        async def begin() -> int:
            server = await asyncio.start_server(accepted, "127.0.0.1", 0, limit=LIMIT)
            self._servers.append(server)
            port: int = server.sockets[0].getsockname()[1]
            return port

        return asyncio.run_coroutine_threadsafe(begin(), self.loop).result(CALL_S)

    def close(self) -> None:
        async def end() -> None:
            for server in self._servers:
                server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(CALL_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CALL_S)
        self.loop.close()


@contextmanager
def running_proxies() -> Iterator[Proxies]:
    proxies = Proxies()
    try:
        yield proxies
    finally:
        proxies.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a dying machine does: with RST, and without what was still to be sent."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
