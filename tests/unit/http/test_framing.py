"""What a connection makes of each cut of each reply: whose answer it is, and when there is none."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from batchrouter.adapters.http import connection, reply_head
from batchrouter.errors import ConnectionLost, ReplyBroken, ReplyTooLarge
from batchrouter.ports.transport import LinkSettings
from tests.unit.http.ear import Ear
from tests.unit.http.wire import Wire, Wires, answers, opened, play, reply

OK = b"HTTP/1.1 200 OK\r\n"
SMALL = LinkSettings(max_connections=1, max_reply_bytes=1000, max_head_bytes=2048)


def one(scene: Callable[[Wires, Wire, Ear], Coroutine[Any, Any, None]], settings: LinkSettings = SMALL) -> None:
    """A scene that begins with one call on one connection."""

    async def begin() -> None:
        wires, ear = Wires(settings), Ear("first")
        wires.send(ear)
        await opened(wires, 1)
        await scene(wires, wires.opened[0], ear)
        await wires.transport.aclose()
        assert not ear.faults

    play(begin)


async def asks_again(wires: Wires, wire: Wire) -> None:
    """The next call gets its own answer, on a connection that is not `wire`."""
    ear = Ear("next")
    before = wire.written
    wires.send(ear)
    await opened(wires, 2)
    assert wire.written == before
    wires.opened[-1].read(reply("next"))
    assert ear.whole
    assert ear.body == answers("next")


def test_one_read_brings_the_whole_reply() -> None:
    """Head, body and end arrive within the read; names that somebody reads are told, in lower case; the connection is
    idle again."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(reply("first", b"X-Request-ID: r-1\r\nSet-Cookie: a\r\nRetry-AFTER: 1\r\nretry-after-ms: 2 \r\n"))
        assert ear.whole
        assert ear.body == answers("first")
        assert ear.headers == [(b"x-request-id", b"r-1"), (b"retry-after", b"1"), (b"retry-after-ms", b"2 ")]
        assert (wires.link.connections, wires.link.idle) == (1, 1)

    one(scene)


def test_a_send_from_inside_the_end_uses_the_same_connection_in_the_same_tick() -> None:
    """The connection is free when `on_end` is called."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        second = Ear("second")

        class Next(Ear):
            def on_end(self) -> None:
                super().on_end()
                wires.send(second, b"second")

        first = Next("again")
        wire.read(reply("first"))
        wires.send(first)
        wire.read(reply("again"))
        assert wire.written.endswith(b"second")
        wire.read(reply("second"))
        assert (first.body, second.body) == (answers("again"), answers("second"))
        assert len(wires.opened) == 1

    one(scene)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("status", "header"),
    [
        *((status, header) for status in (100, 102, 103) for header in (b"Content-Length: 5\r\n", b"Link: x\r\n", b"")),
        (102, b"Transfer-Encoding: chunked\r\n"),
        (104, b""),
        (199, b"Link: x\r\n"),
    ],
)
def test_interim_replies_are_skipped(status: int, apart: bool, header: bytes) -> None:
    """A 1xx before the reply, in its read or in one of its own, ends nothing and shows nothing of itself."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        interim = b"HTTP/1.1 %d Wait\r\nX-Request-Id: none\r\n%s\r\n" % (status, header)
        final = reply("first", b"X-Request-Id: r-1\r\n")
        if apart:
            wire.read(interim)
            wire.read(interim)
            assert ear.status == 0
            wire.read(final)
        else:
            wire.read(interim + interim + final)
        assert (ear.status, ear.body, ear.whole) == (200, answers("first"), True)
        assert ear.headers == [(b"x-request-id", b"r-1")]
        assert wires.link.idle == 1

    one(scene)


def test_an_upstream_that_invents_names_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the spellings of names only so many are remembered; the others are read all the same."""
    names = reply_head.Names()
    monkeypatch.setattr(connection, "NAMES", names)
    monkeypatch.setattr(reply_head, "_SPELLINGS_MAX", 8)

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        long = b"X-%b: a\r\n" % (b"l" * 1000)
        many = b"".join(b"X-%d: a\r\n" % n for n in range(20))
        wire.read(reply("first", long + many + b"X-Request-Id: r-1\r\n"))
        assert ear.whole
        assert ear.headers == [(b"x-request-id", b"r-1")]
        assert len(names) == 8
        assert max(map(len, names)) < 20

    one(scene)


@pytest.mark.parametrize("status", [99, 104, 199])
def test_an_interim_reply_that_might_have_a_body_is_refused(status: int) -> None:
    """The parser reads a body behind those it does not know; what it takes for that body may be the answer."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(b"HTTP/1.1 %03d Wait\r\nContent-Length: 5\r\n\r\n" % status + reply("first"))
        assert type(ear.end) is ReplyBroken
        assert (ear.status, ear.body, wire.closed) == (0, b"", True)

    one(scene)


@pytest.mark.parametrize("upgrade", [b"", b"Connection: upgrade\r\nUpgrade: h2c\r\n"])
def test_a_change_of_protocol_closes(upgrade: bytes) -> None:
    """101 is an error, and what follows it is nobody's."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(b"HTTP/1.1 101 Switching\r\n%s\r\n" % upgrade + reply("first"))
        assert type(ear.end) is ReplyBroken
        assert (ear.status, ear.body, wire.closed) == (0, b"", True)
        await asks_again(wires, wire)

    one(scene)


@pytest.mark.parametrize("stray", [reply("stray"), b"H", b"HTTP/1.1 200", b"garbage", b"\x00", reply("stray") * 3])
def test_more_than_one_reply_in_a_read_ends_the_connection(stray: bytes) -> None:
    """The reply that was whole is delivered, what follows goes to nobody, a waiting call uses another connection."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        waiting = Ear("waiting")
        wires.send(waiting, b"waiting")
        wire.read(reply("first") + stray)
        assert ear.whole
        assert ear.body == answers("first")
        assert wire.closed
        assert b"waiting" not in wire.written
        await opened(wires, 2)
        wires.opened[1].read(reply("waiting"))
        assert waiting.body == answers("waiting")

    one(scene)


def test_surplus_after_chunks_or_behind_a_closing_reply_goes_to_nobody() -> None:
    """The same for a chunked reply, for one without a body, and for one that ends its connection."""
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nTrailer: t\r\n\r\n"
    for whole in (chunked, b"HTTP/1.1 204 N\r\n\r\n", OK + b"Connection: close\r\nContent-Length: 1\r\n\r\nx"):

        async def scene(wires: Wires, wire: Wire, ear: Ear, whole: bytes = whole) -> None:
            wire.read(whole + reply("stray"))
            assert ear.whole
            assert wire.closed
            await asks_again(wires, wire)

        one(scene)


def test_bytes_on_an_idle_connection_close_it() -> None:
    """A reply that nobody asked for is nobody's."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(reply("first"))
        wire.read(reply("stray"))
        assert wire.closed
        assert wires.link.idle == 0
        await asks_again(wires, wire)

    one(scene)


def test_an_idle_connection_that_the_upstream_closes_is_not_used() -> None:
    """The next call opens its own."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(reply("first"))
        wire.end()
        assert (wires.link.connections, wires.link.idle) == (0, 0)
        await asks_again(wires, wire)

    one(scene)


def test_the_close_ends_a_body_without_a_length() -> None:
    """Over plain TCP, an orderly close."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(OK + b"\r\nab")
        wire.read(b"cd")
        assert ear.end is None
        wire.end()
        assert (ear.whole, ear.body) == (True, b"abcd")

    one(scene)


def test_a_broken_connection_ends_no_body() -> None:
    """A reset is not the end of a body without a length."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(OK + b"\r\nab")
        wire.end(ConnectionResetError())
        assert type(ear.end) is ReplyBroken

    one(scene)


def test_over_tls_the_close_ends_no_body() -> None:
    """There the tail may be missing, so the reply is refused."""

    async def scene() -> None:
        wires, ear = Wires(SMALL, "https"), Ear()
        wires.send(ear)
        await opened(wires, 1)
        wires.opened[0].read(OK + b"\r\nabcd")
        wires.opened[0].end()
        assert type(ear.end) is ReplyBroken
        await wires.transport.aclose()

    play(scene)


@pytest.mark.parametrize(
    "part",
    [
        b"HTTP/1.1 2",
        OK,
        OK + b"Content-Length: 5\r\n\r\n",
        OK + b"Content-Length: 5\r\n\r\nabcd",
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_a_reply_that_is_cut_off_is_broken(part: bytes) -> None:
    """Short of its length, of its last chunk or of its head: never an answer, and never `ConnectionLost`."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(part)
        wire.end()
        assert type(ear.end) is ReplyBroken

    one(scene)


def test_a_close_before_the_first_byte_is_a_lost_connection() -> None:
    """So that the caller may send again at once."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.end()
        assert type(ear.end) is ConnectionLost

    one(scene)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        b"Content-Length: 1\r\nContent-Length: 2\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: +1\r\n",
        b"Content-Length: 0x1\r\n",
        b"Content-Length: 1, 1\r\n",
        b"Content-Length: \r\n",
        b"Content-Length: 99999999999999999999999999\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length : 1\r\n",
        b"X: a\r\n Content-Length: 1\r\n",
        b"X: a\nContent-Length: 1\r\n",
        b"X: a\x00b\r\nContent-Length: 1\r\n",
        b"Content-Encoding: gzip\r\nContent-Length: 1\r\n",
        b"Content-Encoding: identity\r\nContent-Encoding: br\r\nContent-Length: 1\r\n",
    ],
)
def test_a_head_that_frames_in_two_ways_or_none_is_refused(head: bytes) -> None:
    """Nothing of it is an answer, the connection closes, and the next call gets its own."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(OK + head + b"\r\n1\r\nx\r\n0\r\n\r\n")
        assert isinstance(ear.end, ReplyBroken | ReplyTooLarge)
        assert (ear.body, wire.closed) == (b"", True)
        await asks_again(wires, wire)

    one(scene)


@pytest.mark.parametrize("garbage", [b"\x15\x03\x01\x00\x02\x02\x0a", b"SSH-2.0-x\r\n", b"<html>", b"HTTP/1.1 2x0\r\n"])
def test_bytes_that_are_not_http_are_refused(garbage: bytes) -> None:
    """A TLS alert, another protocol, a page."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(garbage)
        assert type(ear.end) is ReplyBroken

    one(scene)


@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" * 40])
@pytest.mark.parametrize("size", [1, 100, 4096])
def test_a_head_has_a_bound(interim: bytes, size: int) -> None:
    """64 KiB by default, interim heads counted, in small reads and in large ones."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        data = interim + OK + b"X: " + b"y" * 2048 + b"\r\nContent-Length: 1\r\n\r\nx"
        wire.read_cut(data, range(size, len(data), size))
        assert type(ear.end) is ReplyBroken
        assert "2048" in str(ear.end)

    one(scene)


@pytest.mark.parametrize("size", [64, 100_000])
def test_a_reply_has_a_bound(size: int) -> None:
    """A body of exactly `max_reply_bytes` passes in every framing; one byte more is too large."""
    for extra in (0, 1):
        body = b"x" * (1000 + extra)
        for data in (
            OK + b"Content-Length: %d\r\n\r\n%s" % (len(body), body),
            OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
            OK + b"\r\n" + body,
        ):

            async def scene(wires: Wires, wire: Wire, ear: Ear, data: bytes = data, extra: int = extra) -> None:
                wire.read_cut(data, range(size, len(data), size))
                wire.end()
                if extra:
                    assert type(ear.end) is ReplyTooLarge
                    assert wire.closed
                else:
                    assert ear.whole
                    assert len(ear.body) == 1000

            one(scene)


def test_framing_without_end_is_cut_off() -> None:
    """Trailers, chunk extensions and blank chunks cannot grow for ever behind a small body."""
    endless = (
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"Trailer: t\r\n" * 1000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"e" * 10_000,
        b"\r\n" * 5000,
    )
    for data in endless:

        async def scene(wires: Wires, wire: Wire, ear: Ear, data: bytes = data) -> None:
            wire.read_cut(data, range(500, len(data), 500))
            assert isinstance(ear.end, ReplyTooLarge | ReplyBroken)
            assert wire.closed

        one(scene)
