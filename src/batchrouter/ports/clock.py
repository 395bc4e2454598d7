"""Time and chance, as ports: the core is given numbers, the edge reads the real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    def cancel(self) -> None:
        """Harmless when the timer has fired or was cancelled."""
        ...


class Clock(Protocol):
    def unix_ms(self) -> int:
        """Wall clock in unix milliseconds; it may step."""
        ...

    def mono_s(self) -> float:
        """Seconds that never go backwards, for pacing and timeouts."""
        ...

    def boot_s(self) -> float:
        """Like `mono_s`, but counts the time a machine sleeps where the platform can tell; for leases."""
        ...

    def call_at(self, when_s: float, action: Callable[[], None]) -> Timer:
        """Run `action` on the event loop once `mono_s()` has reached `when_s`, as soon as possible if it has."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class Chance(Protocol):
    def fraction(self) -> float:
        """Evenly spread in [0, 1)."""
        ...

    def token(self, size: int) -> str:
        """`size` characters of [0-9a-zA-Z], unguessable."""
        ...

    def hex(self, size: int) -> str:
        """`size` characters of [0-9a-f], unguessable."""
        ...
