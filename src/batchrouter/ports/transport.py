"""The seam between the engine and an upstream: one request goes out as bytes, one reply comes back as events.

There is no awaitable and no object per reply here on purpose: this is what every line costs. A caller renders the
request itself, hands over a `Sink`, and is told head, chunks and end on the event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from batchrouter.domain import rate_headers
from batchrouter.domain.origin import Origin
from batchrouter.errors import TransportError

HEARD = (*rate_headers.PREFIXES, b"x-request-id")
"""How the names begin of those headers of a reply that anybody reads, in lower case."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """The limits of one link.

    `request_timeout_s` runs from `send` to the last byte, waiting for a connection included, and is checked every
    quarter of a second. `silence_timeout_s` runs anew with every byte of the reply, first when the request has been
    written: so a long answer that is streamed may take its time, and a connection that died is noticed (None: only by
    the end of the request's time). `connect_timeout_s` covers name, connection and TLS. `max_connections` holds for
    plain links, `max_tls_connections` for TLS, where a connection costs 40 to 420 KiB; `tls_opening_max` bounds the
    handshakes under way. A connection unused for `idle_timeout_s`, or for less if the upstream announced less, is
    closed. `max_reply_bytes` bounds the body, `max_head_bytes` everything up to the end of the final head. Links of
    different `name` share no connections, so that a caller who hangs takes none from another.
    """

    name: str = ""
    connect_timeout_s: float = 10.0
    request_timeout_s: float = 600.0
    silence_timeout_s: float | None = None
    idle_timeout_s: float = 60.0
    max_reply_bytes: int = 64 * 1024 * 1024
    max_head_bytes: int = 64 * 1024
    max_connections: int = 1024
    max_tls_connections: int = 256
    tls_opening_max: int = 32


class Sink(Protocol):
    """Receives one reply. Called on the event loop, never from inside `send`.

    Order: `on_head` once, `on_chunk` any number of times, then exactly one of `on_end` and `on_error`; `on_error`
    may come at any point. After `Call.abort` nothing comes any more. A sink that raises loses its connection, hears
    one `on_error` if it has not heard its end yet, and disturbs nobody else. A sink must not block.
    """

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The final head (200 to 999; 1xx are skipped), with at least the headers that begin with one of `HEARD`, in
        their order. Names are lower-case; white space before a value is gone, behind it is not. The list is yours."""

    def on_chunk(self, data: bytes) -> None:
        """A non-empty piece of the body, in order, with any chunked framing removed. The bytes are yours."""

    def on_end(self) -> None:
        """The reply was whole by its own framing. A `send` from inside goes out at once on the freed connection,
        unless the upstream ends it or others were waiting before."""

    def on_error(self, error: TransportError) -> None:
        """There will be no whole reply, and what came of it must not be used.

        `ConnectFailed`: nothing was sent. `ConnectionLost`: no byte of a reply came, so that sending again at once is
        the usual answer. `ReplyTimeout`, `ReplyTooLarge`, `ReplyBroken`: the upstream may have done the work.
        """


class Call(Protocol):
    """One `send` under way."""

    def abort(self) -> None:
        """Give the reply up: its connection is closed, a waiting request is not sent, the sink hears nothing more.
        Harmless when the call has ended, and when repeated."""


class Link(Protocol):
    """Keep-alive connections to one origin. At most one request is on a connection at any moment."""

    @property
    def connections(self) -> int:
        """Connections open or being opened."""

    @property
    def idle(self) -> int:
        """Open connections without a request."""

    def send(self, head: bytes, body: bytes, sink: Sink) -> Call:
        """Send one request; never blocks, never calls the sink before it returns.

        `head` is the request line and all headers up to and including `content-length: N` and the empty line, with
        `accept-encoding: identity` among them (an encoded reply is refused); `body` has those N bytes. Takes the
        connection that became idle last, else opens one, else waits first in, first out. Sends at most once: no
        failure is repeated here. Raises `TransportError` after `aclose`.
        """

    async def aclose(self) -> None:
        """End every call with `on_error`, close every connection, return when they are gone. Repeats are harmless."""


class Transport(Protocol):
    """All links of a process. Belongs to the event loop that first uses it.

    May bound the connections of all links together. Links that want more than there is then come to equal shares: one
    that waits is given the idle connections of others, and those of richer links as their replies end.
    """

    def link(self, origin: Origin, settings: LinkSettings) -> Link:
        """The link of this origin and these settings: the same object for the same arguments.

        Opens nothing. Raises `ConfigError` when `ca_file` cannot be used or the scheme is unknown.
        """

    def fence(self, may_send: Callable[[], bool]) -> None:
        """From now on a request that had to wait for its connection is sent only if `may_send` says so at that moment:
        whoever asked for it may have lost the right to send meanwhile. Else its sink hears `ConnectionLost`."""

    async def aclose(self) -> None:
        """Close all links. Repeats are harmless."""
