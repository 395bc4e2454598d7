"""What a batch may still cost: settled lines at what they cost, lines in flight at the most that they can cost.

So that `max_cost` is never passed, a line is sent only when the sum with its own most stays within it. What was
reserved and not used comes back when the line ends. As exact as the numbers that it is given: an answer that no
`max_tokens` bounds may be longer than was assumed.
"""

from __future__ import annotations

import re

from batchrouter.domain.cost import NANO
from batchrouter.domain.estimate import most_output

ASSUMED_OUTPUT = 8192
"""Tokens that an answer is taken to have at most when its request sets no bound."""
TOKEN_BYTES = 3
"""Bytes of JSON a token at least, over a whole request: English has about four, Chinese three a character."""
PICTURE_TOKENS = 5000
"""What an image or a sound inside a body is taken to have at most; a large image has about 1,600."""

# In base64, whose / may be escaped; where pictures and sounds stand, and nowhere else: a text may be of one long word.
_LONG_MIN = 2000
_PICTURE = re.compile(
    rb"""(?:"data:(?:image|audio)\\?/[^",]{1,100};base64,|"data"\s{0,9}:\s{0,9}")([A-Za-z0-9+/\\]{%d,})""" % _LONG_MIN
)
_PDF = b"JVBERi"  # %PDF in base64; its tokens are those of its text
_NO_OUTPUT = ("/embeddings", "/moderations")


class Spend:
    """One batch's limit, as one worker keeps it. In billionths of a dollar.

    What is settled is everybody's. What was spent here and is not yet known to be settled, and what is reserved here,
    stays within this worker's `part` of the rest, if other workers have one too.
    """

    __slots__ = ("_confirmed", "_here", "_settled", "_told", "limit_nano", "need_nano", "part_nano", "reserved_nano",
                 "returned")  # fmt: skip

    def __init__(self, limit_nano: int, spent_nano: int) -> None:
        """`spent_nano`: what the batch has cost so far, as the store knows it."""
        self.limit_nano = limit_nano
        self._settled = spent_nano
        self._here = self._confirmed = self._told = 0
        self.part_nano: int | None = None
        self.reserved_nano = 0
        self.need_nano = 1
        """The most that the line can cost which was asked for last."""
        self.returned = 0
        """How often there was news of the money so far: another number means another try for those that did not
        fit."""

    @property
    def spent_nano(self) -> int:
        return self._settled + self.open_nano

    @property
    def open_nano(self) -> int:
        """Spent here, and not yet known to be settled."""
        return self._here - self._told

    @property
    def room_nano(self) -> int:
        """What may be reserved now."""
        room = self.limit_nano - self.spent_nano - self.reserved_nano
        if self.part_nano is not None:
            room = min(room, self.part_nano - self.open_nano - self.reserved_nano)
        return max(0, room)

    def hear(self, spent_nano: int) -> None:
        """The store's sum at a later moment: others may have spent too."""
        self._settled += max(0, spent_nano - self.spent_nano)

    def reserve(self, most_nano: int) -> bool:
        """Take the most that a line can cost, before it is sent. False: it does not fit, nothing was taken."""
        self.need_nano = max(1, most_nano)
        out_nano = self.reserved_nano + most_nano
        if self.spent_nano + out_nano > self.limit_nano:
            return False
        if self.part_nano is not None and self.open_nano + out_nano > self.part_nano:
            return False
        self.reserved_nano = out_nano
        return True

    def hopeless(self, most_nano: int) -> bool:
        """Whether so much will never be left again, whatever calls in flight give back."""
        return self.spent_nano + most_nano > self.limit_nano

    @property
    def must_wait(self) -> bool:
        """Whether the line that was asked for last does not fit into this worker's part, and may fit later."""
        return self.room_nano < self.need_nano and not self.hopeless(self.need_nano)

    def give_back(self, most_nano: int) -> None:
        """A call ended for which that was reserved."""
        self.reserved_nano -= most_nano
        self.returned += 1

    def spend(self, cost_nano: int) -> None:
        """A line ended at that cost."""
        self._here += max(0, cost_nano)

    # --- several workers ------------------------------------------------------------------------------------------

    def settled(self, cost_nano: int) -> None:
        """So much of what was spent here is settled by now."""
        self._confirmed += cost_nano

    @property
    def confirmed_nano(self) -> int:
        return self._confirmed

    def heard(self, settled_nano: int, confirmed_nano: int) -> int:
        """The store's sum, asked for when `confirmed_nano` of what was spent here was settled: it has that. Returns how
        much less is open here than before."""
        less = max(0, confirmed_nano - self._told)
        self._told += less
        if settled_nano != self._settled:  # what did not fit may be hopeless now
            self.returned += 1
        self._settled = settled_nano
        return less

    def allow(self, part_nano: int | None) -> None:
        """This worker's part of what is left from now on."""
        if self.part_nano is not None and (part_nano is None or part_nano > self.part_nano):
            self.returned += 1
        self.part_nano = part_nano


def dollars(nano: int) -> str:
    """For people: `$12.50`, `$0.000045`."""
    whole, part = divmod(nano, NANO)
    return f"${whole}.{f'{part:09d}'.rstrip('0').ljust(2, '0')}"


def most_tokens(endpoint: str, body: bytes) -> tuple[int, int]:
    """(input, output): the most tokens that a request with this body may take, for `RateCard.most`."""
    if endpoint.endswith(_NO_OUTPUT):
        return _most_input(body), 0
    return _most_input(body), most_output(body, ASSUMED_OUTPUT) or 0


def _most_input(body: bytes) -> int:
    size = len(body)
    if size > _LONG_MIN:
        for found in _PICTURE.finditer(body):
            if not body.startswith(_PDF, found.start(1)):
                size -= max(0, found.end() - found.start(1) - PICTURE_TOKENS * TOKEN_BYTES)
    return -(-size // TOKEN_BYTES)
