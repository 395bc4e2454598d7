"""The transport that speaks to upstreams straight: one link per origin, buffers shared by all."""

from __future__ import annotations

import ssl

from batchrouter.adapters.http.link import DirectLink
from batchrouter.domain.origin import Origin
from batchrouter.errors import ConfigError
from batchrouter.ports.transport import LinkSettings

PLAIN_BUFFER_BYTES = 64 * 1024
TLS_BUFFER_BYTES = 512 * 1024
"""The event loops hand decrypted bytes over once before they close: up to 256 KiB of ciphertext and the rest of a
record. A smaller buffer silently loses the tail of a reply when the upstream closes behind it (measured)."""


class DirectTransport:
    """Links of our own connections. The buffers live as long as the transport: 64 KiB, and 512 KiB once TLS is used."""

    def __init__(self) -> None:
        self._links: dict[tuple[Origin, LinkSettings], DirectLink] = {}
        self._plain = memoryview(bytearray(PLAIN_BUFFER_BYTES))
        self._tls: memoryview | None = None

    def link(self, origin: Origin, settings: LinkSettings) -> DirectLink:
        link = self._links.get((origin, settings))
        if link is None:
            context = tls_context(origin)
            link = DirectLink(origin, settings, context, self._plain if context is None else self._tls_buffer())
            self._links[origin, settings] = link
        return link

    async def aclose(self) -> None:
        for link in tuple(self._links.values()):
            await link.aclose()

    def _tls_buffer(self) -> memoryview:
        if self._tls is None:
            self._tls = memoryview(bytearray(TLS_BUFFER_BYTES))
        return self._tls


def tls_context(origin: Origin) -> ssl.SSLContext | None:
    """What an origin's TLS trusts; None for a plain one. Raises `ConfigError` when it cannot be made."""
    if origin.scheme == "http":
        return None
    if origin.scheme != "https":
        raise ConfigError(f"an upstream's address begins with http:// or https://, not with {origin.scheme}://")
    try:
        context = ssl.create_default_context(cafile=origin.ca_file)
    except OSError as error:
        raise ConfigError(f"ca_file {origin.ca_file} of {origin.host} cannot be used: {error}") from error
    if not origin.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
