"""Whatever an upstream sends, however it is cut: an answer reaches its own call or nobody."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from batchrouter.errors import TransportError
from batchrouter.ports.transport import LinkSettings
from tests.unit.http.ear import Ear
from tests.unit.http.wire import Wire, Wires, answers, opened, play, reply, until

BOUNDS = LinkSettings(max_connections=1, max_reply_bytes=5000, max_head_bytes=2000)
INTERIM = (b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n")


@st.composite
def replies(draw: st.DrawFn, name: str) -> tuple[bytes, bytes]:
    """A valid reply that names its call, and the body that it carries."""
    body = answers(name) + draw(st.binary(max_size=40))
    headers = draw(st.sampled_from([b"", b"X-A: b\r\n", b"X-Long: " + b"l" * 300 + b"\r\nDate: today\r\n"]))
    status = draw(st.sampled_from([200, 201, 429, 500, 599]))
    if draw(st.booleans()):
        framing, framed = b"Content-Length: %d\r\n" % len(body), body
    else:
        framing, framed, rest = b"Transfer-Encoding: chunked\r\n", b"", body
        while rest:
            size = draw(st.integers(1, len(rest)))
            framed += b"%X\r\n%s\r\n" % (size, rest[:size])
            rest = rest[size:]
        framed += draw(st.sampled_from([b"0\r\n\r\n", b"0\r\nTrailer: t\r\n\r\n", b"000;ext=1\r\n\r\n"]))
    interim = b"".join(draw(st.lists(st.sampled_from(INTERIM), max_size=2)))
    return interim + b"HTTP/1.1 %d Word\r\n" % status + headers + framing + b"\r\n" + framed, body


def cuts_of(data: st.DataObject, text: bytes) -> list[int]:
    return sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=12)))


@settings(max_examples=150)
@given(st.data())
def test_cuts_make_no_difference(data: st.DataObject) -> None:
    """Three replies in a row on one connection: each call hears the same, in one read or in many."""
    texts = [data.draw(replies(name)) for name in "abc"]
    cuts = [cuts_of(data, text) for text, _ in texts]

    async def scene() -> None:
        wires = Wires(BOUNDS)
        heard: list[list[Ear]] = []
        for cut in (False, True):
            ears = [Ear(name) for name in "abc"]
            for ear, (text, body), places in zip(ears, texts, cuts, strict=True):
                wires.send(ear)
                await opened(wires, 1)
                wires.opened[0].read_cut(text, places if cut else [])
                assert (ear.whole, ear.body, ear.faults) == (True, body, [])
            heard.append(ears)
        assert [(e.status, e.headers) for e in heard[0]] == [(e.status, e.headers) for e in heard[1]]
        assert len(wires.opened) == 1
        await wires.transport.aclose()

    play(scene)


def mutations(text: bytes) -> st.SearchStrategy[bytes]:
    """The text with some bytes replaced, removed, doubled or put in."""
    place = st.integers(0, len(text))
    piece = st.one_of(
        st.binary(max_size=6),
        st.sampled_from(
            [b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"Content-Length: 3\r\n", b"\x00"]
        ),
    )

    def edit(edits: list[tuple[int, int, bytes]]) -> bytes:
        out = text
        for start, length, new in edits:
            out = out[:start] + new + out[start + length :]
        return out

    return st.lists(st.tuples(place, st.integers(0, 12), piece), min_size=1, max_size=3).map(edit)


GARBAGE = st.one_of(
    st.binary(max_size=200),
    mutations(reply("first") + reply("stray")),
    mutations(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n" + reply("stray")),
    replies("first").flatmap(lambda made: mutations(made[0])),
)


@settings(max_examples=300)
@given(GARBAGE, st.booleans())
def test_no_read_reaches_a_call_that_was_sent_after_it(text: bytes, from_inside: bool) -> None:
    """One read of anything: a waiting call and one sent from inside the end hear nothing of it, and get their own."""

    async def scene() -> None:
        wires = Wires(BOUNDS)
        later = [Ear("waiting")]

        class First(Ear):
            def on_end(self) -> None:
                super().on_end()
                if from_inside:
                    later.append(Ear("inside"))
                    wires.send(later[-1])

        first = First("first")
        wires.send(first)
        wires.send(later[0])
        await opened(wires, 1)
        wires.opened[0].read(text)
        assert all(ear.status == 0 and ear.end is None for ear in later)
        if first.end is None:
            wires.opened[0].end()
        for ear in later:
            wire = await wire_with_a_call(wires)
            wire.read(reply(ear.name))
        assert [ear.body for ear in later] == [answers(ear.name) for ear in later]
        assert first.whole or isinstance(first.end, TransportError)
        assert not first.faults
        await wires.transport.aclose()

    play(scene)


@settings(max_examples=200)
@given(GARBAGE, st.data())
def test_every_call_ends_exactly_once(text: bytes, data: st.DataObject) -> None:
    """Anything, in any cuts, then the close: nothing is raised out of the connection, and the order of events holds."""
    cuts = cuts_of(data, text) if len(text) > 1 else []

    async def scene() -> None:
        wires = Wires(BOUNDS)
        ears = [Ear(str(n)) for n in range(3)]
        for ear in ears:
            wires.send(ear)
        await opened(wires, 1)
        wires.opened[0].read_cut(text, cuts)
        while any(ear.end is None for ear in ears):
            (await wire_with_a_call(wires)).end()
        for ear in ears:
            assert not ear.faults
            assert ear.whole or isinstance(ear.end, TransportError)
        await wires.transport.aclose()

    play(scene)


async def wire_with_a_call(wires: Wires) -> Wire:
    """The connection that a call is on, once there is one."""

    def found() -> list[Wire]:
        return [wire for wire in wires.opened if not wire.closed and wire.protocol.call is not None]

    await until(lambda: bool(found()))
    return found()[0]
