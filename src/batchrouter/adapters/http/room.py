"""The connections that all links of a transport may have together: who may open, who waits, who makes room.

Open files are one per process, not one per link. Links that want more than there is come to equal shares: of those who
wait the poorest is served first and equals in turn, from connections that end, then from idle ones, then from links
that have more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchrouter.adapters.http.link import DirectLink


def _always() -> bool:
    return True


class Room:
    """At most `connections_max` connections, open or being opened. Costs nothing while connections are reused."""

    def __init__(self, connections_max: int) -> None:
        self.may_send: Callable[[], bool] = _always
        self._free = connections_max
        self._links: list[DirectLink] = []
        # A dict for its order: of equals, who waits longest.
        self._waiting: dict[DirectLink, None] = {}
        self._coming = 0

    def join(self, link: DirectLink) -> None:
        self._links.append(link)

    def take(self, link: DirectLink) -> bool:
        """Whether the link may open one now; else it waits for its turn, and its `open_one` will be called."""
        if self._free > 0:
            self._free -= 1
            return True
        if link not in self._waiting:
            self._waiting[link] = None
            self.seek(link)
        return False

    def give_back(self) -> None:
        """A connection is gone, or was never made."""
        self._free += 1
        self._coming = max(0, self._coming - 1)
        while self._free > 0 and self._waiting:
            link = _poorest(self._waiting)
            del self._waiting[link]
            if link.wanted() > 0:
                self._free -= 1
                link.open_one()
                if link.wanted() > 0:
                    self._waiting[link] = None
        self._forgive()
        if self._waiting:
            self.seek(_poorest(self._waiting))

    def seek(self, link: DirectLink) -> None:
        """Make room for a link if it waits: close what is idle longest, else let the links that have more give up
        connections that become idle. Whoever waits next seeks when this one was served."""
        if link not in self._waiting:
            return
        idle = [next(iter(other.free)) for other in self._links if other.free]
        if idle:
            min(idle, key=lambda connection: connection.since_s).close()
            return
        for other in self._links:
            if self._gives(other, link):
                other.owes = True

    def pay(self, payer: DirectLink) -> bool:
        """Whether a connection that became idle just now has to close for another link, which still waits."""
        # Replies come in waves, so that many may pay before the first of these connections is gone.
        paid = any(link.wanted() > self._coming and self._gives(payer, link) for link in self._waiting)
        if paid:
            self._coming += 1
        else:
            self._forgive()
        return paid

    def _gives(self, link: DirectLink, to: DirectLink) -> bool:
        """Whether one has more than the other, even if all that is coming goes from one to the other. Who has none gets
        one even where nobody has two: then they are passed round, call by call."""
        if link is to:
            return False
        after = to.connections + self._coming
        return link.connections - self._coming > (after + 1 if after else 0)

    def _forgive(self) -> None:
        for link in self._links:
            link.owes = False


def _poorest(links: dict[DirectLink, None]) -> DirectLink:
    return min(links, key=lambda link: link.connections)
