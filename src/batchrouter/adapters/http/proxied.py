"""Lines through a proxy, over aiohttp: CONNECT, proxy credentials and TLS inside TLS are its business, not ours.

It keeps the promises of the port at a price per line (a task, a connection, twenty times the CPU) that only those
pay whose environment asks for a proxy.
"""

from __future__ import annotations

import asyncio
import io
import ssl
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from batchrouter.adapters.http.direct import DirectTransport
from batchrouter.adapters.http.environment import proxy_rules
from batchrouter.adapters.http.link import note_sink
from batchrouter.adapters.http.tls import tls_context
from batchrouter.domain.origin import Origin
from batchrouter.errors import (
    ConnectFailed,
    ConnectionLost,
    ReplyBroken,
    ReplyTimeout,
    ReplyTooLarge,
    TransportError,
)
from batchrouter.ports.transport import Link, LinkSettings, Sink, Transport

if TYPE_CHECKING:
    import aiohttp

_PLAIN_BODY_MAX = 1024 * 1024
"""aiohttp warns about larger bodies unless they come as a file."""

_NOT_OURS_TO_ADD = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


def transport_for(env: Mapping[str, str], max_connections: int = sys.maxsize) -> Transport:
    """The transport that this environment asks for: straight, or through its proxies; with at most so many
    connections.

    Raises `ConfigError` when it asks for a kind of proxy that we do not speak.
    """
    proxy_for = proxy_rules(env)
    if proxy_for is None:
        return DirectTransport(max_connections)
    return ProxiedTransport(proxy_for, max_connections)


class ProxiedTransport:
    """Links through the proxy that `proxy_for` names for their origin; straight ones where it names none.

    Together they have at most `max_connections`, half of it either kind: idle straight ones do not hear of calls that
    wait for a proxy.
    """

    def __init__(self, proxy_for: Callable[[Origin], str | None], max_connections: int = sys.maxsize) -> None:
        self._proxy_for = proxy_for
        self._room = asyncio.Semaphore(max(1, max_connections // 2))
        self._direct = DirectTransport(max(1, max_connections // 2))
        self._links: dict[tuple[Origin, LinkSettings], ProxiedLink] = {}
        self._may_send: Callable[[], bool] = lambda: True

    def link(self, origin: Origin, settings: LinkSettings) -> Link:
        proxy = self._proxy_for(origin)
        if proxy is None:
            return self._direct.link(origin, settings)
        link = self._links.get((origin, settings))
        if link is None:
            link = ProxiedLink(origin, settings, tls_context(origin), proxy, self._room, lambda: self._may_send())
            self._links[origin, settings] = link
        return link

    def fence(self, may_send: Callable[[], bool]) -> None:
        self._may_send = may_send
        self._direct.fence(may_send)

    async def aclose(self) -> None:
        for link in tuple(self._links.values()):
            await link.aclose()
        await self._direct.aclose()


class ProxiedCall:
    """One `send`. `sink` is None once nothing more may be told."""

    __slots__ = ("sink", "task")

    def __init__(self, sink: Sink) -> None:
        self.sink: Sink | None = sink
        self.task: asyncio.Task[None] | None = None

    def abort(self) -> None:
        if self.sink is not None:
            self.sink = None
            if self.task is not None:
                self.task.cancel()


class ProxiedLink:
    """One origin through one proxy. A connection serves one call, so that none is ever idle."""

    def __init__(
        self,
        origin: Origin,
        settings: LinkSettings,
        context: ssl.SSLContext | None,
        proxy: str,
        room: asyncio.Semaphore,
        may_send: Callable[[], bool],
    ) -> None:
        self._may_send = may_send
        self._settings = settings
        self._context = context
        self._proxy = proxy
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        self._base = f"{origin.scheme}://{host}:{origin.port}"
        self._slots = asyncio.Semaphore(settings.max_connections if context is None else settings.max_tls_connections)
        self._room = room
        self._active = 0
        self._calls: dict[asyncio.Task[None], ProxiedCall] = {}
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        return self._active

    @property
    def idle(self) -> int:
        return 0

    def send(self, head: bytes, body: bytes, sink: Sink) -> ProxiedCall:
        if self._closed:
            raise TransportError(f"the link to {self._base} is closed")
        call = ProxiedCall(sink)
        call.task = asyncio.get_running_loop().create_task(self._run(call, head, body))
        self._calls[call.task] = call
        call.task.add_done_callback(self._calls.pop)
        return call

    async def aclose(self) -> None:
        self._closed = True
        gone = TransportError("the link was closed before the reply was whole")
        for task, call in tuple(self._calls.items()):
            self._tell_end(call, gone)
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _run(self, call: ProxiedCall, head: bytes, body: bytes) -> None:
        """Wait for a slot, exchange, free the slot, and only then tell the end: the sink may send from there."""
        limit_s = self._settings.request_timeout_s
        error: TransportError | None = None
        sent = False
        try:
            async with asyncio.timeout(limit_s), self._slots, self._room:
                if not self._may_send():
                    raise ConnectionLost("the request was not sent: its sender may send nothing at this moment")
                sent = True
                self._active += 1
                try:
                    await self._exchange(call, head, body)
                finally:
                    self._active -= 1
        except TransportError as refused:
            error = refused
        except TimeoutError as late:
            error = (
                ReplyTimeout(f"no whole reply within {limit_s:g} s")
                if sent
                else ConnectFailed(f"no connection to {self._base} became free within {limit_s:g} s")
            )
            error.__cause__ = late
        self._tell_end(call, error)

    async def _exchange(self, call: ProxiedCall, head: bytes, body: bytes) -> None:
        """One request, one reply; every error of aiohttp becomes ours here."""
        import aiohttp

        try:
            async with self._request(head, body) as reply:
                try:
                    await self._read(call, reply)
                except BaseException:
                    reply.close()
                    raise
        except TransportError:
            raise
        except aiohttp.ClientHttpProxyError as error:
            raise ConnectFailed(f"the proxy refused to reach {self._base} with status {error.status}") from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            reason = error.strerror if isinstance(error, aiohttp.ClientConnectorError) else "no answer in time"
            raise ConnectFailed(f"could not connect to {self._base} through its proxy: {reason}") from error
        except aiohttp.SocketTimeoutError as error:
            raise ReplyTimeout(f"no byte of a reply for {self._settings.silence_timeout_s:g} s") from error
        except aiohttp.ClientPayloadError as error:
            raise ReplyBroken("the connection ended inside the reply") from error
        except aiohttp.ClientConnectionError as error:
            # aiohttp does not tell whether a part of the head had come.
            raise ConnectionLost("the connection ended before the reply") from error
        except aiohttp.ClientError as error:
            raise ReplyBroken(f"the reply is not HTTP/1.1 ({type(error).__name__})") from error

    def _request(self, head: bytes, body: bytes) -> Any:
        from yarl import URL

        method, target, headers = _parse(head)
        return self._open_session().request(
            method,
            URL(self._base + target, encoded=True),
            headers=headers,
            data=body if len(body) <= _PLAIN_BODY_MAX else io.BytesIO(body),
            proxy=self._proxy,
            allow_redirects=False,
        )

    async def _read(self, call: ProxiedCall, reply: aiohttp.ClientResponse) -> None:
        headers = [(name.lower(), value) for name, value in reply.raw_headers]
        bounded = self._judge(reply, headers)
        self._tell(call, "on_head", reply.status, headers)
        size = 0
        async for data in reply.content.iter_any():
            size += len(data)
            if size > self._settings.max_reply_bytes:
                raise self._too_large()
            self._tell(call, "on_chunk", data)
        if not bounded and self._context is not None:
            raise ReplyBroken("the reply has no length and its end cannot be trusted")

    def _judge(self, reply: aiohttp.ClientResponse, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether the reply says where it ends; raises when it is one that we do not take."""
        if reply.status < 200:
            raise ReplyBroken(f"the upstream answered with status {reply.status}, which nobody asked for")
        bodiless = reply.method == "HEAD" or reply.status in (204, 304)
        bounded = bodiless
        for name, value in headers:
            word = value.strip().lower()
            if name == b"content-length":
                bounded = True
                if not bodiless and int(word) > self._settings.max_reply_bytes:
                    raise self._too_large()
            elif name == b"transfer-encoding":
                bounded = True
                if word != b"chunked":
                    raise ReplyBroken("the upstream's reply has a transfer-encoding other than one 'chunked'")
            elif name == b"content-encoding" and word not in (b"", b"identity"):
                raise ReplyBroken("the upstream compressed its reply although it was asked not to (accept-encoding)")
        return bounded

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            settings = self._settings
            # One connection a call: aiohttp gives bytes that came on an idle connection to the next call on it.
            # How many there are at a time is decided by the slots.
            connector = aiohttp.TCPConnector(
                limit=0, force_close=True, ssl=True if self._context is None else self._context
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=settings.connect_timeout_s, sock_read=settings.silence_timeout_s
                ),
                skip_auto_headers=_NOT_OURS_TO_ADD,
                max_line_size=settings.max_head_bytes,
                max_field_size=settings.max_head_bytes,
            )
        return self._session

    def _too_large(self) -> ReplyTooLarge:
        return ReplyTooLarge(f"the reply is larger than {self._settings.max_reply_bytes} bytes (max_reply_bytes)")

    def _tell(self, call: ProxiedCall, event: str, *what: object) -> None:
        """Tell a sink that still listens; a sink that raises ends its exchange."""
        if call.sink is None:
            return
        try:
            getattr(call.sink, event)(*what)
        except Exception as error:
            note_sink(self._base, error)
            raise TransportError("the reader of the reply failed; the log names the place") from error

    def _tell_end(self, call: ProxiedCall, error: TransportError | None) -> None:
        sink, call.sink = call.sink, None
        if sink is None:
            return
        try:
            if error is None:
                sink.on_end()
            else:
                sink.on_error(error)
        except Exception as raised:
            note_sink(self._base, raised)


def _parse(head: bytes) -> tuple[str, str, list[tuple[str, str]]]:
    """Method, target and headers of a rendered request."""
    line, *rest = head.decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ")
    return (
        method,
        target,
        [(name, value.strip()) for name, _, value in (entry.partition(":") for entry in rest if entry)],
    )
