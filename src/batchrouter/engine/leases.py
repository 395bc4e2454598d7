"""The worker's lease: renewed from a thread, trusted by the clock, and only while the event loop is alive.

A busy loop cannot starve the renewal, but a hung one must not keep its lines from others: the thread renews only while
the loop's own tick is younger than a third of the lease. Whoever sends asks `held()` first (the self-fence): the lease
is trusted from the moment the renewal was *asked for*, so that it ends here no later than in the store.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from batchrouter.domain.shard import Beat, Load
from batchrouter.errors import BatchRouterError
from batchrouter.ports.clock import Clock
from batchrouter.ports.ledger import Ledger

log = logging.getLogger(__name__)

LOADS_S = 1.0
MARGIN = 0.9
"""Part of the lease that is trusted; the rest covers a clock that runs a little differently elsewhere."""


class Lease:
    """`on_beat` is called in the lease's thread with what the store said; it must hand over to the loop itself."""

    def __init__(
        self, ledger: Ledger, clock: Clock, worker: str, lease_ms: int, on_beat: Callable[[Beat], None]
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._worker = worker
        self._lease_ms = lease_ms
        self._on_beat = on_beat
        self._until_s = 0.0
        self._tick_s = clock.boot_s()
        self._loads: Sequence[Load] = ()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, asked_s: float) -> None:
        """The worker was enlisted by a call that was made at `asked_s` (boot clock)."""
        self._until_s = asked_s + self._lease_ms / 1000 * MARGIN
        self._tick_s = self._clock.boot_s()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def held(self) -> bool:
        """Whether this worker may still send. Asked before every burst of calls."""
        return self._clock.boot_s() < self._until_s

    def tick(self, loads: Sequence[Load]) -> None:
        """Called by the event loop about once a second: it is alive, and this is what it has under way."""
        self._tick_s = self._clock.boot_s()
        self._loads = loads

    def renew(self) -> Beat | None:
        """One renewal. None: the loop is hung, or the store could not be asked; the lease runs on until it ends."""
        asked_s = self._clock.boot_s()
        if asked_s - self._tick_s > self._lease_ms / 3000:
            log.warning("the event loop has not turned for %.1f s; the lease is not renewed", asked_s - self._tick_s)
            return None
        try:
            beat = self._ledger.beat(self._worker, self._clock.unix_ms(), self._lease_ms, self._loads)
        except Exception as error:  # whatever it is: a thread that died here would fence the worker for ever
            log.error("the lease could not be renewed: %s", error, exc_info=not isinstance(error, BatchRouterError))
            return None
        if beat.alive:
            self._until_s = asked_s + self._lease_ms / 1000 * MARGIN
        else:
            self._until_s = 0.0
        return beat

    def _run(self) -> None:
        """Renew six times a lease; and sooner when the loads changed, because people look at them."""
        every_s = self._lease_ms / 6000
        next_s = self._clock.boot_s() + every_s
        told = self._loads
        while not self._stop.wait(min(LOADS_S, every_s)):
            if self._clock.boot_s() < next_s and self._loads == told:
                continue
            told = self._loads
            next_s = self._clock.boot_s() + every_s
            beat = self.renew()
            if beat is not None:
                self._on_beat(beat)
