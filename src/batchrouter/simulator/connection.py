"""One client's connection: httptools in, one exchange at a time, a writer of `faults` out.

Requests that a client sends ahead of their turn wait in a queue, so that replies keep the order of requests.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import httptools
import msgspec

from batchrouter.simulator.answers import error_body
from batchrouter.simulator.anthropic.errors import error_object, request_id
from batchrouter.simulator.faults import STATUS_SENT, WRITERS
from batchrouter.simulator.log import CLIENT_CLOSED, Entry
from batchrouter.simulator.reply import Reply, whole
from batchrouter.simulator.spool import MEMORY_BYTES, Part, Spool

if TYPE_CHECKING:
    from batchrouter.simulator.log import RequestLog
    from batchrouter.simulator.server import Simulator

MAX_HEAD_BYTES = 65_536
MAX_BODY_BYTES = 268_435_456
MAX_FILE_BYTES = 2_147_483_648
FILES = b"/files"
"""What the path of an upload contains; its body may be as large as a file, and stays out of memory."""
MESSAGES = b"/v1/messages"
"""What the path of Anthropic's calls begins with."""
MAX_AHEAD = 1024

Headers = list[tuple[bytes, bytes]]


class Arrived(msgspec.Struct):
    """A whole request as it came."""

    method: str
    url: bytes
    headers: Headers
    body: bytes
    keep_alive: bool
    spool: Spool | None = None
    """The body of an upload that is larger than `MEMORY_BYTES`; then `body` is empty."""

    @property
    def content(self) -> Part:
        return Part(self.spool if self.spool is not None else Spool(self.body))


class Connection(asyncio.Protocol):
    """`number` counts the connections of this simulator from 1."""

    transport: asyncio.Transport

    def __init__(self, simulator: Simulator, number: int) -> None:
        self.number = number
        self.loop = simulator.loop
        self._simulator = simulator
        self._parser: Any = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: Headers = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._spool: Spool | None = None
        self._head_bytes = 0
        self._in_head = True
        self._upgrading = False
        self._deaf = False
        self._queue: deque[Arrived] = deque()
        self._requests = 0
        self._busy = False
        self._keep_alive = True
        self._reply: Reply | None = None
        self._entry: Entry | None = None
        self._log: RequestLog | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._full = False
        self._on_writable: Callable[[], None] | None = None

    # --- the transport's side ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._simulator.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._busy:
            self.finish(CLIENT_CLOSED)
        self._simulator.forget(self)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserCallbackError:
            raise  # a fault of ours, not of the client's
        except httptools.HttpParserError:
            self._refuse(400, "The bytes that came are no HTTP/1.1 request.")
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, f"The head of the request is larger than {MAX_HEAD_BYTES} bytes.")

    def eof_received(self) -> bool:
        """A client that closes its sending side has gone, as with most servers."""
        return False

    # --- the parser's side ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body, self._body_bytes, self._spool = b"", [], [], 0, None
        self._in_head, self._head_bytes, self._upgrading = True, 0, False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        if len(name) == 6 and name.lower() == b"expect" and value.lower() == b"100-continue" and not self._busy:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._upgrading = self._parser.should_upgrade()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > MEMORY_BYTES:
            self._spool_body(body)
        elif not self._deaf:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._upgrading or self._deaf:
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        parser = self._parser
        keep_alive, spool = parser.should_keep_alive(), self._spool
        if spool is not None and FILES not in self._url:
            body, spool = spool.read(0, len(spool)), None
        arrived = Arrived(parser.get_method().decode(), self._url, self._headers, body, keep_alive, spool)
        if len(self._queue) >= MAX_AHEAD:
            self._refuse(400, f"More than {MAX_AHEAD} requests were sent ahead of their turn.")
        elif self._busy:
            self._queue.append(arrived)
        else:
            self._begin(arrived)

    def _spool_body(self, body: bytes) -> None:
        most = MAX_FILE_BYTES if FILES in self._url else MAX_BODY_BYTES
        if self._body_bytes > most:
            self._refuse(413, f"The body of the request is larger than {most} bytes.")
        if self._deaf:
            return
        if self._spool is None:
            self._spool = Spool(b"".join(self._body))
            self._body = []
        self._spool.write(body)

    # --- one exchange -----------------------------------------------------------------------------------------------

    def _begin(self, arrived: Arrived) -> None:
        simulator = self._simulator
        self._busy, self._keep_alive = True, arrived.keep_alive
        url = arrived.url.decode("latin-1")
        if url.startswith(("/sim/", "/healthz")):
            self._reply = simulator.control(arrived.method, url, arrived.body)
            self._send()
            return
        self._requests += 1
        self._reply, self._entry = simulator.receive(self.number, self._requests, arrived, url)
        self._log = simulator.log
        if self._reply.delay_s > 0:
            self._timer = self.loop.call_later(self._reply.delay_s, self._send)
        else:
            self._send()

    def _send(self) -> None:
        reply = self._reply
        assert reply is not None
        self._timer = None
        number = self._entry.n if self._entry is not None else 0
        end = WRITERS[reply.fault](self, reply, number, self._keep_alive)
        if end is not None:
            self.finish(end)

    def when_writable(self, then: Callable[[], None]) -> None:
        self._on_writable = then
        if not self._full:
            self.loop.call_soon(self._write_on)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._write_on()

    def _write_on(self) -> None:
        then, self._on_writable = self._on_writable, None
        if then is not None and not self.transport.is_closing():
            then()

    def finish(self, end: str) -> None:
        """Note how the exchange ended, and go on with the next one."""
        reply, entry, log = self._reply, self._entry, self._log
        self._busy, self._reply, self._entry, self._log = False, None, None, None
        if entry is not None and log is not None and reply is not None:
            status = 0 if end == CLIENT_CLOSED else STATUS_SENT.get(reply.fault, reply.status)
            self._simulator.done(log, entry, end, status)
        if self._deaf:
            return
        if not self._keep_alive:
            self.deafen()
            self.transport.close()
        elif self._queue:
            self.loop.call_soon(self._next)

    def _next(self) -> None:
        if self._queue and not self._busy and not self._deaf:
            self._begin(self._queue.popleft())

    def deafen(self) -> None:
        self._deaf = True
        self._queue.clear()

    def _refuse(self, status: int, message: str) -> None:
        """Answer bytes that are no request of ours, and close."""
        if self._deaf:
            return
        self.deafen()
        if not self._busy:
            body = error_body(message, "invalid_request_error")
            if self._url.startswith(MESSAGES):
                body = error_object(status, None, message, None, request_id(0))
            self.transport.write(whole(Reply(status, body), 0, False))
        self.transport.close()

    def _decline_upgrade(self, rest: bytes) -> None:
        """Serve a request that offers another protocol (h2c, as Java's client does) as plain HTTP/1.1.

        The parser ends such a message at its head and leaves the body unread, so a new one reads it without the offer.
        """
        start = b"%b %b HTTP/1.1\r\n" % (self._parser.get_method(), self._url)
        kept = [(n, v) for n, v in self._headers if n.lower() not in (b"upgrade", b"connection", b"http2-settings")]
        head = start + b"".join([b"%b: %b\r\n" % header for header in kept]) + b"\r\n"
        self._parser = httptools.HttpRequestParser(self)
        self.data_received(head + rest)
