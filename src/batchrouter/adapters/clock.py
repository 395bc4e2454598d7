"""The real clock and real chance. Beside `bootstrap`, the only place that reads them."""

from __future__ import annotations

import asyncio
import random
import secrets
import string
import time
from collections.abc import Callable

from batchrouter.ports.clock import Timer

_ALPHABET = string.digits + string.ascii_letters
_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)  # Linux; macOS has none


class _RealTimer:
    """A loop's timer may fire early: uvloop counts whole milliseconds and rounds. This one looks again."""

    __slots__ = ("_action", "_handle", "_loop", "_when_s")

    def __init__(self, when_s: float, action: Callable[[], None]) -> None:
        self._action = action
        self._when_s = when_s
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_later(max(0.0, when_s - _mono_s()), self._fire)

    def cancel(self) -> None:
        self._handle.cancel()

    def _fire(self) -> None:
        left_s = self._when_s - _mono_s()
        if left_s > 0:
            self._handle = self._loop.call_later(max(left_s, 0.001), self._fire)
        else:
            self._action()


class RealClock:
    """`ports.clock.Clock`. `call_at` belongs to the running loop."""

    def unix_ms(self) -> int:
        return time.time_ns() // 1_000_000

    mono_s = staticmethod(time.monotonic)  # noqa: TID251 - asked several times for every line: no frame in between

    def boot_s(self) -> float:
        return _mono_s() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)

    def call_at(self, when_s: float, action: Callable[[], None]) -> Timer:
        return _RealTimer(when_s, action)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class RealChance:
    """`ports.clock.Chance`. Fractions spread retries and need no secrecy; tokens and hex come from the system."""

    def __init__(self) -> None:
        self._spread = random.Random(secrets.randbits(64))

    def fraction(self) -> float:
        return self._spread.random()

    def token(self, size: int) -> str:
        return "".join(secrets.choice(_ALPHABET) for _ in range(size))

    def hex(self, size: int) -> str:
        return secrets.token_hex((size + 1) // 2)[:size]


def _mono_s() -> float:
    return time.monotonic()  # noqa: TID251 - this is the place that reads it
