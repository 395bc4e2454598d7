"""The transport that speaks to upstreams straight: one link per origin, buffers shared by all."""

from __future__ import annotations

import sys
from collections.abc import Callable

from batchrouter.adapters.http.link import DirectLink
from batchrouter.adapters.http.room import Room
from batchrouter.adapters.http.tls import tls_context
from batchrouter.domain.origin import Origin
from batchrouter.ports.transport import LinkSettings

PLAIN_BUFFER_BYTES = 64 * 1024
TLS_BUFFER_BYTES = 512 * 1024
"""The event loops hand decrypted bytes over once before they close: up to 256 KiB of ciphertext and the rest of a
record. A smaller buffer silently loses the tail of a reply when the upstream closes behind it (measured)."""


class DirectTransport:
    """Links of our own connections, together never more than `max_connections` open or being opened.

    The buffers live as long as the transport: 64 KiB, and 512 KiB once TLS is used.
    """

    def __init__(self, max_connections: int = sys.maxsize) -> None:
        self._room = Room(max_connections)
        self._links: dict[tuple[Origin, LinkSettings], DirectLink] = {}
        self._plain = memoryview(bytearray(PLAIN_BUFFER_BYTES))
        self._tls: memoryview | None = None

    def link(self, origin: Origin, settings: LinkSettings) -> DirectLink:
        link = self._links.get((origin, settings))
        if link is None:
            context = tls_context(origin)
            buffer = self._plain if context is None else self._tls_buffer()
            link = DirectLink(origin, settings, context, buffer, self._room)
            self._links[origin, settings] = link
        return link

    def fence(self, may_send: Callable[[], bool]) -> None:
        self._room.may_send = may_send

    async def aclose(self) -> None:
        for link in tuple(self._links.values()):
            await link.aclose()

    def _tls_buffer(self) -> memoryview:
        if self._tls is None:
            self._tls = memoryview(bytearray(TLS_BUFFER_BYTES))
        return self._tls
