"""What earlier processes of this machine had finished and could not write: it is settled in their name.

Under the epochs under which it was sent. So it counts as long as nobody was given those lines since; a start that is
alone therefore adopts before it announces itself, which would take them from the dead.
"""

from __future__ import annotations

import logging

from batchrouter.domain.outcome import RECORD
from batchrouter.engine.fault import told
from batchrouter.engine.journal import OF_ALL
from batchrouter.engine.offering import segment_of
from batchrouter.errors import SpillError
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.ledger import Ledger
from batchrouter.ports.meters import Meters
from batchrouter.ports.spill import Spill

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""How long a start waits for a store that refuses what was left behind, before it goes on without."""
AGAIN_FIRST_S, AGAIN_MAX_S = 0.5, 10.0


class Adopter:
    def __init__(self, ledger: Ledger, calls: Calls, blobs: Blobs, clock: Clock, spill: Spill, meters: Meters) -> None:
        self._ledger = ledger
        self._calls = calls
        self._blobs = blobs
        self._clock = clock
        self._spill = spill
        self._meters = meters
        self._names: list[str] = []

    async def run(self, patience_s: float = float("inf")) -> bool:
        """Until nothing is left, or for so long. Returns whether nothing is left."""
        wait_s, until_s = AGAIN_FIRST_S, self._clock.mono_s() + patience_s
        while await self.run_once():
            if self._clock.mono_s() >= until_s:
                return False
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 2, AGAIN_MAX_S)
        return True

    async def run_once(self) -> int:
        """Settle what was left behind, each once; returns how many segments the store would not take now."""
        try:
            self._names += await self._spill.left_behind()
        except SpillError as error:
            log.error("what earlier processes had finished cannot be looked for: %s", error)
        left, self._names = self._names, []
        for number, name in enumerate(left):
            try:
                await self._settle(name)
            except SpillError as error:
                log.error("%s", error)
            except Exception as error:
                log.error("%s of an earlier process could not be settled: %s", name, told(error))
                self._names.append(name)
                if isinstance(error, OF_ALL):
                    self._names += left[number + 1 :]
                    break
        return len(self._names)

    async def _settle(self, name: str) -> None:
        kept = await self._spill.load(name)
        segment, batch_id = segment_of(kept), kept.draft.batch_id
        if segment.blob_key is not None:
            await self._blobs.put(segment.blob_key, (kept.body,))
        settled = await self._calls.write(self._ledger.settle, kept.worker, segment, self._clock.unix_ms())
        self._meters.settled(segment, settled)
        lines, counted = len(segment.records) // RECORD.size, settled.admitted.bit_count()
        log.info("%d finished lines of %s were left by worker %s: %d count", lines, batch_id, kept.worker, counted)
        await self._spill.drop(name)
