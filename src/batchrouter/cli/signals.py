"""Being asked to stop: politely, impatiently, for good."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

from batchrouter.cli.words import INTERRUPTED


class Stop:
    """The first SIGINT or SIGTERM sets `asked`, the second calls `hurry`, the third ends the process on the spot."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurry: Callable[[], None] | None = None
        self._signals = 0

    def listen(self) -> None:
        """From now on, on the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)

    def ask(self) -> None:
        self.asked.set()

    async def within(self, seconds: float) -> bool:
        """Whether it is asked, waiting for it that long."""
        try:
            async with asyncio.timeout(seconds):
                await self.asked.wait()
        except TimeoutError:
            return False
        return True

    def _on_signal(self) -> None:
        self._signals += 1
        if self._signals == 1:
            self.asked.set()
        elif self._signals == 2 and self.hurry is not None:
            self.hurry()
        elif self._signals > 2:
            os._exit(INTERRUPTED)
