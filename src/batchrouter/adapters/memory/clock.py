"""Time that a test moves by hand, and chance that it can foretell."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from itertools import count


class _StepTimer:
    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class StepClock:
    """`ports.clock.Clock` that stands still until `advance`. All three of its times move together; `skew_wall` and
    `suspend` pull them apart, as a stepped wall clock and a sleeping machine do."""

    def __init__(self, unix_ms: int = 1_700_000_000_000, mono_s: float = 1000.0) -> None:
        self._unix_ms = unix_ms
        self._mono_s = mono_s
        self._boot_s = mono_s
        self._timers: list[tuple[float, int, _StepTimer]] = []
        self._order = count()

    def unix_ms(self) -> int:
        return self._unix_ms

    def mono_s(self) -> float:
        return self._mono_s

    def boot_s(self) -> float:
        return self._boot_s

    def call_at(self, when_s: float, action: Callable[[], None]) -> _StepTimer:
        """A time that has been reached fires at the next `advance`, be it of 0 seconds: never from inside here."""
        timer = _StepTimer(action)
        heapq.heappush(self._timers, (when_s, next(self._order), timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_at(self._mono_s + seconds, lambda: woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()

    def advance(self, seconds: float) -> int:
        """Move on, and run what falls due on the way, in order, each at its own time. Returns how many ran."""
        if seconds < 0:
            raise ValueError("time does not run backwards; skew_wall moves the wall clock alone")
        end_s, ran = self._mono_s + seconds, 0
        while self._timers and self._timers[0][0] <= end_s:
            when_s, _, timer = heapq.heappop(self._timers)
            self._move(max(0.0, when_s - self._mono_s))
            if timer.action is not None:
                action, timer.action = timer.action, None
                action()
                ran += 1
        self._move(end_s - self._mono_s)
        return ran

    def next_timer_s(self) -> float | None:
        """When the next live timer falls due, for a test that wants to go straight there."""
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def skew_wall(self, ms: int) -> None:
        self._unix_ms += ms

    def suspend(self, seconds: float) -> None:
        """The machine slept: the wall and `boot_s` went on, `mono_s` did not."""
        self._unix_ms += round(seconds * 1000)
        self._boot_s += seconds

    def _move(self, seconds: float) -> None:
        before_s = self._mono_s
        self._mono_s += seconds
        self._boot_s += seconds
        # Whole milliseconds passed, told from the sum, so that many small steps lose nothing.
        self._unix_ms += int(self._mono_s * 1000 + 1e-6) - int(before_s * 1000 + 1e-6)


class FixedChance:
    """`ports.clock.Chance` that can be foretold: the given fractions in turn and again, tokens that count."""

    def __init__(self, fractions: Sequence[float] = (0.5,)) -> None:
        self._fractions = tuple(fractions)
        self._drawn = count()
        self._tokens = count(1)

    def fraction(self) -> float:
        return self._fractions[next(self._drawn) % len(self._fractions)]

    def token(self, size: int) -> str:
        return f"{next(self._tokens):0{size}d}"[-size:]

    def hex(self, size: int) -> str:
        return f"{next(self._tokens):0{size}x}"[-size:]
