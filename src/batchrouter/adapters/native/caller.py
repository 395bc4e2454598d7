"""One provider's API under one key: requests out, replies in, every fault of the network in our own words.

Nothing is tried twice. Each connection serves one exchange: they are minutes apart, and what an idle connection brings
could be taken for the next reply (aiohttp does not look).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import msgspec

from batchrouter.adapters.http.environment import proxy_rules
from batchrouter.adapters.http.tls import tls_context
from batchrouter.adapters.native.body import LinesBody
from batchrouter.adapters.native.refusal import ERROR_MAX_BYTES, refusal
from batchrouter.domain.jsonl import LineReader
from batchrouter.domain.origin import Origin
from batchrouter.errors import NativeUnknown
from batchrouter.ports.clock import Clock

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

REPLY_MAX_BYTES = 32 * 1024 * 1024
"""A page of a hundred jobs with a thousand errors each is smaller."""
RESULT_MAX_BYTES = 65 * 1024 * 1024
"""Of one line of results: the largest reply that a line may have, and what stands around it."""
READ_BYTES = 256 * 1024
REDIRECTS_MAX = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds. `stall_s` without a byte ends an upload or a download; after an upload's last byte, the reply has as
    long to begin."""

    connect_s: float = 10.0
    reply_s: float = 60.0
    stall_s: float = 300.0


class Answer(NamedTuple):
    """A reply that was taken whole; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self, what: str) -> Any:
        """Raises `NativeUnknown` when the body is no JSON."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError):
            raise NativeUnknown(f"{what} was answered with something that is no JSON") from None


class Caller:
    """Requests go to `base_url` with `headers`, to any other host without them. Errors as in `ports.native`.

    `what` says in a few words who is asked for what; it stands in messages, so it names no query and no presigned
    address. Raises `ConfigError` when the address or the TLS settings cannot be used, or the environment asks for a
    kind of proxy that we do not speak.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        verify_tls: bool,
        ca_file: str | None,
        env: Mapping[str, str],
        clock: Clock,
        patience: Patience,
    ) -> None:
        self.base = base_url.rstrip("/")
        self.clock = clock
        self.headers = {name.lower(): value for name, value in headers.items()}
        self._patience = patience
        self._home = _origin(self.base, Origin("", "", 0, verify_tls, ca_file))
        self.host = self._home.host
        self._proxy_for = proxy_rules(env)
        # A plain provider may still keep its files behind TLS; what it trusts there cannot be wrong.
        self._secure = replace(self._home, scheme="https")
        self._context = tls_context(self._secure) if self._home.scheme == "https" or ca_file else None
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        method: str,
        url: str,
        what: str,
        *,
        json: object = None,
        content: tuple[str, bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        takes: Collection[int] = range(200, 300),
    ) -> Answer:
        """A request with a small body, `json` or (content type, bytes), or with none. `url` may be a path behind
        `base_url`. Any status but those of `takes` is a refusal."""
        data: bytes | None = None
        # The vendors' clients say so too where there is no body; aiohttp would say octet-stream.
        headers = {"content-type": "application/json", **(headers or {})} if method == "POST" else dict(headers or {})
        if json is not None:
            data = msgspec.json.encode(json)
        elif content is not None:
            headers["content-type"], data = content
        with _foreign(what):
            async with asyncio.timeout(self._patience.reply_s):
                reply = await self._open(method, self._absolute(url), headers, data)
                return await self._whole(reply, what, takes)

    def ahead_ms(self, answer: Answer) -> int:
        """How far the clock of who answered is before ours, by the head of the reply (RFC 9110, 6.6.1); 0 where it
        tells nothing. It counts seconds, and the way here took some, too."""
        try:
            told = parsedate_to_datetime(answer.headers.get("date", ""))
        except ValueError:
            return 0
        return int(told.timestamp() * 1000) - self.clock.unix_ms()

    async def upload(
        self, method: str, url: str, what: str, body: LinesBody, headers: Mapping[str, str], *, known: bool = True
    ) -> Answer:
        """A request with a large body. What the source of its lines raises comes out as it is. `known` false: the host
        is not told who we are, even if it is the provider's own."""
        from batchrouter.adapters.native.payload import body_of  # needs aiohttp

        loop, stall_s = asyncio.get_running_loop(), self._patience.stall_s

        def alive() -> None:
            limit.reschedule(loop.time() + stall_s)

        try:
            with _foreign(what):
                async with asyncio.timeout(stall_s) as limit, body_of(body, alive) as payload:
                    reply = await self._open(method, self._absolute(url), headers, payload, known=known)
                    return await self._whole(reply, what, range(200, 300))
        except NativeUnknown:
            if body.failure is not None:
                raise body.failure from None
            raise

    async def lines(self, url: str, what: str) -> AsyncGenerator[bytes, None]:
        """The lines of a JSONL file, without line ends. Redirects are followed, because files may be kept elsewhere."""
        reader = LineReader(RESULT_MAX_BYTES)
        with _foreign(what):
            reply = await self._follow(self._absolute(url), what)
            try:
                if not 200 <= reply.status < 300:
                    await self._whole(reply, what, ())
                async for chunk in reply.content.iter_any():
                    for line in reader.feed(chunk):
                        if line.data is not None:
                            yield line.data
                        else:
                            log.warning("%s: line %d is longer than any reply may be, and skipped", what, line.number)
                if reply.url.scheme == "https" and not _is_bounded(reply):
                    raise NativeUnknown(f"{what}: the reply has no length and its end cannot be trusted")
                for line in reader.close():
                    if line.data is not None:
                        yield line.data
            finally:
                reply.close()

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # --- exchanges --------------------------------------------------------------------------------------------------

    def _absolute(self, url: str) -> str:
        return self.base + url if url.startswith("/") else url

    async def _follow(self, url: str, what: str) -> aiohttp.ClientResponse:
        for _ in range(REDIRECTS_MAX + 1):
            reply = await self._open("GET", url, {}, None)
            if reply.status not in _REDIRECTS or "location" not in reply.headers:
                return reply
            reply.close()
            further = urljoin(url, reply.headers["location"])
            if not further.startswith("https://" if url.startswith("https://") else ("http://", "https://")):
                raise NativeUnknown(f"{what} was redirected to where nobody may listen safely")
            url = further
        raise NativeUnknown(f"{what} was redirected more than {REDIRECTS_MAX} times")

    async def _open(
        self, method: str, url: str, headers: Mapping[str, str], data: object, *, known: bool = True
    ) -> aiohttp.ClientResponse:
        import aiohttp  # heavy, and not needed before the first job
        from yarl import URL

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(_once,),
                read_bufsize=READ_BYTES,
                max_line_size=64 * 1024,
                max_field_size=64 * 1024,
            )
        try:
            origin = _origin(url, self._home)
        except ValueError:
            raise NativeUnknown(f"{self.host} named an address that is none", sent=False) from None
        if origin.scheme == "https" and self._context is None:
            self._context = await asyncio.to_thread(tls_context, self._secure)
        patience = self._patience
        return await self._session.request(
            method,
            URL(url, encoded=True),
            headers={
                "user-agent": "batchrouter",
                "accept-encoding": "identity",
                # Asked for although each serves one exchange: over TLS uvloop loses the end of what a slow reader has
                # not read yet when the other side closes.
                "connection": "keep-alive",
                **(self.headers if known and origin == self._home else {}),
                **headers,
            },
            data=data,
            ssl=self._context or True,
            proxy=self._proxy_for(origin) if self._proxy_for is not None else None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=patience.connect_s, sock_read=patience.stall_s),
        )

    async def _whole(self, reply: aiohttp.ClientResponse, what: str, takes: Collection[int]) -> Answer:
        """The reply, closed. Raises `NativeRefused` for any status but those of `takes`."""
        try:
            fits = reply.status in takes
            most = REPLY_MAX_BYTES if fits else ERROR_MAX_BYTES
            body = bytearray()
            async for chunk in reply.content.iter_any():
                body += chunk
                if len(body) > most:
                    break
            if not fits:
                headers = [(name.lower(), value) for name, value in reply.raw_headers]
                raise refusal(what, reply.status, headers, bytes(body[:most]), self.clock.unix_ms() / 1000)
            if len(body) > most:
                raise NativeUnknown(f"{what} was answered with more than {most} bytes")
            return Answer(reply.status, {name.lower(): value for name, value in reply.headers.items()}, bytes(body))
        finally:
            reply.close()


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp itself sends a GET again when its connection was lost; not if the loss has this name."""
    import aiohttp

    try:
        return await send(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        raise aiohttp.ClientConnectionError("lost") from None


@contextmanager
def _foreign(what: str) -> Iterator[None]:
    """Every error of the network becomes ours here. aiohttp's own stay out of the chain: they hold whole requests."""
    import aiohttp

    try:
        yield
    except aiohttp.ClientHttpProxyError as error:
        raise NativeUnknown(f"{what}: the proxy refused with status {error.status}", sent=False) from None
    except aiohttp.ClientConnectorError as error:
        raise NativeUnknown(f"{what}: no connection ({error.strerror})", sent=False) from error.os_error
    except aiohttp.ConnectionTimeoutError:
        raise NativeUnknown(f"{what}: no connection in time", sent=False) from None
    except aiohttp.InvalidURL:
        raise NativeUnknown(f"{what}: the provider named an address that is none", sent=False) from None
    except TimeoutError:  # aiohttp's timeouts are of it too
        raise NativeUnknown(f"{what}: no whole reply in time") from None
    except (aiohttp.ClientError, OSError):
        raise NativeUnknown(f"{what}: the connection was lost, or what came is no HTTP") from None


def _is_bounded(reply: aiohttp.ClientResponse) -> bool:
    return "content-length" in reply.headers or "chunked" in reply.headers.get("transfer-encoding", "").lower()


def _origin(url: str, like: Origin) -> Origin:
    """Where a URL leads, trusted as `like` is. Raises `ValueError` for one that is none."""
    parts = urlsplit(url)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    if port is None or not parts.hostname:
        raise ValueError("no URL")
    return replace(like, scheme=parts.scheme, host=parts.hostname, port=port)
