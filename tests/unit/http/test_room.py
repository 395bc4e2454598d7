"""What links of one transport have together: never more connections than allowed, and nobody starves."""

from __future__ import annotations

import asyncio

from batchrouter.adapters.http.link import DirectLink
from batchrouter.domain.origin import Origin
from batchrouter.errors import ConnectFailed
from batchrouter.ports.transport import LinkSettings
from tests.unit.http.ear import Ear
from tests.unit.http.wire import HEAD, Wire, Wires, answers, opened, play, reply, until

SETTINGS = LinkSettings(request_timeout_s=15.0)


class Lanes(Wires):
    """Links of one transport that share `room` connections; `link` of them sends to its own port."""

    def __init__(self, count: int, room: int, settings: LinkSettings = SETTINGS) -> None:
        super().__init__(settings, max_connections=room)
        self.links: list[DirectLink] = [
            self.transport.link(Origin("http", "127.0.0.1", 1000 + n), settings) for n in range(count)
        ]

    def ask(self, lane: int, count: int) -> list[Ear]:
        ears = [Ear(f"{lane}") for _ in range(count)]
        for ear in ears:
            self.links[lane].send(HEAD % 2, b"{}", ear)
        return ears

    def standing(self) -> list[Wire]:
        return [wire for wire in self.opened if not wire.closed]

    def busy(self, lane: int) -> list[Wire]:
        return [wire for wire in self.standing() if wire.port == 1000 + lane and wire.protocol.call is not None]

    def counts(self) -> list[int]:
        return [link.connections for link in self.links]

    async def serve(self, ears: list[Ear], room: int) -> None:
        """Answer whatever is asked until all have their own answer, and never see more than `room` connections."""
        while not all(ear.end for ear in ears):
            for wire in [wire for wire in self.standing() if wire.protocol.call is not None]:
                wire.read(reply(str(wire.port - 1000)))
            assert sum(self.counts()) <= room
            await asyncio.sleep(0)
        assert all(ear.body == answers(ear.name) and not ear.faults for ear in ears)


def test_links_together_never_have_more_than_the_transport() -> None:
    """Four links of 1000 calls each share 20; every call is answered by its own upstream."""

    async def scene() -> None:
        lanes = Lanes(4, room=20)
        ears = [ear for lane in range(4) for ear in lanes.ask(lane, 1000)]
        assert sum(lanes.counts()) == 20
        await lanes.serve(ears, room=20)
        await lanes.transport.aclose()

    play(scene)


def test_the_oldest_idle_connection_makes_room() -> None:
    """At once, long before its idle time is over, and no younger one."""

    async def scene() -> None:
        lanes = Lanes(3, room=4)
        old, young = lanes.ask(0, 2), lanes.ask(1, 2)
        await opened(lanes, 4)
        younger, oldest = lanes.busy(0)
        for wire in (oldest, younger, *lanes.busy(1)):
            wire.read(reply(str(wire.port - 1000)))
        oldest.protocol.since_s -= 1
        assert not oldest.closed
        assert all(ear.whole for ear in (*old, *young))
        (ear,) = lanes.ask(2, 1)
        assert oldest.closed
        await until(lambda: len(lanes.busy(2)) == 1)
        lanes.busy(2)[0].read(reply("2"))
        assert ear.body == answers("2")
        assert lanes.counts() == [1, 2, 1]
        await lanes.transport.aclose()

    play(scene)


def test_a_connection_that_becomes_idle_later_makes_room_too() -> None:
    """Also where nobody has more than the one who waits."""

    async def scene() -> None:
        lanes = Lanes(2, room=2, settings=LinkSettings(request_timeout_s=2.0))
        lanes.ask(0, 1)
        waits = lanes.ask(1, 2)
        await opened(lanes, 2)
        lanes.busy(0)[0].read(reply("0"))
        await until(lambda: len(lanes.busy(1)) == 2)
        for wire in lanes.busy(1):
            wire.read(reply("1"))
        assert all(ear.whole for ear in waits)
        await lanes.transport.aclose()

    play(scene)


def test_who_comes_late_to_a_full_transport_comes_to_an_equal_share() -> None:
    """Though the first never falls idle; a connection is given up behind a whole reply only."""

    async def scene() -> None:
        lanes = Lanes(3, room=12)
        ears = [ear for lane in range(3) for ear in lanes.ask(lane, 500)]
        await opened(lanes, 12)
        assert lanes.counts() == [12, 0, 0]
        while lanes.counts() != [4, 4, 4]:
            for wire in [wire for wire in lanes.standing() if wire.protocol.call is not None]:
                wire.read(reply(str(wire.port - 1000)))
            await asyncio.sleep(0.001)
        await until(lambda: len(lanes.standing()) == 12)
        assert not any(isinstance(ear.end, Exception) for ear in ears)
        seen = len(lanes.opened)
        for _ in range(10):
            for wire in [wire for wire in lanes.standing() if wire.protocol.call is not None]:
                wire.read(reply(str(wire.port - 1000)))
            await asyncio.sleep(0)
        assert len(lanes.opened) == seen, "equal shares go on being passed round"
        await lanes.transport.aclose()

    play(scene)


def test_one_wave_of_replies_is_enough_to_share() -> None:
    """An even upstream answers all at once and then for long nothing."""

    async def scene() -> None:
        lanes = Lanes(2, room=12)
        for lane in range(2):
            lanes.ask(lane, 50)
        await opened(lanes, 12)
        for wire in lanes.busy(0):
            wire.read(reply("0"))
        await until(lambda: len(lanes.busy(0)) + len(lanes.busy(1)) == 12)
        assert lanes.counts() == [6, 6]
        await lanes.transport.aclose()

    play(scene)


def test_more_links_than_connections_take_turns() -> None:
    """Ten links that never run dry, three connections: all are served."""

    async def scene() -> None:
        lanes = Lanes(10, room=3)
        ears = [lanes.ask(lane, 200) for lane in range(10)]
        await opened(lanes, 3)
        while not all(any(ear.whole for ear in each) for each in ears):
            for wire in [wire for wire in lanes.standing() if wire.protocol.call is not None]:
                wire.read(reply(str(wire.port - 1000)))
            assert sum(lanes.counts()) <= 3
            await asyncio.sleep(0.001)
        assert all(any(not ear.end for ear in each) for each in ears), "a turn came only when another ran dry"
        await lanes.transport.aclose()

    play(scene)


def test_slow_calls_of_the_richest_do_not_keep_a_newcomer_waiting() -> None:
    """Whoever has more and finishes first gives."""

    async def scene() -> None:
        lanes = Lanes(3, room=10)
        lanes.ask(0, 7)
        lanes.ask(1, 100)
        await opened(lanes, 10)
        (ear,) = lanes.ask(2, 1)
        lanes.busy(1)[0].read(reply("1"))
        await until(lambda: len(lanes.busy(2)) == 1)
        lanes.busy(2)[0].read(reply("2"))
        assert ear.whole
        await lanes.transport.aclose()

    play(scene)


def test_a_call_withdrawn_while_it_waits_costs_nobody_a_connection() -> None:
    """The others keep what they have."""

    async def scene() -> None:
        lanes = Lanes(2, room=3)
        lanes.ask(0, 4)
        await opened(lanes, 3)
        lanes.links[1].send(HEAD % 2, b"{}", Ear()).abort()
        wire = lanes.busy(0)[0]
        wire.read(reply("0"))
        assert not wire.closed
        assert wire.protocol.call is not None
        await lanes.transport.aclose()

    play(scene)


def test_refused_connections_give_their_room_back() -> None:
    """Many failures later there is as much room as before."""

    async def scene() -> None:
        lanes = Lanes(2, room=3)
        lanes.refuse = ConnectionRefusedError(111, "refused")
        for _ in range(5):
            ears = [*lanes.ask(0, 4), *lanes.ask(1, 4)]
            for ear in ears:
                await ear.over.wait()
            assert all(type(ear.end) is ConnectFailed for ear in ears)
        lanes.refuse = None
        await lanes.serve([*lanes.ask(0, 9), *lanes.ask(1, 9)], room=3)
        assert len(lanes.opened) >= 3
        await lanes.transport.aclose()

    play(scene)
