"""One line under way: what it sends, and the reply as it comes. The only object that dispatch makes per line."""

from __future__ import annotations

from typing import Protocol

from batchrouter.domain.checked.judge import Judge
from batchrouter.engine.held import Held
from batchrouter.errors import TransportError
from batchrouter.ports.transport import Call


class Owner(Protocol):
    """Who sent the line, and hears how its call goes on and how it ended."""

    def on_more(self, line: LineCall) -> None:
        """The reply outgrew its part of the budget: `spare` is below zero by what is missing."""
        ...

    def on_reply(self, line: LineCall) -> None: ...

    def on_failure(self, line: LineCall, error: TransportError) -> None: ...

    def forget(self, line: LineCall, now_s: float) -> None:
        """End the call; nobody will hear of it."""
        ...


class More:
    """What only few lines have: `note` is the wire's own, for `decode`; `told` the value of the output line's member
    `batchrouter`; `most_nano` what the call may cost at most, for a batch with a `max_cost`, `reserved` whether that
    has been set apart; `judge` says whether its answer has the form that was asked for."""

    __slots__ = ("judge", "most_nano", "note", "reserved", "told")

    def __init__(
        self, note: object | None = None, told: bytes | None = None, most_nano: int = 0, judge: Judge | None = None
    ) -> None:
        self.judge = judge
        self.note = note
        self.told = told
        self.most_nano = most_nano
        self.reserved = False


_NO_HEADERS: list[tuple[bytes, bytes]] = []


class LineCall:
    """A `Sink`. `taken` is what it holds of the byte budget, `spare` the part of it that its reply has not used yet;
    `attempts` counts requests sent, this one included. `owner`, `sent_s` and `number`
    are set by whoever sends it."""

    __slots__ = (
        "attempts",
        "body",
        "call",
        "chunks",
        "custom_id",
        "headers",
        "held",
        "more",
        "number",
        "owner",
        "place",
        "sent_s",
        "spare",
        "status",
        "taken",
    )

    owner: Owner
    number: int

    def __init__(
        self, held: Held, place: int, custom_id: bytes, body: bytes, taken: int, more: More | None = None
    ) -> None:
        self.held = held
        self.place = place
        self.custom_id = custom_id
        self.body = body
        self.taken = taken
        self.more = more
        self.spare = taken - len(body)
        self.attempts = 0
        self.sent_s = 0.0
        self.status = 0
        self.headers = _NO_HEADERS
        self.chunks: list[bytes] = []
        self.call: Call | None = None

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.headers = headers

    def on_chunk(self, data: bytes) -> None:
        self.chunks.append(data)
        self.spare -= len(data)
        if self.spare < 0:
            self.owner.on_more(self)

    def on_end(self) -> None:
        self.owner.on_reply(self)

    def on_error(self, error: TransportError) -> None:
        self.owner.on_failure(self, error)
