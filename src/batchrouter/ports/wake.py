"""A hint that there is something to do. The poll stays the truth: a lost hint costs at most one poll interval."""

from __future__ import annotations

from typing import Protocol


class Wake(Protocol):
    def hint(self) -> None:
        """Wake whoever waits, from any thread. Hints that come while nobody waits are kept as one."""
        ...

    async def wait(self, timeout_s: float) -> bool:
        """Return on the next hint, or after `timeout_s`. True when it was a hint."""
        ...
