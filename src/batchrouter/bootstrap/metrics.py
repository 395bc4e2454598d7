"""The numbers of one process, put together for `/metrics`.

What stands in the database is read when somebody asks, and not again for `FRESH_S`, however many ask. Nobody waits for
a database that is away: then the last reading is told, and how old it is.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from batchrouter.adapters.prometheus import Exposition
from batchrouter.bootstrap.storage import Storage, in_thread
from batchrouter.domain.backlog import Backlog
from batchrouter.ports.clock import Clock
from batchrouter.ports.meters import Meters, WorkerNow

log = logging.getLogger(__name__)

FRESH_S = 5.0
PATIENCE_S = 0.5
"""How long a scrape waits for a reading."""
LAG_EVERY_S = 0.5


@dataclass(slots=True)
class Reading:
    """`adapters.prometheus.Sight`."""

    backlog: Backlog | None = None
    now_ms: int = 0
    age_s: float = 0.0
    failures: int = 0
    spill: tuple[int, int] | None = None
    worker: WorkerNow | None = None


class Metrics:
    """`text` may be asked at any moment; `open` when there is a storage, and `worker` a worker, they are told too.
    `start` and `aclose` on the running loop."""

    def __init__(self, meters: Meters, role: str, clock: Clock) -> None:
        self._meters = meters
        self._clock = clock
        self._reading = Reading()
        self._read_s = self._asked_s = float("-inf")
        self._asking: asyncio.Task[None] | None = None
        self._lag: asyncio.Task[None] | None = None
        self._storage: Storage | None = None
        self._worker: Callable[[], WorkerNow] | None = None
        build = {"version": version("batchrouter"), "python": platform.python_version(), "role": role}
        self._exposition = Exposition(meters, self._look, build)

    def start(self) -> None:
        self._lag = asyncio.create_task(self._watch_loop(), name="lag")

    def open(self, storage: Storage) -> None:
        self._storage = storage

    def watch(self, worker: Callable[[], WorkerNow]) -> None:
        self._worker = worker

    async def text(self) -> bytes:
        if self._storage is not None and self._asking is None and self._clock.mono_s() - self._asked_s >= FRESH_S:
            self._asked_s = self._clock.mono_s()
            self._asking = asyncio.create_task(self._read(self._storage), name="readings")
            self._asking.add_done_callback(self._asked)
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=PATIENCE_S)
        return self._exposition.text()

    async def aclose(self) -> None:
        """A repeat changes nothing."""
        tasks = [task for task in (self._asking, self._lag) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._storage, self._worker = None, None

    def _look(self) -> Reading:
        reading = self._reading
        reading.age_s = self._clock.mono_s() - self._read_s
        if self._storage is not None:
            reading.now_ms = self._storage.clock.unix_ms()
        reading.worker = None if self._worker is None else self._worker()
        return reading

    def _asked(self, _: asyncio.Task[None]) -> None:
        self._asking = None

    async def _read(self, storage: Storage) -> None:
        try:
            self._reading.backlog = await storage.people_calls.read(storage.backlogs.backlog, storage.clock.unix_ms())
            self._read_s = self._clock.mono_s()
            if storage.spill_used is not None:
                self._reading.spill = await in_thread(storage.spill_used)
        except Exception as error:  # whatever it is: the other numbers are wanted all the more
            self._reading.failures += 1
            log.warning("what is waiting could not be read for /metrics: %s", type(error).__name__)

    async def _watch_loop(self) -> None:
        while True:
            due_s = self._clock.mono_s() + LAG_EVERY_S
            await self._clock.sleep(LAG_EVERY_S)
            self._meters.loop_lag_s.add(max(0.0, self._clock.mono_s() - due_s))
