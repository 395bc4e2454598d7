"""The worker's lease: renewed from a thread, trusted by the clock, and only while the event loop is alive.

A busy loop cannot starve the renewal, but a hung one must not keep its lines from others: the thread renews only while
the loop's own tick is younger than a third of the lease. Whoever sends asks `held()` first (the self-fence): the lease
is trusted from the moment the renewal was *asked for*, so that it ends here no later than in the store.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

from batchrouter.domain.shard import Beat, Load
from batchrouter.domain.sharing import NO_DEMANDS, Demand
from batchrouter.engine.fault import told
from batchrouter.ports.clock import Clock
from batchrouter.ports.ledger import Ledger

log = logging.getLogger(__name__)

LOADS_S = 3.0
"""How often changed loads are told before the lease asks for a renewal: people look at them."""
DEMANDS_S = 1.0
RETRY_S = 1.0
LOOK_S = 1.0
"""How often the thread looks whether a renewal is due; the loads may have changed, and the machine may have slept."""
LAPSED_S = 0.02
"""So much after another's lease has ended it is looked whether that worker renewed it."""
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
        self._demands: Mapping[str, Demand] = NO_DEMANDS
        self._told: Sequence[Load] = ()
        self._told_demands: Mapping[str, Demand] = NO_DEMANDS
        self._claiming = False
        """Whether the last beat told other demands than the one before: what it laid claim to is used from the next."""
        self._told_s = self._next_s = self._tick_s
        self._failing = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, asked_s: float) -> None:
        """The worker was enlisted by a call that was made at `asked_s` (boot clock)."""
        self._until_s = asked_s + self._lease_ms / 1000 * MARGIN
        self._tick_s = self._next_s = self._clock.boot_s()

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

    def tick(self, loads: Sequence[Load], demands: Mapping[str, Demand] = NO_DEMANDS) -> None:
        """Called by the event loop about once a second: it is alive, this is what it has under way, and what it wants
        of what it shares."""
        self._tick_s = self._clock.boot_s()
        self._loads, self._demands = loads, demands

    def renew(self) -> Beat | None:
        """One renewal. None: the loop is hung, or the store could not be asked; the lease runs on until it ends."""
        asked_s, loads, demands = self._clock.boot_s(), self._loads, self._demands
        if asked_s - self._tick_s > self._lease_ms / 3000:
            self._fail("the event loop has not turned for %.1f s", asked_s - self._tick_s)
            return None
        try:
            beat = self._ledger.beat(self._worker, self._clock.unix_ms(), self._lease_ms, loads, demands)
        except Exception as error:  # whatever it is: a thread that died here would fence the worker for ever
            self._fail("%s", told(error))
            return None
        if self._failing:
            self._failing = False
            log.info("the lease of worker %s is renewed again", self._worker)
        self._claiming = demands != self._told_demands
        self._told, self._told_demands, self._told_s = loads, demands, asked_s
        self._until_s = asked_s + self._lease_ms / 1000 * MARGIN if beat.alive else 0.0
        return beat

    def turn(self) -> None:
        """Renew if that is due, and find out when it is next."""
        if self._clock.boot_s() < self._due_s():
            return
        beat = self.renew()
        now_s, every_s = self._clock.boot_s(), self._lease_ms / 6000
        if beat is None:
            self._next_s = now_s + min(RETRY_S, every_s)
            return
        self._next_s = now_s + every_s
        if beat.next_lapse_ms is not None:
            left_s = (beat.next_lapse_ms - self._clock.unix_ms()) / 1000
            if left_s > 0:
                self._next_s = min(self._next_s, now_s + left_s + LAPSED_S)
        self._on_beat(beat)

    def wait_s(self) -> float:
        """How long the thread may wait before its next `turn`."""
        return max(0.0, min(self._due_s() - self._clock.boot_s(), LOOK_S, self._lease_ms / 6000))

    def _due_s(self) -> float:
        """Six times a lease, at once after the start and when another's lease ends, each second while it fails; and
        sooner when the loads changed, or what is wanted: others wait for that."""
        if self._claiming or self._demands != self._told_demands:
            return min(self._next_s, self._told_s + DEMANDS_S)
        return self._next_s if self._loads == self._told else min(self._next_s, self._told_s + LOADS_S)

    def _fail(self, why: str, *values: object) -> None:
        """Once, however often it is tried."""
        if not self._failing:
            self._failing = True
            log.error(
                "the lease of worker %s could not be renewed, and is tried again each second: " + why,
                self._worker,
                *values,
            )

    def _run(self) -> None:
        while not self._stop.wait(self.wait_s()):
            self.turn()
