"""Workers in processes of their own, started again when they end, and ended when this process does.

A child reads its standard input, which is a pipe of ours: it stops at its end, however we died. It is in a session of
its own, so that Ctrl-C on the terminal reaches it through us, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence

from batchrouter.adapters.clock import RealClock
from batchrouter.ports.clock import Clock

log = logging.getLogger(__name__)

WAITS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Between the end of a child and the start of the next; the last one from then on."""
STEADY_S = 60.0
"""After so long a life the waits begin anew."""
LATE_S = 30.0
"""Beyond the grace that a child has for its calls it may take so long to write down what came."""


class Children:
    """`count` processes of `command`, which prints one line when it is ready."""

    def __init__(self, command: Sequence[str], count: int, clock: Clock | None = None) -> None:
        self._command = tuple(command)
        self._count = count
        self._clock: Clock = clock or RealClock()
        self._running: dict[int, Process] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._running.values()]

    def start(self) -> None:
        """Begin them, and keep them running."""
        self._tasks = [asyncio.create_task(self._keep(number), name=f"child {number}") for number in range(self._count)]

    async def stop(self, grace_s: float) -> None:
        """Ask them to stop and wait until they have; whoever takes much longer than `grace_s` is killed."""
        self._stopping = True
        self._signal(signal.SIGTERM)
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=grace_s + LATE_S)
        if late:
            log.error("%d worker processes did not stop in time and are killed", len(late))
            self._signal(signal.SIGKILL)
            await asyncio.wait(late)

    def hurry(self) -> None:
        """While `stop` waits: a second signal, which ends calls at once."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, number: int) -> None:
        ends = 0
        while not self._stopping:
            began_s = self._clock.mono_s()
            told = await self._live(number)
            if self._stopping:
                break
            ends = 1 if self._clock.mono_s() - began_s >= STEADY_S else ends + 1
            wait_s = WAITS_S[min(ends, len(WAITS_S)) - 1]
            log.error("worker process %d %s; it is started again in %.1f s", number, told, wait_s)
            await self._wait(wait_s)

    async def _live(self, number: int) -> str:
        """One life, to its end; how it ended, in words."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, start_new_session=True
            )
        except OSError as error:
            return f"could not be started: {error.strerror or error}"
        self._running[number] = process
        if self._stopping:  # asked between the two
            self._signal(signal.SIGTERM)
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                log.info("worker process %d (%d): %s", number, process.pid, line.decode(errors="replace").strip())
            code = await process.wait()
        finally:
            del self._running[number]
        return f"({process.pid}) ended with {code}"

    async def _wait(self, seconds: float) -> None:
        """In steps, because nobody wakes it when all are to stop."""
        until_s = self._clock.mono_s() + seconds
        while not self._stopping and (left_s := until_s - self._clock.mono_s()) > 0:
            await self._clock.sleep(min(0.2, left_s))
