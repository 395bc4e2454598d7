"""Several links of one transport over real sockets: they share what connections there may be."""

from __future__ import annotations

from batchrouter.ports.transport import LinkSettings
from tests.integration.http.conftest import Play, Way
from tests.integration.http.test_transports import HEAD, ask
from tests.integration.http.upstream import Upstream, echo
from tests.unit.http.ear import Ear

ROOM = 12


def test_links_together_stay_below_the_bound_of_their_transport(play: Play, way: Way) -> None:
    """Four lanes of 100 calls each; then a fifth, which finds the idle connections of the others in its way."""

    async def scene() -> None:
        async with Upstream(echo) as upstream:
            transport = way.transport(upstream, ROOM)
            links = [way.link(transport, upstream, LinkSettings(name=str(n), request_timeout_s=15.0)) for n in range(5)]
            ears = []
            for lane, link in enumerate(links[:4]):
                for n in range(100):
                    ears.append(ear := Ear(f"{lane}-{n}"))
                    link.send(HEAD % len(ear.name), ear.name.encode(), ear)
            for ear in ears:
                await ear.over.wait()
                assert ear.body == b"re:" + ear.name.encode()
                assert sum(link.connections for link in links) <= ROOM
            assert (await ask(links[4], "late")).body == b"re:late"
            assert sum(link.connections for link in links) <= ROOM
            # A close may reach the upstream after the connection that took its place.
            assert upstream.open_max <= 2 * ROOM
            await transport.aclose()

    play(scene)
