"""Which connection a call gets, who waits, what opens, what gives up."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from batchrouter.domain.origin import Origin
from batchrouter.errors import ConfigError, ConnectFailed, ConnectionLost, ReplyTimeout, TransportError
from batchrouter.ports.transport import LinkSettings
from tests.unit.http.ear import Ear
from tests.unit.http.wire import Wires, answers, opened, play, reply, until


def test_the_connection_that_became_idle_last_is_used_first() -> None:
    """So that the others grow old and close when the load falls."""

    async def scene() -> None:
        wires = Wires(LinkSettings())
        ears = [Ear(str(n)) for n in range(3)]
        for ear in ears:
            wires.send(ear)
        await opened(wires, 3)
        for place in (0, 2, 1):
            wires.opened[place].read(reply(str(place)))
        assert sorted(ear.body for ear in ears) == sorted(answers(str(n)) for n in range(3))
        assert wires.link.idle == 3
        for place in (1, 2, 0):
            wires.send(Ear(), b"again")
            assert wires.opened[place].written.endswith(b"again")
        await wires.transport.aclose()

    play(scene)


def test_waiting_calls_are_served_first_in_first_out() -> None:
    """Also before a call that is sent from inside the end of the one they waited for."""

    async def scene() -> None:
        wires = Wires(LinkSettings(max_connections=1))

        class Greedy(Ear):
            def on_end(self) -> None:
                super().on_end()
                wires.send(Ear("late"), b"late")

        wires.send(Greedy(), b"first")
        for name in (b"second", b"third"):
            wires.send(Ear(), name)
        await opened(wires, 1)
        wire = wires.opened[0]
        for name in (b"first", b"second", b"third", b"late"):
            assert wire.written.endswith(name)
            wire.read(reply("x"))
        assert len(wires.opened) == 1
        assert wires.link.connections == 1
        await wires.transport.aclose()

    play(scene)


def test_no_more_connections_than_allowed_are_open_or_opening() -> None:
    """Plain links by `max_connections`; TLS by its own ceiling and its own number of handshakes under way."""

    async def scene() -> None:
        plain = Wires(LinkSettings(max_connections=3))
        for _ in range(10):
            plain.send(Ear())
        assert plain.link.connections == 3
        await opened(plain, 3)
        assert plain.link.connections == 3
        await plain.transport.aclose()
        secure = Wires(LinkSettings(max_connections=100, max_tls_connections=5, tls_opening_max=2), "https")
        for _ in range(10):
            secure.send(Ear())
        assert secure.link.connections == 2
        await opened(secure, 5)
        assert secure.link.connections == 5
        await secure.transport.aclose()

    play(scene)


def test_an_aborted_call_that_waits_is_never_sent() -> None:
    """And its sink hears nothing; the others keep their order."""

    async def scene() -> None:
        wires = Wires(LinkSettings(max_connections=1))
        ears = [Ear(str(n)) for n in range(3)]
        calls = [wires.send(ear, ear.name.encode()) for ear in ears]
        await opened(wires, 1)
        calls[1].abort()
        calls[1].abort()
        wires.opened[0].read(reply("0"))
        assert wires.opened[0].written.endswith(b"2")
        wires.opened[0].read(reply("2"))
        assert (ears[1].end, ears[2].body) == (None, answers("2"))
        await wires.transport.aclose()

    play(scene)


def test_an_aborted_call_closes_its_connection_and_the_next_opens_another() -> None:
    """A late answer has nowhere to go."""

    async def scene() -> None:
        wires = Wires(LinkSettings(max_connections=1))
        gone, waiting = Ear("gone"), Ear("waiting")
        call = wires.send(gone)
        wires.send(waiting)
        await opened(wires, 1)
        call.abort()
        assert wires.opened[0].closed
        wires.opened[0].read(reply("gone"))
        await opened(wires, 2)
        wires.opened[1].read(reply("waiting"))
        assert (gone.end, gone.status, waiting.body) == (None, 0, answers("waiting"))
        await wires.transport.aclose()

    play(scene)


def test_a_refused_connection_fails_those_who_waited_for_it() -> None:
    """Each hears once, nothing is tried for ever, and a later call tries anew."""

    async def scene() -> None:
        wires = Wires(LinkSettings(max_connections=2))
        wires.refuse = ConnectionRefusedError(111, "refused")
        again = Ear("again")

        class Stubborn(Ear):
            def on_error(self, error: TransportError) -> None:
                super().on_error(error)
                wires.refuse = None
                wires.send(again)

        ears = [*(Ear() for _ in range(4)), Stubborn()]
        for ear in ears:
            wires.send(ear)
        for ear in ears:
            await ear.over.wait()
            assert type(ear.end) is ConnectFailed
            assert "127.0.0.1:80" in str(ear.end)
        await opened(wires, 1)
        wires.opened[0].read(reply("again"))
        assert again.body == answers("again")
        await wires.transport.aclose()

    play(scene)


def test_one_refused_connection_fails_one_call_while_others_stand() -> None:
    """What the upstream still serves goes on."""

    async def scene() -> None:
        wires = Wires(LinkSettings(max_connections=2))
        ears = [Ear(str(n)) for n in range(4)]
        wires.send(ears[0])
        await opened(wires, 1)
        wires.refuse = ConnectionRefusedError(111, "refused")
        wires.send(ears[1])
        await ears[1].over.wait()
        assert type(ears[1].end) is ConnectFailed
        assert ears[0].end is None
        wires.refuse = None
        wires.send(ears[2])
        await opened(wires, 2)
        wires.opened[1].read(reply("2"))
        wires.opened[0].read(reply("0"))
        assert (ears[0].body, ears[2].body) == (answers("0"), answers("2"))
        await wires.transport.aclose()

    play(scene)


def test_a_silent_upstream_times_out_and_a_waiting_call_was_not_sent() -> None:
    """`ReplyTimeout` closes the connection; `ConnectFailed` says that nothing was sent."""

    async def scene() -> None:
        wires = Wires(LinkSettings(max_connections=1, request_timeout_s=0.05))
        slow = Ear("slow")
        wires.send(slow)
        await opened(wires, 1)
        await slow.over.wait()
        assert type(slow.end) is ReplyTimeout
        assert wires.opened[0].closed
        await wires.transport.aclose()

        full = Wires(LinkSettings(max_connections=0, request_timeout_s=0.05))
        never = Ear("never")
        full.send(never)
        await never.over.wait()
        assert type(never.end) is ConnectFailed
        await full.transport.aclose()

    play(scene)


def test_a_reply_byte_by_byte_is_bounded_in_time() -> None:
    """What arrives does not prolong the time."""

    async def scene() -> None:
        wires = Wires(LinkSettings(request_timeout_s=0.05))
        slow = Ear("slow")
        wires.send(slow)
        await opened(wires, 1)
        wires.opened[0].read(b"HTTP/1.1 200 OK\r\n\r\n")
        while slow.end is None:
            wires.opened[0].read(b"x")
            await asyncio.sleep(0.001)
        assert type(slow.end) is ReplyTimeout
        await wires.transport.aclose()

    play(scene)


def test_a_silent_upstream_is_noticed_long_before_the_end_of_the_requests_time() -> None:
    """Before the first byte, and after some of them."""

    async def scene() -> None:
        for begun in (b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"):
            wires = Wires(LinkSettings(request_timeout_s=3600, silence_timeout_s=0.05))
            ear = Ear("silent")
            wires.send(ear)
            await opened(wires, 1)
            wires.opened[0].read(begun)
            await until(lambda ear=ear: ear.end is not None)  # type: ignore[misc]
            assert type(ear.end) is ReplyTimeout
            assert "no byte of a reply for 0.05 s" in str(ear.end)
            assert wires.opened[0].closed
            await wires.transport.aclose()

    play(scene)


def test_silence_begins_anew_with_every_byte_in_either_direction() -> None:
    """A reply that trickles for an hour is not silent, nor is a request that takes its time to be written; an upload
    that stands still is. And what one call waited is not the next one's."""

    async def scene() -> None:
        wires = Wires(LinkSettings())
        first, second = Ear("first"), Ear("second")
        wires.send(first)
        await opened(wires, 1)
        (wire,) = wires.opened
        silent_s = wire.protocol.silent_s
        assert silent_s(1000.0) == 0
        assert silent_s(1009.0) == 9
        wire.unsent = 500
        assert silent_s(1010.0) == 0
        wire.unsent = 400
        assert silent_s(1020.0) == 0
        assert silent_s(1029.0) == 9
        wire.unsent = 0
        assert silent_s(1030.0) == 0
        wire.read(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        assert silent_s(1040.0) == 0
        wire.read(b"o")
        assert silent_s(1050.0) == 0
        assert silent_s(1053.0) == 3
        wire.read(b"k")
        assert first.whole
        wires.send(second)
        assert len(wires.opened) == 1
        wire.read(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
        assert silent_s(1060.0) == 0  # as many bytes as at the last look, of another call
        wire.read(b"k")
        await wires.transport.aclose()

    play(scene)


def test_idle_connections_close_after_their_time() -> None:
    """Also when nothing else happens on the link."""

    async def scene() -> None:
        wires = Wires(LinkSettings(idle_timeout_s=0.05))
        ear = Ear()
        wires.send(ear)
        await opened(wires, 1)
        wires.opened[0].read(reply("x"))
        await until(lambda: wires.link.connections == 0)
        assert ear.whole
        assert wires.opened[0].closed
        await wires.transport.aclose()

    play(scene)


def test_closing_ends_every_call_once_and_refuses_more() -> None:
    """In flight or waiting; repeats are harmless."""

    async def scene() -> None:
        wires = Wires(LinkSettings(max_connections=1))
        ears = [Ear() for _ in range(3)]
        for ear in ears:
            wires.send(ear)
        await opened(wires, 1)
        await wires.transport.aclose()
        await wires.transport.aclose()
        assert all(isinstance(ear.end, TransportError) and not ear.faults for ear in ears)
        assert wires.link.connections == 0
        with pytest.raises(TransportError, match="closed"):
            wires.send(Ear())

    play(scene)


def test_nothing_is_heard_before_send_returns() -> None:
    """Not even when the connection cannot be opened."""

    async def scene() -> None:
        wires = Wires(LinkSettings())
        wires.refuse = ConnectionRefusedError(111, "refused")
        ear = Ear()
        wires.send(ear)
        assert ear.end is None
        await ear.over.wait()
        await wires.transport.aclose()

    play(scene)


def test_an_ended_call_leaves_nothing_for_the_collector() -> None:
    """A sink that holds its call dies with its last reference, so that replies do not pile up in memory."""

    class Holder(Ear):
        call: object

    async def scene() -> None:
        wires = Wires(LinkSettings())
        ear = Holder()
        ear.call = wires.send(ear)
        await opened(wires, 1)
        wires.opened[0].read(reply("x"))
        seen = weakref.ref(ear)
        gc.disable()
        try:
            del ear
            assert seen() is None
        finally:
            gc.enable()
        await wires.transport.aclose()

    play(scene)


def test_links_are_cached_by_origin_and_settings() -> None:
    """The same arguments give the same link; other settings another."""

    async def scene() -> None:
        wires = Wires(LinkSettings())
        link = wires.transport.link
        here = Origin("http", "a.invalid", 80)
        assert link(here, LinkSettings()) is link(Origin("http", "a.invalid", 80), LinkSettings())
        assert link(here, LinkSettings()) is not link(here, LinkSettings(max_connections=1))

    play(scene)


@pytest.mark.parametrize(
    "origin", [Origin("ftp", "a.invalid", 21), Origin("https", "a.invalid", 443, ca_file="/nowhere.pem")]
)
def test_an_origin_that_cannot_be_used_is_a_configuration_error(origin: Origin) -> None:
    """And it names what is wrong."""

    async def scene() -> None:
        with pytest.raises(ConfigError, match=r"ftp|/nowhere\.pem"):
            Wires(LinkSettings()).transport.link(origin, LinkSettings())

    play(scene)


def test_what_waits_for_a_connection_is_not_sent_by_who_may_no_longer_send() -> None:
    """A process that was stopped while its connections opened wakes up in the middle of it: its lease may be over. What
    goes out with the right to send goes out as ever."""

    async def scene() -> None:
        may = True
        wires = Wires(LinkSettings(max_connections=1))
        wires.transport.fence(lambda: may)
        first, second, third, fourth = Ear(), Ear(), Ear(), Ear()
        wires.send(first, b"first")
        wires.send(second, b"second")
        await opened(wires, 1)
        wire = wires.opened[0]
        assert wire.written.endswith(b"first")
        wires.send(third, b"third")
        wire.read(reply("x"))
        assert wire.written.endswith(b"second")
        may = False
        wire.read(reply("x"))
        assert wire.written.endswith(b"second")
        assert isinstance(third.end, ConnectionLost)
        may = True
        wires.send(fourth, b"fourth")
        assert wire.written.endswith(b"fourth")
        await wires.transport.aclose()

    play(scene)
