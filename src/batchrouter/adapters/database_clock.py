"""The database's time on this machine: every process of one database tells the same."""

from __future__ import annotations

import threading
from collections.abc import Callable

from batchrouter.ports.clock import Clock, Timer

_TRIES = 5
_QUICK_S = 0.005
"""An answer that took no longer there and back is good enough: each question is a transaction."""
_DRIFT = 200e-6
"""By which two clocks run apart, at most, of the time that passes: what a kept offset grows worse by."""


class DatabaseClock:
    """`ports.clock.Clock` whose `unix_ms` is the database's; all else is `inner`'s.

    It is an offset over `inner.boot_s`, so that neither a stepped wall clock here nor a machine that slept moves it.
    Until the first `sync` it tells `inner`'s time.
    """

    def __init__(self, ask: Callable[[], int], inner: Clock) -> None:
        """`ask`: the database's unix time in milliseconds; it may block."""
        self._ask = ask
        self._inner = inner
        self._boot_s = inner.boot_s
        self.mono_s = inner.mono_s
        self.boot_s = inner.boot_s
        self._lock = threading.Lock()
        self._offset_s: float | None = None
        self._error_s = 0.0
        self._synced_s = 0.0

    def unix_ms(self) -> int:
        offset_s = self._offset_s
        return self._inner.unix_ms() if offset_s is None else int((self._boot_s() + offset_s) * 1000)

    def call_at(self, when_s: float, action: Callable[[], None]) -> Timer:
        return self._inner.call_at(when_s, action)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)

    def sync(self) -> None:
        """Ask for the time until an answer comes quickly, a few times at most; the fastest counts, as of the middle of
        its round trip. Blocks; from any thread. Raises what asking raises when not one answer came: the clock then
        runs on as before. An answer so slow that it says less than what is known changes nothing."""
        with self._lock:
            self._take(*self._best())

    def _best(self) -> tuple[float, float, float]:
        """Offset, its possible error, and when it was learnt."""
        told: list[tuple[float, float, float]] = []
        for left in reversed(range(_TRIES)):
            before_s = self._boot_s()
            try:
                asked_ms = self._ask()
            except Exception:
                if not told and not left:
                    raise
                continue
            after_s = self._boot_s()
            middle_s = (before_s + after_s) / 2
            told.append(((after_s - before_s) / 2, (asked_ms + 0.5) / 1000 - middle_s, after_s))
            if after_s - before_s <= _QUICK_S:
                break
        error_s, offset_s, at_s = min(told)
        return offset_s, error_s + 0.0005, at_s

    def _take(self, offset_s: float, error_s: float, at_s: float) -> None:
        if self._offset_s is not None:
            known_s = self._error_s + (at_s - self._synced_s) * _DRIFT
            if error_s > known_s and abs(offset_s - self._offset_s) <= error_s + known_s:
                return
        self._offset_s, self._error_s, self._synced_s = offset_s, error_s, at_s
