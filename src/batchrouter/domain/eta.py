"""When a batch will be through, as far as its own past tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

WINDOWS_MS = (15_000, 60_000, 300_000)
RATE_MS = 30_000


class Eta(NamedTuple):
    """Seconds from now."""

    low_s: float
    high_s: float


def rate_of(points: Sequence[tuple[int, int]], interval_ms: int, now_ms: int, window_ms: int = RATE_MS) -> float:
    """Lines a second over about the last `window_ms`, or since the first point if that is less. `points`: the
    beginning of each interval (unix milliseconds, ascending) and what was counted within it."""
    if not points:
        return 0.0
    since_ms = max(now_ms - max(window_ms, 2 * interval_ms), points[0][0])
    counted = sum(count for at_ms, count in points if at_ms >= since_ms)
    return counted / max(1.0, (now_ms - since_ms) / 1000)


def eta_of(points: Sequence[tuple[int, int]], interval_ms: int, now_ms: int, left: int) -> Eta | None:
    """For the `left` lines, between the fastest and the slowest pace of the last minutes and of the whole; None where
    there is no pace to tell from."""
    if left <= 0:
        return Eta(0.0, 0.0)
    windows = (*WINDOWS_MS, now_ms - points[0][0]) if points else ()
    rates = [rate for window_ms in windows if (rate := rate_of(points, interval_ms, now_ms, window_ms)) > 0]
    if not rates:
        return None
    return Eta(left / max(rates), left / min(rates))
