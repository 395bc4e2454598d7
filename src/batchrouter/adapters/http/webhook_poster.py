"""Posts webhooks with aiohttp, and only where they may go.

A name is resolved once; only those of its addresses that may be asked are handed on, and the socket for each is made
here, so that no connection goes where nobody looked: not by a name that means another address a moment later, not by an
address in an odd spelling, not by a redirect, of which none is followed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from batchrouter.domain.address_rules import AddressRules, address_of
from batchrouter.domain.webhook import Answer
from batchrouter.domain.webhook_url import UrlRules, refused
from batchrouter.errors import ConfigError
from batchrouter.ports.clock import Clock

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import ResolveResult

TIMEOUT_S = 14.0
"""From the name to the end of the reply's head."""
REPLY_BYTES, REPLY_S = 4_096, 1.0
"""Of the reply's body so much is read, or what comes in that time, so that the receiver sees a whole exchange. Nobody
keeps it, and the head has said whether it took the message."""
HEAD_BYTES = 8_190
"""Of a line of it, and of a field."""
RETRY_AFTER_CHARS = 64

log = logging.getLogger(__name__)

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a name and a port to its addresses. Raises OSError."""


class _Refused(OSError):
    """An address that may not be asked; its words say why."""


class WebhookPoster:
    """`ports.webhooks.Poster`. `proxy`: by way of which everything goes; then names are resolved there, and addresses
    that stand in a URL are all that can be checked here. `lookup` is for tests. `aclose` when it is done with. Raises
    `ConfigError` for a `ca_file` that cannot be used."""

    def __init__(
        self,
        rules: UrlRules,
        clock: Clock,
        *,
        proxy: str | None = None,
        ca_file: str | None = None,
        lookup: Lookup | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._proxy = proxy
        self._tls: ssl.SSLContext | None = None
        if ca_file is not None:
            try:
                self._tls = ssl.create_default_context(cafile=ca_file)
            except OSError as error:
                raise ConfigError(f"webhooks.ca_file {ca_file} cannot be used: {error}") from error
        self._lookup = lookup or _system_lookup
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._agent = f"BatchRouter/{version('batchrouter')} (webhooks)"

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        why_not = self._rules.why_not(url)  # also where the settings have changed since the endpoint was made
        if why_not is not None:
            return Answer(status=None, error=f"its url {why_not}")
        sent = {"content-type": "application/json", "user-agent": self._agent, **headers}
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._begin(url, sent, body)
        except Exception as error:
            return Answer(status=None, error=_words(error, self._timeout_s))
        answer = Answer(status=reply.status, error=None, retry_after_s=self._retry_after_s(reply.headers))
        try:
            async with asyncio.timeout(REPLY_S):
                await reply.content.read(REPLY_BYTES)
        except Exception as error:
            log.debug("the body of a reply to a webhook: %s", type(error).__name__)
        finally:
            reply.close()
        return answer

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _begin(self, url: str, headers: Mapping[str, str], body: bytes) -> aiohttp.ClientResponse:
        session = self._session or self._open()
        return await session.post(url, headers=headers, data=body, allow_redirects=False, proxy=self._proxy)

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        connector = aiohttp.TCPConnector(
            resolver=_resolver(self._rules.addresses, self._lookup) if self._proxy is None else None,
            socket_factory=None if self._proxy is not None else self._socket,
            use_dns_cache=False,
            force_close=True,  # minutes lie between two: a kept connection would be stale, and its address unchecked
            limit=0,
            ssl=self._tls or True,  # verified, by the authorities of the system
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            max_line_size=HEAD_BYTES,
            max_field_size=HEAD_BYTES,
        )
        return self._session

    def _socket(self, info: Any) -> socket.socket:
        """For one address that is about to be connected to: the last place where it can be looked at."""
        family, kind, proto, _, place = info
        _require(self._rules.addresses, place[0])
        made = socket.socket(family, kind, proto)
        made.setblocking(False)
        return made

    def _retry_after_s(self, headers: Mapping[str, str]) -> float | None:
        """Seconds, or a date (RFC 9110, 10.2.3); None where nothing usable is told."""
        value = headers.get("Retry-After", "").strip()
        if not value or len(value) > RETRY_AFTER_CHARS:
            return None
        if value.isascii() and value.isdecimal():
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - self._clock.unix_ms() / 1000)
        except (ValueError, OverflowError):
            return None


def _resolver(rules: AddressRules, lookup: Lookup) -> Any:
    from aiohttp.abc import AbstractResolver

    class Checked(AbstractResolver):
        """Tells only addresses that may be asked."""

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            found, why = [], ""
            for text in await lookup(host, port):
                address = address_of(text)
                kind = "no address" if address is None else rules.why_not(address)
                if address is None or kind is not None:
                    why = why or f"its url {refused(f'{host} ({text})', kind or '')}"
                    continue
                made: ResolveResult = {
                    "hostname": host,
                    "host": text,
                    "port": port,
                    "family": socket.AF_INET if address.version == 4 else socket.AF_INET6,
                    "proto": socket.IPPROTO_TCP,
                    "flags": socket.AI_NUMERICHOST,
                }
                found.append(made)
            if not found:
                raise _Refused(why or "its name has no address")
            return found

        async def close(self) -> None:
            """Nothing to close."""

    return Checked()


async def _system_lookup(host: str, port: int) -> Sequence[str]:
    """In a thread of its own, and not in the loop's few: a name whose servers do not answer must hold up no other. The
    system gives each up by itself, after two or three times as long as an attempt may take."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[Sequence[str]] = loop.create_future()

    def tell(found: Sequence[str], error: Exception | None) -> None:
        if told.cancelled():
            return
        if error is None:
            told.set_result(found)
        else:
            told.set_exception(error)

    def look() -> None:
        found, failed = [], None
        try:
            found = [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except (OSError, UnicodeError) as error:
            failed = error
        with suppress(RuntimeError):  # the loop is closed: nobody is left to hear
            loop.call_soon_threadsafe(tell, list(dict.fromkeys(found)), failed)

    threading.Thread(target=look, name="webhook-lookup", daemon=True).start()
    return await told


def _require(rules: AddressRules, text: str) -> None:
    address = address_of(text)
    kind = "no address" if address is None else rules.why_not(address)
    if kind is not None:
        raise _Refused(f"its url {refused(text, kind)}")


def _words(error: Exception, timeout_s: float) -> str:
    """Nothing of what the receiver said, and nothing of the url but its host."""
    import aiohttp

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _Refused):
            return str(cause)
        cause = cause.__cause__
    match error:
        case TimeoutError():
            return f"no reply came within {timeout_s:.0f} s"
        case aiohttp.ClientConnectorCertificateError():
            return "its TLS certificate cannot be verified"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "no TLS connection could be made"
        case aiohttp.ClientConnectorDNSError():
            return "its name has no address"
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return "the proxy did not let it through"
        case aiohttp.ClientConnectorError():
            why = error.os_error.strerror or "refused"
            return f"no connection could be made: {why[:100]}"
        case aiohttp.InvalidURL():
            return "its url cannot be used"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "the connection ended before a reply came"
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return "what came is no HTTP reply"
        case _:
            return f"no reply came ({type(error).__name__})"
