"""What one worker has sent, over all its lanes."""

from __future__ import annotations


class Traffic:
    """`calls` were sent since the start, repeats included; `peak` is the most that were in flight at once."""

    __slots__ = ("calls", "in_flight", "peak")

    def __init__(self) -> None:
        self.calls = 0
        self.in_flight = 0
        self.peak = 0
