"""One keep-alive connection: writes one request, reads one reply, and never mixes two replies up.

The rules that keep an answer with its line, and where they are kept:

- A connection carries one call. It takes the next only after a whole read was parsed and nothing was left over
  (`buffer_updated` ends the call, not the parser's callbacks).
- httptools reports a 1xx as a complete message: only a message whose head was final ends a call.
- A second message inside a read stops the parser (`on_message_begin`): the first is delivered, the connection closed.
- Bytes while no call is on the connection close it.
- The end of the connection ends a body only if neither a length nor chunks were declared, and never over TLS, where
  both event loops lose the tail of a body under load without saying so.

This is the hot path. A quick reply costs about ten small callbacks; what is rare lives behind an exception or a flag.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

import httptools

from batchrouter.adapters.http.reply_head import NAMES, WATCHED, announced_s, is_interim, size
from batchrouter.errors import ConnectionLost, ReplyBroken, ReplyTooLarge, TransportError

if TYPE_CHECKING:
    from batchrouter.adapters.http.link import DirectLink
    from batchrouter.ports.transport import Sink

JOINED_MAX = 16 * 1024
"""A body below this size is copied behind its head into one write; above, the copy costs more than a second buffer."""

_KEEP_ALIVE_SHARE = 0.8
"""Share of an announced keep-alive time that is used, so that a request and the upstream's close do not cross."""

_H = ord("H")  # the first letter of HEAD, and of no other method
_KEEPALIVE_PROBES = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4))


class LaneCall:
    """One `send`: `owner` is the link while it waits, then its connection, then None.

    It does not hold the sink, which usually holds the call: a cycle would leave every reply to the collector.
    """

    __slots__ = ("owner",)

    def __init__(self, owner: Connection | DirectLink) -> None:
        self.owner: Connection | DirectLink | None = owner

    def abort(self) -> None:
        owner = self.owner
        if owner is not None:
            self.owner = None
            owner.withdraw(self)


class _Nobody:
    """Listens when the sink must hear no more."""

    __slots__ = ()

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        pass

    def on_chunk(self, data: bytes) -> None:
        pass

    def on_end(self) -> None:
        pass

    def on_error(self, error: TransportError) -> None:
        pass


_NOBODY = _Nobody()


class _Stop(Exception):
    """Raised through the parser to stop it where it stands."""


class Connection(asyncio.BufferedProtocol):
    """One connection of a link. `since_s` is when its call was asked for, or when it became idle."""

    __slots__ = (
        "_bodiless",
        "_body_size",
        "_bounded",
        "_buffer",
        "_complete",
        "_fault",
        "_feed",
        "_headers",
        "_heard_s",
        "_keep",
        "_link",
        "_max_head_bytes",
        "_max_reply_bytes",
        "_parser",
        "_read",
        "_read_max",
        "_safe_digits",
        "_seen",
        "_sink",
        "_split",
        "_status",
        "_transport",
        "_write",
        "_writelines",
        "call",
        "closing",
        "idle_max_s",
        "since_s",
    )

    def __init__(self, link: DirectLink, buffer: memoryview) -> None:
        settings = link.settings
        self._link = link
        self._buffer = buffer
        self._parser = httptools.HttpResponseParser(self)
        self._feed = self._parser.feed_data
        self._transport: asyncio.Transport | None = None
        self._max_head_bytes = settings.max_head_bytes
        self._max_reply_bytes = settings.max_reply_bytes
        # A declared length with fewer digits than the bound needs no closer look.
        self._safe_digits = len(str(settings.max_reply_bytes))
        self._headers: list[tuple[bytes, bytes]] = []
        self._sink: Sink = _NOBODY
        self._fault: TransportError | None = None
        self._status = self._read = self._read_max = self._body_size = 0
        self._complete = self._keep = self._bounded = self._split = self._bodiless = False
        self.call: LaneCall | None = None
        self.closing = False
        self.since_s = 0.0
        self._heard_s = 0.0
        self._seen: tuple[LaneCall | None, int, int] = (None, 0, 0)
        self.idle_max_s = settings.idle_timeout_s

    # What the link asks for

    def start(self, call: LaneCall, sink: Sink, since_s: float, head: bytes, body: bytes) -> None:
        """Put a call, asked for at `since_s`, on this idle connection."""
        self.call = call
        self.since_s = since_s
        self._sink = sink
        self._status = self._read = 0
        self._complete = False
        self._read_max = self._max_head_bytes
        self._bodiless = head[0] == _H
        if len(body) < JOINED_MAX:
            self._split = False
            self._write(head + body)
        else:
            self._split = True
            self._writelines((head, body))

    def close(self) -> None:
        """Close the socket now; the link forgets this connection when the loop confirms it."""
        if not self.closing:
            self.closing = True
            self._link.closing(self)
            if self._transport is not None:
                self._transport.abort()

    def silent_s(self, now_s: float) -> float:
        """How long nothing has gone out or come in for this call, as far as repeated asking can tell. So a read costs
        nothing more."""
        seen = (self.call, self._read, self._unsent())
        if seen != self._seen:
            self._seen, self._heard_s = seen, now_s
        return now_s - self._heard_s

    def withdraw(self, call: LaneCall) -> None:
        """The call was aborted: its sink hears no more, and the socket closes."""
        self.call = None
        self._sink = _NOBODY
        self.close()

    def fail(self, error: TransportError) -> None:
        """End the call with an error, and the connection with it."""
        call, sink = self.call, self._sink
        self.call = None
        self._sink = _NOBODY
        self.close()
        if call is not None:
            call.owner = None
            self._link.tell_error(sink, error)

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = made = cast(asyncio.Transport, transport)
        self._write, self._writelines = made.write, made.writelines
        raw = transport.get_extra_info("socket")
        # A model may think for minutes without sending a byte, and NATs forget a connection that is silent for five.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE_PROBES:
            if hasattr(socket, name):
                raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._link.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        # One buffer serves all connections: what is in it is always consumed before the loop reads again. It must be
        # a memoryview: the standard loop's TLS slices what it is given, and a slice of a bytearray is a copy.
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self.call is None:
            self.close()
            return
        self._read += nbytes
        try:
            self._feed(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._stopped(error)
            return
        if self._complete:
            self._finish(self._keep)
        elif self._read > self._read_max:
            self.fail(self._too_large() if self._status else self._head_too_long())

    def eof_received(self) -> None:
        # Returning nothing lets the loop close the connection, which ends whatever is not ended here.
        if self.call is not None and self._status and not self._bounded and not self._link.tls:
            self._finish(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._link.lost(self)
        error = self._cut_off()
        error.__cause__ = exc
        self.fail(error)
        self._link.pump()

    # What the parser tells

    def on_message_begin(self) -> None:
        if self._complete:
            raise _Stop

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        came = self._headers
        self._headers = []
        if status < 200:
            if not is_interim(status, came):
                raise self._refuse(ReplyBroken(f"the upstream answered with status {status}, which nobody asked for"))
            return
        if self._read > self._read_max and size(came) > self._read_max:
            raise self._refuse(self._head_too_long())
        # Chunk framing and trailers may weigh as much as the body, and no more.
        self._read_max = self._max_head_bytes + 2 * self._max_reply_bytes
        self._status = status
        self._body_size = 0
        self._bounded = False
        headers: list[tuple[bytes, bytes]] = []
        for spelt, value in came:
            name = NAMES[spelt]
            if not name:
                continue
            if name == b"content-length" and len(value) < self._safe_digits:
                self._bounded = True
            elif name in WATCHED:
                self._heed(name, value)
            else:
                headers.append((name, value))
        self._sink.on_head(status, headers)
        if self._bodiless:
            # The parser cannot be told that this reply has no body, so it cannot serve a further one.
            self._complete, self._keep = True, False
            raise _Stop

    def on_body(self, data: bytes) -> None:
        self._body_size += len(data)
        if self._body_size > self._max_reply_bytes:
            raise self._refuse(self._too_large())
        self._sink.on_chunk(data)

    def on_message_complete(self) -> None:
        if self._status:
            self._complete = True
            self._keep = self._parser.should_keep_alive()
            if self._headers:
                self._headers = []  # trailers

    def _heed(self, name: bytes, value: bytes) -> None:
        """Judge a header that decides about framing; `_fault` and `_Stop` when it makes the reply unusable.

        The parser itself refuses a length beside chunks, a repeated length, and a length that is no number. It leaves
        white space behind a value.
        """
        value = value.strip().lower()
        if name == b"content-length":
            self._bounded = True
            if not self._bodiless and int(value) > self._max_reply_bytes:
                raise self._refuse(self._too_large())
        elif name == b"transfer-encoding":
            if self._bounded or value != b"chunked":
                raise self._refuse(ReplyBroken("the upstream's reply has a transfer-encoding other than one 'chunked'"))
            self._bounded = True
        elif name == b"content-encoding":
            if value not in (b"", b"identity"):
                raise self._refuse(
                    ReplyBroken("the upstream compressed its reply although it was asked not to (accept-encoding)")
                )
        else:
            self.idle_max_s = min(self.idle_max_s, announced_s(value) * _KEEP_ALIVE_SHARE)

    # How a call ends

    def _finish(self, keep: bool) -> None:
        """The reply is whole. Frees the connection first, so that the sink can send on it at once."""
        call, sink, link = self.call, self._sink, self._link
        if call is None:
            self.close()
            return
        self.call = call.owner = None
        self._sink = _NOBODY
        # A reply that came before its request was wholly written leaves a rest that must not precede the next.
        rest = self._split and self._unsent()
        if keep and not self.closing and not rest and not (link.owes and link.pays()):
            self.since_s = link.now_s
            link.free[self] = None
        else:
            self.close()
        try:
            sink.on_end()
        except Exception as error:
            link.note_sink(error)
        if link.waiting:
            link.pump()

    def _unsent(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _stopped(self, error: Exception) -> None:
        """The parser stopped: a refusal of ours, more than one reply, a raising sink, or bytes that are not HTTP."""
        fault = self._fault
        if fault is not None:
            self.fail(fault)
        elif self._complete or self.call is None:
            self._finish(False)
        elif isinstance(error, httptools.HttpParserCallbackError):
            self._link.note_sink(error.__context__)
            self.fail(TransportError("the reader of the reply failed; the log names the place"))
        else:
            fault = ReplyBroken(f"the upstream's reply is not HTTP/1.1: {error}")
            fault.__cause__ = error
            self.fail(fault)

    def _refuse(self, fault: TransportError) -> _Stop:
        self._fault = fault
        return _Stop()

    def _cut_off(self) -> TransportError:
        if not self._read:
            return ConnectionLost("the upstream closed the connection before its reply")
        if not self._status:
            return ReplyBroken("the upstream closed the connection inside the head of its reply")
        what = f"status {self._status}, {self._body_size} bytes of body came"
        if self._bounded:
            return ReplyBroken(f"the upstream closed the connection inside its reply ({what})")
        return ReplyBroken(f"the reply has no length and its end cannot be trusted ({what})")

    def _head_too_long(self) -> TransportError:
        return ReplyBroken(f"the head of the reply is longer than {self._max_head_bytes} bytes")

    def _too_large(self) -> TransportError:
        return ReplyTooLarge(f"the reply is larger than {self._max_reply_bytes} bytes (max_reply_bytes)")
