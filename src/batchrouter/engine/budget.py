"""One budget for all bytes in flight: requests, replies, lines that wait for their flush.

A lane may take twice what is still free at that moment. So one lane alone gets two thirds of it, a lane that hangs
leaves a third to the next, and however many hang, a lane that works finds room. A lane that has nothing under way is
never refused: a single item larger than the whole budget passes alone. Where replies turn out so large that the budget
is exceeded, and most of it waits for the flush, all wait: an upstream may answer faster than the disk writes.
"""

from __future__ import annotations

from collections.abc import Sequence


class Budget:
    """Who takes must give back exactly what was taken."""

    __slots__ = ("kept", "reply", "total", "used")

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self.kept = 0
        """The part of `used` that waits for its flush."""
        self.reply = 2048.0
        """Bytes of a usual one."""

    @property
    def over(self) -> bool:
        """Whether replies turned out so large that more is taken than there is."""
        return self.used > self.total

    @property
    def flush_first(self) -> bool:
        return self.used > self.total and 2 * self.kept > self.used

    def room(self, mine: int, size: int) -> bool:
        """Whether a lane that has `mine` bytes may take a request of `size` and a reply of the usual size."""
        return mine == 0 or mine + size + self.reply <= 2 * (self.total - self.used)

    def reserve(self, size: int) -> int:
        """Take room for a request of `size` bytes and a reply of the usual size; returns what was taken."""
        taken = size + int(self.reply)
        self.used += taken
        return taken

    def reserve_all(self, mine: int, sizes: Sequence[int]) -> list[int] | None:
        """As `reserve` for each of these, if there is room for all of them together; else nothing is taken."""
        usual = int(self.reply)
        every = sum(sizes) + len(sizes) * usual
        if mine + every > 2 * (self.total - self.used - every):
            return None
        self.used += every
        return [size + usual for size in sizes]

    def take(self, more: int) -> None:
        """What came is larger than what was reserved for it; it is here, so nobody is asked."""
        self.used += more

    def keep(self, taken: int, now: int) -> None:
        """What was taken as `taken` turned out to be `now` bytes, which wait for their flush."""
        self.used += now - taken
        self.kept += now

    def learn(self, reply_bytes: int) -> None:
        """A reply of this size came. Growth is believed quickly, so that large ones soon lower the number in flight."""
        if reply_bytes > self.reply:
            self.reply += (reply_bytes - self.reply) * 0.25
        else:
            self.reply += (reply_bytes - self.reply) * 0.01

    def give(self, taken: int) -> None:
        self.used -= taken

    def give_kept(self, kept: int) -> None:
        """The flush is done."""
        self.kept -= kept
        self.used -= kept
