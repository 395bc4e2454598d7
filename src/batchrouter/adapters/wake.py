"""Wake within one process: an event that any thread may set and any loop may await."""

from __future__ import annotations

import asyncio
import threading


class LocalWake:
    """`ports.wake.Wake` for one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = False
        self._waiters: list[asyncio.Future[bool]] = []

    def hint(self) -> None:
        with self._lock:
            waiters, self._waiters = self._waiters, []
            self._kept = self._kept or not waiters
        for waiter in waiters:
            try:
                waiter.get_loop().call_soon_threadsafe(self._wake, waiter)
            except RuntimeError:  # that loop is closed: the hint is for somebody else
                self.hint()

    async def wait(self, timeout_s: float) -> bool:
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._kept:
                self._kept = False
                return True
            waiter: asyncio.Future[bool] = loop.create_future()
            self._waiters.append(waiter)
        timer = loop.call_later(timeout_s, _give_up, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                self.hint()  # it came, and its waiter was cancelled before it could say so
            raise
        finally:
            timer.cancel()
            with self._lock:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    def _wake(self, waiter: asyncio.Future[bool]) -> None:
        if waiter.done():  # timed out or cancelled between the hint and now: the hint is for the next
            self.hint()
        else:
            waiter.set_result(True)


def _give_up(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)
