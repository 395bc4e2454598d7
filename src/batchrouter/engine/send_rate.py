"""How many lines a lane sends in a second, told from the last tenth of one or more."""

from __future__ import annotations


class SendRate:
    """Add one to `sent` for each line; `a_second` is the rate of the last window that was measured."""

    __slots__ = ("_since_s", "a_second", "sent")

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self.sent = 0
        self.a_second = 0.0

    def measure(self, now_s: float) -> None:
        passed_s = now_s - self._since_s
        if passed_s >= 0.1:
            self.a_second = self.sent / passed_s
            self._since_s = now_s
            self.sent = 0
