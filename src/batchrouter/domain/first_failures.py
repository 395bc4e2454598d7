"""A batch whose first lines in a lane all fail the same way: the rest waits, instead of failing one by one.

watching   nothing but like failures so far
paused     so many of them; one line is tried now and then
over       a line was answered, or two failed differently: never paused any more
"""

from __future__ import annotations

import re

TRY_S, TRY_MAX_S = 30.0, 600.0
"""One line is tried so long after the pause began, then after twice as long each time, up to the second number."""
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class FirstFailures:
    """One batch in one lane, as one worker sees it. Times are monotonic seconds."""

    __slots__ = ("_after", "_failures", "_interval_s", "_way", "next_s", "over", "paused")

    def __init__(self, after: int) -> None:
        """`after` like failures pause; 0: never."""
        self._after = after
        self._failures = 0
        self._way: tuple[int, str | None] | None = None
        self._interval_s = TRY_S
        self.next_s = 0.0
        self.over = after <= 0
        self.paused = False

    @property
    def reason(self) -> str:
        """One short sentence for people; holds nothing of a message or a prompt."""
        status, code = self._way or (0, None)
        way = str(status) if status else "without a reply"
        if code is not None and _CODE.fullmatch(code):
            way = f"{way} {code}"
        return f"the first {self._failures} lines of this batch all failed here ({way}); the rest waits"

    def on_success(self) -> bool:
        """A line was answered. True: a pause ended with it."""
        was, self.paused, self.over = self.paused, False, True
        return was

    def on_failure(self, status: int, code: str | None, now_s: float) -> bool:
        """A line failed for good; `status` 0: without a reply. True: the batch pauses here, from now on."""
        if self.over:
            return False
        if self.paused:
            self._failures += 1
            return False
        way = (status, code)
        if self._way is None:
            self._way = way
        if way != self._way:
            self.over = True
            return False
        self._failures += 1
        if self._failures < self._after:
            return False
        self.paused = True
        self.next_s = now_s + self._interval_s
        return True

    def may_try(self, now_s: float) -> bool:
        """Whether a line of the paused batch may go now; then the next one may after twice the time."""
        if now_s < self.next_s:
            return False
        self._interval_s = min(self._interval_s * 2, TRY_MAX_S)
        self.next_s = now_s + self._interval_s
        return True
