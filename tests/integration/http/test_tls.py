"""TLS, where event loops lose the ends of bodies, and tunnels through a proxy."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from batchrouter.adapters.http.direct import DirectTransport
from batchrouter.adapters.http.proxied import ProxiedTransport
from batchrouter.domain.origin import Origin
from batchrouter.errors import ConnectFailed, ReplyBroken
from batchrouter.ports.transport import Link, LinkSettings
from tests.integration.http.closing import ClosingUpstream
from tests.integration.http.conftest import Certificate, Play
from tests.integration.http.test_transports import OK, ask
from tests.integration.http.upstream import Script, Upstream, Visit, echo, reply
from tests.unit.http.ear import Ear


@asynccontextmanager
async def secure(
    certificate: Certificate, script: Script, settings: LinkSettings | None = None
) -> AsyncIterator[tuple[Link, Upstream]]:
    async with Upstream(script, certificate.context()) as upstream:
        transport = DirectTransport()
        origin = Origin("https", "localhost", upstream.port, ca_file=str(certificate.file))
        try:
            yield transport.link(origin, settings or LinkSettings()), upstream
        finally:
            await transport.aclose()


def test_calls_over_tls(play: Play, certificate: Certificate) -> None:
    """A named root is trusted; connections are used again; large requests and replies arrive whole."""

    async def scene() -> None:
        async with secure(certificate, echo) as (link, upstream):
            for name in ("a", "b", "x" * 1_000_000):
                assert (await ask(link, name)).body == b"re:" + name.encode()
            assert upstream.visits == 1

    play(scene)


@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
def test_a_close_behind_the_reply_never_shortens_it(play: Play, certificate: Certificate, framing: str) -> None:
    """60 bodies of 300 KB, each with the close on its heels: whole by length or chunks; ended by the close, refused."""
    body = hashlib.shake_256(b"body").digest(300_000)
    data = {
        "length": reply(body, b"Connection: close\r\n"),
        "chunks": OK
        + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
        "close": OK + b"\r\n" + body,
    }[framing]

    async def scene() -> None:
        with ClosingUpstream(certificate.context(), data) as upstream:
            transport = DirectTransport()
            origin = Origin("https", "localhost", upstream.port, ca_file=str(certificate.file))
            link = transport.link(origin, LinkSettings(max_tls_connections=16))
            ears = await asyncio.gather(*(ask(link, "{}") for _ in range(60)))
            await transport.aclose()
        assert all(ear.whole or type(ear.end) is ReplyBroken for ear in ears)
        assert all(ear.body == body for ear in ears if ear.whole)
        assert sum(ear.whole for ear in ears) == (0 if framing == "close" else 60)

    play(scene)


def test_an_untrusted_certificate_is_refused_unless_told_otherwise(play: Play, certificate: Certificate) -> None:
    """By its root and by its name; `verify_tls=False` takes any."""

    async def scene() -> None:
        async with Upstream(echo, certificate.context()) as upstream:
            transport = DirectTransport()
            strange = await ask(transport.link(Origin("https", "localhost", upstream.port), LinkSettings()), "a")
            assert type(strange.end) is ConnectFailed
            assert "certificate" in str(strange.end)
            careless = Origin("https", "localhost", upstream.port, verify_tls=False)
            assert (await ask(transport.link(careless, LinkSettings()), "b")).body == b"re:b"
            await transport.aclose()

    play(scene)


def test_a_handshake_that_does_not_end_is_given_up(play: Play, certificate: Certificate) -> None:
    """Within the connect timeout, and the call was not sent."""

    async def scene() -> None:
        async def mute(visit: Visit) -> None:
            while not await visit.gone():
                pass

        async with Upstream(mute) as upstream:
            transport = DirectTransport()
            origin = Origin("https", "localhost", upstream.port, verify_tls=False)
            ear = await ask(transport.link(origin, LinkSettings(connect_timeout_s=0.2)), "a")
            assert type(ear.end) is ConnectFailed
            await transport.aclose()

    play(scene)


def test_handshakes_and_connections_have_ceilings(play: Play, certificate: Certificate) -> None:
    """200 calls over at most 5 connections, opened 2 at a time; each gets its own answer."""

    async def scene() -> None:
        settings = LinkSettings(max_tls_connections=5, tls_opening_max=2)
        async with secure(certificate, echo, settings) as (link, upstream):
            ears = [Ear(f"call-{n}") for n in range(200)]
            asked = asyncio.gather(*(ask(link, ear.name) for ear in ears))
            await asyncio.sleep(0)
            assert link.connections == 2
            for ear in await asked:
                assert ear.body == b"re:" + ear.name.encode()
            assert (upstream.visits, link.connections, link.idle) == (5, 5, 5)

    play(scene)


def tunnel(port: int, heads: list[bytes], status: int = 200) -> Script:
    """A proxy that joins the client with a local port."""

    async def script(visit: Visit) -> None:
        await visit.request()
        heads.append(visit.head)
        visit.send(b"HTTP/1.1 %d Word\r\n\r\n" % status)
        if status != 200:
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    target.write(data)
                    await target.drain()
                target.close()

        try:
            await asyncio.gather(pump(visit.reader, writer), pump(reader, visit.writer))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    return script


def test_a_tunnel_through_a_proxy(play: Play, certificate: Certificate) -> None:
    """CONNECT with the proxy's credentials; the origin's certificate is checked; a tunnel a call."""
    heads: list[bytes] = []

    async def scene() -> None:
        async with (
            Upstream(echo, certificate.context()) as upstream,
            Upstream(tunnel(upstream.port, heads)) as proxy,
        ):
            transport = ProxiedTransport(lambda origin: f"http://user:secret@127.0.0.1:{proxy.port}")
            trusting = Origin("https", "localhost", upstream.port, ca_file=str(certificate.file))
            link = transport.link(trusting, LinkSettings())
            for name in ("a", "b", "x" * 300_000):
                assert (await ask(link, name)).body == b"re:" + name.encode()
            assert proxy.visits == 3
            strange = await ask(transport.link(Origin("https", "localhost", upstream.port), LinkSettings()), "c")
            assert type(strange.end) is ConnectFailed
            await transport.aclose()

    play(scene)
    assert heads[0].startswith(b"CONNECT localhost:")
    assert base64.b64encode(b"user:secret") in heads[0]


def test_a_proxy_that_refuses_is_named_without_its_password(play: Play) -> None:
    """Nothing was sent; the status says why."""

    async def scene() -> None:
        async with Upstream(tunnel(0, [], 407)) as proxy:
            transport = ProxiedTransport(lambda origin: f"http://user:secret@127.0.0.1:{proxy.port}")
            ear = await ask(transport.link(Origin("https", "localhost", 443), LinkSettings()), "a")
            assert type(ear.end) is ConnectFailed
            assert "407" in str(ear.end)
            assert "secret" not in str(ear.end)
            await transport.aclose()

    play(scene)


def test_through_a_tunnel_the_close_ends_no_body(play: Play, certificate: Certificate) -> None:
    """As without a proxy."""

    async def script(visit: Visit) -> None:
        visit.send(OK + b"\r\nre:" + await visit.request())

    async def scene() -> None:
        async with (
            Upstream(script, certificate.context()) as upstream,
            Upstream(tunnel(upstream.port, [])) as proxy,
        ):
            transport = ProxiedTransport(lambda origin: f"http://127.0.0.1:{proxy.port}")
            origin = Origin("https", "localhost", upstream.port, ca_file=str(certificate.file))
            assert type((await ask(transport.link(origin, LinkSettings()), "a")).end) is ReplyBroken
            await transport.aclose()

    play(scene)
