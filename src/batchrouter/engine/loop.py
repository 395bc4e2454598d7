"""A worker's loop: wait, then run once, for as long as the worker lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from batchrouter.engine.fault import told
from batchrouter.ports.clock import Clock

log = logging.getLogger(__name__)

FAULT_WAIT_S = 1.0


def loop_of(
    clock: Clock, name: str, now: asyncio.Event, every_s: float | None, run: Callable[[], Awaitable[int]]
) -> asyncio.Task[None]:
    return asyncio.create_task(_repeat(clock, name, now, every_s, run), name=name)


async def _repeat(
    clock: Clock, name: str, now: asyncio.Event, every_s: float | None, run: Callable[[], Awaitable[int]]
) -> None:
    """Run, then wait for a hint, or for `every_s` where there is one. A fault is told and never ends the loop; what
    could not be done is seen again by the next look."""
    if every_s is None:
        await now.wait()
    while True:
        now.clear()
        try:
            await run()
        except Exception as error:
            log.error("%s: %s", name, told(error))
            await clock.sleep(FAULT_WAIT_S)
        timer = None if every_s is None else clock.call_at(clock.mono_s() + every_s, now.set)
        try:
            await now.wait()
        finally:
            if timer is not None:
                timer.cancel()
