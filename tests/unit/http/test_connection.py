"""What a connection does behind a reply: serve on, end, and never give one call what belongs to another."""

from __future__ import annotations

import pytest

from batchrouter.ports.transport import LinkSettings
from tests.unit.http.ear import Ear
from tests.unit.http.test_framing import asks_again, one
from tests.unit.http.wire import Wire, Wires, answers, opened, reply, until

OK = b"HTTP/1.1 200 OK\r\n"


def test_replies_without_a_body() -> None:
    """204, 304 and the answer to HEAD have none, whatever length they declare."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(b"HTTP/1.1 204 No\r\n\r\n")
        assert ear.whole
        unchanged, head = Ear("unchanged"), Ear("head")
        wires.send(unchanged)
        wire.read(b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n")
        assert unchanged.whole
        wires.link.send(b"HEAD /v1/x HTTP/1.1\r\nhost: x\r\n\r\n", b"", head)
        wire.read(OK + b"Content-Length: 5000\r\n\r\n")
        assert (head.whole, head.body, wire.closed) == (True, b"", True)
        assert len(wires.opened) == 1

    one(scene)


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nConnection: close\r\n", b"HTTP/1.0 200 OK\r\n"])
def test_a_reply_that_ends_its_connection(start: bytes) -> None:
    """`Connection: close`, and HTTP/1.0 that does not say keep-alive."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(start + b"Content-Length: 1\r\n\r\nx")
        assert ear.whole
        assert wire.closed
        await asks_again(wires, wire)

    one(scene)


def test_a_reply_before_the_end_of_its_request_ends_the_connection() -> None:
    """The rest of that request must not stand before the next one."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(reply("first"))
        early = Ear("early")
        wires.send(early, b"x" * 100_000)
        wire.unsent = 40_000
        wire.read(reply("early", status=413))
        assert (early.whole, early.status, wire.closed) == (True, 413, True)
        await asks_again(wires, wire)

    one(scene)


@pytest.mark.parametrize("moment", ["on_head", "on_chunk", "on_end"])
def test_a_sink_that_raises_harms_nobody_else(
    moment: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its connection closes unless the reply was over; it hears one error at most; the log holds no answer."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(reply("first"))
        bad = Ear("bad")

        def fail(*what: object) -> None:
            raise ValueError("secret answer")

        monkeypatch.setattr(bad, moment, fail)
        waiting = Ear("waiting")
        wires.send(bad)
        wires.send(waiting)
        wire.read(reply("bad"))
        if moment == "on_end":
            assert bad.end is None
            assert wire.written.count(b"POST") == 3
        else:
            assert "reader" in str(bad.end)
            assert wire.closed
            await opened(wires, 2)
        wires.opened[-1].read(reply("waiting"))
        assert waiting.body == answers("waiting")
        assert not bad.faults

    one(scene)
    assert "ValueError" in caplog.text
    assert "test_connection.py" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("moment", ["on_head", "on_chunk"])
def test_a_sink_may_stop_from_inside(moment: str) -> None:
    """After `abort` it hears nothing, not even of bytes of the same read, and the connection is closed."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(reply("first"))

        class Stopper(Ear):
            def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
                super().on_head(status, headers)
                if moment == "on_head":
                    call.abort()

            def on_chunk(self, data: bytes) -> None:
                super().on_chunk(data)
                call.abort()

        stopper = Stopper("stopper")
        call = wires.send(stopper)
        wire.read(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n1\r\ny\r\n0\r\n\r\n")
        assert (stopper.end, stopper.body) == (None, b"x" if moment == "on_chunk" else b"")
        assert wire.closed
        await asks_again(wires, wire)

    one(scene)


def test_an_old_call_cannot_abort_the_next_on_its_connection() -> None:
    """`abort` of a call that has ended is harmless."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(reply("first"))
        old, new = Ear("old"), Ear("new")
        call = wires.send(old)
        wire.read(reply("old"))
        wires.send(new)
        call.abort()
        wire.read(reply("new"))
        assert new.body == answers("new")

    one(scene)


def test_an_announced_keep_alive_time_is_kept() -> None:
    """`Keep-Alive: timeout=0` closes the connection at the next look instead of after the setting's time."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(reply("first", b"Keep-Alive: timeout=0, max=5\r\n"))
        assert ear.whole
        await until(lambda: wires.link.connections == 0)
        assert wire.closed

    one(scene, LinkSettings(idle_timeout_s=100, request_timeout_s=0.04))


def test_blank_lines_before_a_reply_shift_no_answer() -> None:
    """An upstream that ends its bodies with a stray line break keeps each answer with its call."""

    async def scene(wires: Wires, wire: Wire, ear: Ear) -> None:
        wire.read(reply("first") + b"\r\n")
        second = Ear("second")
        wires.send(second)
        wires.opened[-1].read(b"\r\n" + reply("second"))
        assert (ear.body, second.body) == (answers("first"), answers("second"))

    one(scene)
