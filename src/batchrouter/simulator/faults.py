"""How a reply goes over the socket: the one right way, and each way to misbehave.

A writer gets the connection, the reply, its number and whether the client may keep the connection. It returns how the
exchange ended (see `log.Entry.end`), or None when it goes on and will call `connection.finish` itself.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Protocol

from batchrouter.simulator.answers import answer
from batchrouter.simulator.log import BROKEN, SENT
from batchrouter.simulator.reply import Reply, content_length, head_of, length_line, whole
from batchrouter.simulator.spool import Part

GARBAGE = b"\r\n\x00simulated garbage after the reply\r\n"
CHUNKS = 8
DRIPS = 10
IMPOSTOR = b'{"model":"impostor","messages":[{"role":"user","content":"not your answer"}]}'
"""The body whose answer `two_replies` sends second: nobody asked for it."""

CHUNKED = b"transfer-encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"
ERROR_EVENT = (
    b'data: {"error":{"message":"The engine is overloaded.","type":"server_error","param":null,"code":null}}\n\n'
)
OVERLOADED_EVENT = (
    b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
)
INFORMATION = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: simulated\r\nconnection: upgrade\r\n\r\nno HTTP from here on\n"
)


class Wire(Protocol):
    """What a writer may do with a connection."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop

    def deafen(self) -> None:
        """Read no further request from this connection."""

    def finish(self, end: str) -> None:
        """The exchange has ended; the next request may start."""

    def when_writable(self, then: Callable[[], None]) -> None:
        """Call `then` once the client has taken most of what was written; never when it has gone."""


Writer = Callable[[Wire, Reply, int, bool], str | None]


def write_whole(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    if reply.file is not None:
        return _write_file(wire, reply, reply.file, number, keep_alive)
    wire.transport.write(whole(reply, number, keep_alive))
    return SENT


def _write_file(wire: Wire, reply: Reply, file: Part, number: int, keep_alive: bool) -> str | None:
    """Piece by piece, as fast as the client takes it."""
    wire.transport.write(head_of(reply, number, content_length(file.length), keep_alive))
    pieces = file.pieces()

    def pump() -> None:
        piece = next(pieces, None)
        if piece is None:
            wire.finish(SENT)
        else:
            wire.transport.write(piece)
            wire.when_writable(pump)

    wire.when_writable(pump)
    return None


def _close(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    _hang_up(wire)
    return BROKEN


def _close_after_head(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    wire.transport.write(head_of(reply, number, length_line(reply.body), keep_alive))
    _hang_up(wire)
    return BROKEN


def _half_body(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    head = head_of(reply, number, length_line(reply.body), keep_alive)
    wire.transport.write(head + reply.body[: len(reply.body) // 2])
    _hang_up(wire)
    return BROKEN


def _hang(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    return None


def _reset(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    """A close with linger 0 throws away what is unsent and sends RST instead of FIN."""
    wire.deafen()
    wire.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.transport.abort()
    return BROKEN


def _extra_bytes(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    wire.transport.write(whole(reply, number, keep_alive) + GARBAGE)
    return SENT


def _two_replies(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    impostor = Reply(200, answer("/v1/chat/completions", IMPOSTOR))
    wire.transport.write(whole(reply, number, keep_alive) + whole(impostor, number, keep_alive))
    return SENT


def _early_close(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    wire.transport.write(whole(reply, number, True))
    _hang_up(wire)
    return SENT


def _connection_close(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    wire.transport.write(whole(reply, number, False))
    _hang_up(wire)
    return SENT


def _no_length(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    wire.transport.write(head_of(reply, number, b"", True) + reply.body)
    _hang_up(wire)
    return SENT


def _chunked(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    """Events go one a chunk; any other body is cut into even pieces."""
    pieces = events_in(reply.body) if is_stream(reply) else cut_evenly(reply.body, CHUNKS)
    wire.transport.write(head_of(reply, number, CHUNKED, keep_alive) + b"".join([*map(chunk_of, pieces), LAST_CHUNK]))
    return SENT


def _stream_error(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    """Half of the events, and then one that tells an error, under the status 200 that is long gone."""
    if not is_stream(reply):
        return write_whole(wire, reply, number, keep_alive)
    events = events_in(reply.body)
    pieces = [*events[: len(events) // 2], OVERLOADED_EVENT if events[0].startswith(b"event:") else ERROR_EVENT]
    wire.transport.write(head_of(reply, number, CHUNKED, keep_alive) + b"".join([*map(chunk_of, pieces), LAST_CHUNK]))
    return BROKEN


def _slow_body(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    """The head at once, then the body in drips over `over_s` seconds; a stream event by event."""
    if is_stream(reply):
        framing, pieces = CHUNKED, [*map(chunk_of, events_in(reply.body)), LAST_CHUNK]
    else:
        framing, pieces = length_line(reply.body), cut_evenly(reply.body, DRIPS)
    wire.transport.write(head_of(reply, number, framing, keep_alive))
    pause_s = reply.over_s / max(1, len(pieces))

    def drip(index: int) -> None:
        if wire.transport.is_closing():
            return
        if index < len(pieces):
            wire.transport.write(pieces[index])
        if index + 1 < len(pieces):
            wire.loop.call_later(pause_s, drip, index + 1)
        else:
            wire.finish(SENT)

    wire.loop.call_later(pause_s, drip, 0)
    return None


def _informational(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    wire.transport.write(INFORMATION + whole(reply, number, keep_alive))
    return SENT


def _upgrade(wire: Wire, reply: Reply, number: int, keep_alive: bool) -> str | None:
    """The connection stays open and speaks HTTP no more."""
    wire.deafen()
    wire.transport.write(SWITCHING)
    return BROKEN


WRITERS: dict[str, Writer] = {
    "": write_whole,
    "close": _close,
    "close_after_head": _close_after_head,
    "half_body": _half_body,
    "hang": _hang,
    "reset": _reset,
    "extra_bytes": _extra_bytes,
    "two_replies": _two_replies,
    "early_close": _early_close,
    "connection_close": _connection_close,
    "no_length": _no_length,
    "chunked": _chunked,
    "stream_error": _stream_error,
    "slow_body": _slow_body,
    "informational": _informational,
    "upgrade": _upgrade,
}

STATUS_SENT = {"close": 0, "reset": 0, "upgrade": 101}
"""The status that the client got to see where it is not the reply's own."""


def is_stream(reply: Reply) -> bool:
    return reply.content_type == "text/event-stream"


def events_in(body: bytes) -> list[bytes]:
    return [event + b"\n\n" for event in body.split(b"\n\n")[:-1]]


def chunk_of(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def cut_evenly(body: bytes, count: int) -> list[bytes]:
    """At most `count` pieces, none empty."""
    size = max(1, -(-len(body) // count))
    return [body[start : start + size] for start in range(0, len(body), size)]


def _hang_up(wire: Wire) -> None:
    wire.deafen()
    wire.transport.close()
