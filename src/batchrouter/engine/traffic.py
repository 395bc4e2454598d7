"""What one worker has sent, over all its lanes."""

from __future__ import annotations

from batchrouter.ports.meters import Meters


class Traffic:
    """`calls` were sent since the start, repeats included; `peak` is the most that were in flight at once. `meters` is
    for whoever watches the process."""

    __slots__ = ("calls", "in_flight", "meters", "peak")

    def __init__(self, meters: Meters) -> None:
        self.calls = 0
        self.in_flight = 0
        self.peak = 0
        self.meters = meters
