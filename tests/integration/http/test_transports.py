"""What every transport promises, over real sockets: our own and the one through a proxy, on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from batchrouter.errors import (
    ConnectFailed,
    ConnectionLost,
    ReplyBroken,
    ReplyTimeout,
    ReplyTooLarge,
    TransportError,
)
from batchrouter.ports.transport import Link, LinkSettings
from tests.integration.http.conftest import Play, Way
from tests.integration.http.upstream import Script, Upstream, Visit, echo, reply
from tests.unit.http.ear import Ear
from tests.unit.http.wire import until

HEAD = (
    b"POST /v1/chat/completions?x=%%20y HTTP/1.1\r\nHost: upstream.invalid\r\nAuthorization: Bearer sk-x\r\n"
    b"Accept-Encoding: identity\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
OK = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def linked(
    way: Way, script: Script, settings: LinkSettings | None = None
) -> AsyncIterator[tuple[Link, Upstream]]:
    async with Upstream(script) as upstream:
        transport = way.transport(upstream)
        try:
            yield way.link(transport, upstream, settings or LinkSettings()), upstream
        finally:
            await transport.aclose()


async def ask(link: Link, name: str) -> Ear:
    """Send a body that names its call, and wait for the end."""
    ear = Ear(name)
    link.send(HEAD % len(name), name.encode(), ear)
    assert ear.end is None
    await ear.over.wait()
    assert not ear.faults
    return ear


def test_requests_arrive_as_rendered(play: Play, way: Way) -> None:
    """Method, target, headers and body; nothing that would make the upstream compress; nothing doubled."""
    heads: list[bytes] = []

    async def script(visit: Visit) -> None:
        body = await visit.request()
        heads.append(visit.head)
        visit.send(reply(b"re:" + body, b"X-Request-ID: r-1\r\nRetry-After: 1\r\nRetry-After: 2\r\n"))

    async def scene() -> None:
        async with linked(way, script) as (link, _):
            ear = await ask(link, "one")
            assert (ear.whole, ear.status, ear.body) == (True, 200, b"re:one")
            assert (b"x-request-id", b"r-1") in ear.headers
            assert [value for name, value in ear.headers if name == b"retry-after"] == [b"1", b"2"]

    play(scene)
    line, *headers = heads[0].removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert line.startswith(b"POST ")
    assert line.endswith(b"/v1/chat/completions?x=%20y HTTP/1.1")
    names = [header.partition(b":")[0].lower() for header in headers]
    assert sorted(names) == sorted({*names})
    assert {b"host", b"authorization", b"content-type", b"content-length"} <= {*names}
    assert b"accept-encoding: identity" in [header.lower() for header in headers]
    assert b"user-agent" not in names


def test_many_calls_share_few_connections_and_each_gets_its_own_answer(play: Play, way: Way) -> None:
    """300 calls over at most 8 connections."""

    async def scene() -> None:
        async with linked(way, echo, LinkSettings(max_connections=8)) as (link, upstream):
            ears = [Ear(f"call-{n}") for n in range(300)]
            for ear in ears:
                link.send(HEAD % len(ear.name), ear.name.encode(), ear)
            assert link.connections <= 8
            for ear in ears:
                await ear.over.wait()
                assert ear.body == b"re:" + ear.name.encode()
            assert link.connections <= 8
            assert upstream.visits == (8 if way.reuses else 300)

    play(scene)


def test_a_connection_is_used_again(play: Play, way: Way) -> None:
    """One after the other, also from inside the end of the call before."""

    async def scene() -> None:
        async with linked(way, echo) as (link, upstream):
            for name in ("a", "b"):
                assert (await ask(link, name)).body == b"re:" + name.encode()
            inner = Ear("inner")

            class Chained(Ear):
                def on_end(self) -> None:
                    super().on_end()
                    link.send(HEAD % 5, b"inner", inner)

            link.send(HEAD % 5, b"outer", Chained())
            await inner.over.wait()
            assert inner.body == b"re:inner"
            assert upstream.visits == 1 or not way.reuses

    play(scene)


@pytest.mark.parametrize("apart", [False, True])
def test_interim_replies_are_skipped(play: Play, way: Way, apart: bool) -> None:
    """In the read of the reply or before it."""

    async def script(visit: Visit) -> None:
        while True:
            body = await visit.request()
            for interim in (b"100 Continue\r\n\r\n", b"102 Processing\r\n\r\n", b"103 Hints\r\nLink: a\r\n\r\n"):
                visit.send(b"HTTP/1.1 " + interim)
                if apart:
                    await visit.gap()
            visit.send(reply(b"re:" + body))

    async def scene() -> None:
        async with linked(way, script) as (link, upstream):
            for name in ("a", "b"):
                ear = await ask(link, name)
                assert (ear.status, ear.body) == (200, b"re:" + name.encode())
            assert upstream.visits == 1 or not way.reuses

    play(scene)


@pytest.mark.parametrize("stray", [reply(b"stray"), OK, b"garbage\r\n\r\n", OK + b"Content-Length: 50\r\n\r\nstray"])
@pytest.mark.parametrize("later", [False, True])
def test_what_nobody_asked_for_reaches_nobody(play: Play, way: Way, stray: bytes, later: bool) -> None:
    """Behind a whole reply in its read, or on the idle connection: the next call has a new connection."""

    async def script(visit: Visit) -> None:
        while True:
            body = reply(b"re:" + await visit.request())
            if visit.number == 1 and not later:
                visit.send(body + stray)
            elif visit.number == 1:
                visit.send(body)
                await visit.gap()
                visit.send(stray)
                await visit.gap()
            else:
                visit.send(body)

    async def scene() -> None:
        async with linked(way, script) as (link, upstream):
            for name in ("a", "b", "c"):
                ear = await ask(link, name)
                # aiohttp may refuse a reply for the garbage behind it: that loses an answer, and gives none away.
                if not (type(ear.end) is ReplyBroken and name == "a" and not way.reuses):
                    assert ear.body == b"re:" + name.encode()
                if later and name == "a":
                    await asyncio.sleep(0.1)
            assert upstream.visits == (2 if way.reuses else 3)

    play(scene)


BROKEN = [
    b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + reply(b"stray"),
    OK + b"Content-Length: 5\r\n\r\nab",
    OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabXX\r\n0\r\n\r\n",
    OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    OK + b"Content-Length: -2\r\n\r\nab",
    OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab",
    OK + b"X: " + b"y" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nab",
    b"<html>no such page</html>",
]


@pytest.mark.parametrize("data", BROKEN, ids=[str(n) for n in range(len(BROKEN))])
def test_a_broken_reply_is_no_answer(play: Play, way: Way, data: bytes) -> None:
    """Its call hears `ReplyBroken` once, and the next gets its own answer on another connection."""

    async def script(visit: Visit) -> None:
        body = await visit.request()
        if visit.number == 1:
            visit.send(data)
        else:
            visit.send(reply(b"re:" + body))

    async def scene() -> None:
        async with linked(way, script) as (link, _):
            assert type((await ask(link, "a")).end) is ReplyBroken
            assert (await ask(link, "b")).body == b"re:b"

    play(scene)


def test_the_close_ends_a_body_without_length_over_plain_tcp(play: Play, way: Way) -> None:
    """`Connection: close` servers of the old kind."""

    async def script(visit: Visit) -> None:
        visit.send(OK + b"\r\nre:" + await visit.request())
        await visit.gap()
        visit.send(b" and more")

    async def scene() -> None:
        async with linked(way, script) as (link, upstream):
            for name in ("a", "b"):
                assert (await ask(link, name)).body == b"re:%s and more" % name.encode()
            assert upstream.visits == 2

    play(scene)


@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
def test_a_reply_is_bounded(play: Play, way: Way, framing: str) -> None:
    """A body of `max_reply_bytes` passes, one byte more is `ReplyTooLarge` and closes."""

    async def script(visit: Visit) -> None:
        while True:
            body = b"x" * (100_000 + int(await visit.request()))
            if framing == "length":
                visit.send(reply(body))
            elif framing == "chunks":
                visit.send(OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            else:
                visit.send(OK + b"\r\n" + body)
                return

    async def scene() -> None:
        async with linked(way, script, LinkSettings(max_reply_bytes=100_000)) as (link, _):
            exact, over = await ask(link, "0"), await ask(link, "1")
            assert (exact.whole, len(exact.body)) == (True, 100_000)
            assert type(over.end) is ReplyTooLarge

    play(scene)


def test_replies_that_end_their_connection_or_have_no_body(play: Play, way: Way) -> None:
    """`Connection: close` is honoured; 204 and 304 have no body and keep the connection."""
    replies = [
        b"HTTP/1.1 204 No\r\n\r\n",
        b"HTTP/1.1 304 Same\r\nContent-Length: 7\r\n\r\n",
        reply(b"last", b"Connection: close\r\n"),
    ]

    async def script(visit: Visit) -> None:
        while True:
            data = replies[int(await visit.request())]
            visit.send(data)
            if b"close" in data:
                assert await visit.gone()
                return

    async def scene() -> None:
        async with linked(way, script) as (link, upstream):
            ears = [await ask(link, name) for name in "0120"]
            assert [(ear.status, ear.body) for ear in ears] == [(204, b""), (304, b""), (200, b"last"), (204, b"")]
            assert upstream.visits == 2 or not way.reuses

    play(scene)


@pytest.mark.parametrize("reset", [False, True])
def test_a_close_before_the_reply_is_a_lost_connection(play: Play, way: Way, reset: bool) -> None:
    """On a new connection and on one that has served; so that the caller may send again at once."""

    async def script(visit: Visit) -> None:
        while await visit.request() == b"b":
            visit.send(reply(b"re:b"))
        if reset:
            visit.reset()

    async def scene() -> None:
        async with linked(way, script) as (link, _):
            assert type((await ask(link, "a")).end) is ConnectionLost
            assert (await ask(link, "b")).body == b"re:b"
            assert type((await ask(link, "c")).end) is ConnectionLost

    play(scene)


def test_a_slow_upstream_is_bounded_in_time(play: Play, way: Way) -> None:
    """Silence, a head byte by byte, and a body byte by byte."""

    async def script(visit: Visit) -> None:
        kind = await visit.request()
        visit.send({b"silent": b"", b"head": b"HTTP/1.1 200 OK\r\nX: ", b"body": OK + b"\r\n"}[kind])
        while kind != b"silent":
            visit.send(b"x")
            await visit.gap()
        await visit.gone()

    async def scene() -> None:
        async with linked(way, script, LinkSettings(request_timeout_s=0.15)) as (link, upstream):
            for kind in ("silent", "head", "body"):
                assert type((await ask(link, kind)).end) is ReplyTimeout
            await until(lambda: upstream.open == 0)

    play(scene)


def test_a_reply_may_take_longer_than_the_upstream_may_be_silent(play: Play, way: Way) -> None:
    """A long body of many small pieces comes whole; a connection that goes silent before or inside a reply does not."""

    async def script(visit: Visit) -> None:
        kind = await visit.request()
        visit.send({b"silent": b"", b"head": b"HTTP/1.1 200 OK\r\nX: ", b"body": OK + b"x"}.get(kind, b""))
        if kind == b"long":
            visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\nConnection: close\r\n\r\n")
            for _ in range(40):
                visit.send(b"x")
                await visit.gap()
        await visit.gone()

    async def scene() -> None:
        settings = LinkSettings(request_timeout_s=3600, silence_timeout_s=1.0)
        async with linked(way, script, settings) as (link, _):
            ears = [Ear(kind) for kind in ("long", "silent", "head", "body")]
            for ear in ears:
                link.send(HEAD % len(ear.name), ear.name.encode(), ear)
            for ear in ears:
                await ear.over.wait()
            assert ears[0].body == b"x" * 40
            for ear in ears[1:]:
                assert type(ear.end) is ReplyTimeout
                assert "no byte of a reply for 1 s" in str(ear.end)

    play(scene)


@pytest.mark.parametrize("moment", ["on_head", "on_chunk", "on_end"])
def test_a_sink_that_raises_harms_nobody_else(
    play: Play, way: Way, moment: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Others are answered; the log holds the place and the kind, never the message."""

    async def scene() -> None:
        async with linked(way, echo) as (link, _):
            bad, good = Ear("bad"), Ear("good")

            def fail(*what: object) -> None:
                bad.over.set()
                raise ValueError("secret")

            monkeypatch.setattr(bad, moment, fail)
            link.send(HEAD % 3, b"bad", bad)
            link.send(HEAD % 4, b"good", good)
            await good.over.wait()
            await bad.over.wait()
            assert good.body == b"re:good"
            assert (await ask(link, "next")).body == b"re:next"
            assert isinstance(bad.end, TransportError) is (moment != "on_end")

    play(scene)
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


def test_abort_closes_the_socket_and_is_silent(play: Play, way: Way) -> None:
    """The upstream sees the close; a waiting request is never sent; an ended call's abort harms nobody."""
    seen: list[bytes] = []

    async def script(visit: Visit) -> None:
        while True:
            seen.append(await visit.request())
            if seen[-1] == b"hang":
                assert await visit.gone()
                return
            visit.send(reply(b"re:" + seen[-1]))

    async def scene() -> None:
        async with linked(way, script, LinkSettings(max_connections=1)) as (link, upstream):
            ears = [Ear("hang"), Ear("never"), Ear("last")]
            calls = [link.send(HEAD % len(ear.name), ear.name.encode(), ear) for ear in ears]
            await until(lambda: len(seen) > 0)
            calls[1].abort()
            calls[0].abort()
            calls[0].abort()
            await ears[2].over.wait()
            assert ears[2].body == b"re:last"
            calls[2].abort()
            assert (await ask(link, "next")).body == b"re:next"
            assert [ear.end for ear in ears[:2]] == [None, None]
            assert seen == [b"hang", b"last", b"next"]
            assert upstream.visits == (2 if way.reuses else 3)

    play(scene)


def test_closing_ends_what_is_under_way(play: Play, way: Way) -> None:
    """Every call hears one error, every socket closes, and nothing can be sent any more."""

    async def script(visit: Visit) -> None:
        await visit.request()
        assert await visit.gone()

    async def scene() -> None:
        async with Upstream(script) as upstream:
            transport = way.transport(upstream)
            link = way.link(transport, upstream, LinkSettings(max_connections=2))
            ears = [Ear(str(n)) for n in range(4)]
            for ear in ears:
                link.send(HEAD % 1, b"x", ear)
            await until(lambda: upstream.open == 2)
            await transport.aclose()
            assert all(isinstance(ear.end, TransportError) and not ear.faults for ear in ears)
            assert link.connections == 0
            with pytest.raises(TransportError, match="closed"):
                link.send(HEAD % 1, b"x", Ear())
            await until(lambda: upstream.open == 0)

    play(scene)


def test_a_refused_connection_says_so(play: Play, way: Way) -> None:
    """Nobody listens: nothing was sent, every call hears it once."""

    async def scene() -> None:
        async with Upstream(echo) as upstream:
            pass
        transport = way.transport(upstream)
        link = way.link(transport, upstream, LinkSettings())
        for ear in [await ask(link, "a"), await ask(link, "b")]:
            assert type(ear.end) is ConnectFailed
        await transport.aclose()

    play(scene)


@pytest.mark.parametrize("size", [15_000, 70_000, 5_000_000])
def test_large_requests_reach_a_slow_reader_whole(play: Play, way: Way, size: int) -> None:
    """More than any buffer between: written in parts, and answered like a small one."""
    body = bytes(range(256)) * (size // 256)

    async def script(visit: Visit) -> None:
        while True:
            await asyncio.sleep(0.05)
            got = await visit.request()
            visit.send(reply(b"whole" if got == body else b"other"))

    async def scene() -> None:
        async with linked(way, script) as (link, upstream):
            for _ in range(2):
                ear = Ear()
                link.send(HEAD % len(body), body, ear)
                await ear.over.wait()
                assert ear.body == b"whole"
            assert upstream.visits == 1 or not way.reuses

    play(scene)


def test_large_replies_arrive_whole(play: Play, way: Way) -> None:
    """By length and in chunks."""
    body = bytes(range(256)) * 12_000

    async def script(visit: Visit) -> None:
        while True:
            if await visit.request() == b"length":
                visit.send(reply(body))
                continue
            visit.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 50_000):
                part = body[start : start + 50_000]
                visit.send(b"%x\r\n%s\r\n" % (len(part), part))
            visit.send(b"0\r\n\r\n")

    async def scene() -> None:
        async with linked(way, script) as (link, upstream):
            for framing in ("length", "chunks"):
                ear = await ask(link, framing)
                assert ear.whole
                assert ear.body == body
            assert upstream.visits == 1 or not way.reuses

    play(scene)


def test_an_answer_before_the_request_is_read_does_not_disturb_the_next(play: Play, way: Way) -> None:
    """413 while the body is still being written: its rest never stands before another request."""

    async def script(visit: Visit) -> None:
        if visit.number == 1:
            visit.send(reply(b"too large", status=413))
            await visit.gap()
            visit.writer.transport.abort()
        else:
            visit.send(reply(b"re:" + await visit.request()))

    async def scene() -> None:
        async with linked(way, script) as (link, _):
            ear = Ear()
            body = b"x" * 20_000_000
            link.send(HEAD % len(body), body, ear)
            await ear.over.wait()
            assert (ear.status, ear.body) == (413, b"too large") or isinstance(ear.end, ReplyBroken)
            assert (await ask(link, "next")).body == b"re:next"

    play(scene)
