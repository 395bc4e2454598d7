"""The journal: finished lines become durable in groups, and only then count as done.

Lines of one batch collect in a draft. It is flushed after `flush_s`, at `flush_bytes`, or at once when the batch has
nothing else under way here. A flush writes the bytes first (or keeps a small segment for its database row), then
settles in one fenced transaction. What a flush could not write is kept and tried again, because it has been paid for:
in the spill, where it survives this process, or in memory where that cannot be written either.

What fails because the database or the blob store is away or full would fail for every batch: meanwhile `stuck` tells
dispatch to send nothing more. What fails otherwise stops only its batch (`on_stuck`). A write that hangs is as bad as
one that fails: a network that swallows everything tells nobody so.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping

from batchrouter.domain.cost import UNKNOWN
from batchrouter.domain.outcome import renew
from batchrouter.domain.shard import Settled
from batchrouter.engine.budget import Budget
from batchrouter.engine.draft import Draft
from batchrouter.engine.fault import told
from batchrouter.engine.line_end import Fields
from batchrouter.engine.offering import Offering
from batchrouter.engine.settings import EngineSettings
from batchrouter.errors import BlobError, StoreAway, StoreFull
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock, Timer
from batchrouter.ports.ledger import Ledger
from batchrouter.ports.meters import Meters
from batchrouter.ports.spill import Spill

log = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_MAX_S = 0.5, 10.0
LATE_S = 2.0
"""A write that takes longer is taken for one that hangs."""
OF_ALL = (StoreAway, StoreFull, BlobError)
"""What is no fault of one batch."""


class _Writing:
    """One batch's drafts: the open one, and those that are `cut`, oldest first, of which the first is being flushed.
    `due`: the open one is to be cut. `held`: it may not be; `still` is set when no flush is under way any more. `nap`
    is there while a flush waits for its next try, or for one that hangs; `beside` is what is done meanwhile."""

    __slots__ = ("again", "beside", "cut", "due", "duty_epoch", "flushing", "held", "nap", "open", "still")

    def __init__(self) -> None:
        self.open = Draft()
        self.cut: deque[Draft] = deque()
        self.flushing = False
        self.due = False
        self.again = False
        self.held = False
        self.still: asyncio.Future[None] | None = None
        self.nap: asyncio.Future[None] | None = None
        self.beside: asyncio.Task[None] | None = None
        self.duty_epoch: int | None = None

    def wake(self) -> None:
        if self.nap is not None and not self.nap.done():
            self.nap.set_result(None)


class Journal:
    """Belongs to the event loop. `on_settled(batch_id, settled, cost_nano)` is told after each flush, with what that
    added to the batch's cost at least, `on_stuck(batch_id, stuck)` when lines of one batch alone cannot be written, and
    when they can again."""

    def __init__(
        self,
        ledger: Ledger,
        calls: Calls,
        blobs: Blobs,
        spill: Spill | None,
        clock: Clock,
        budget: Budget,
        settings: EngineSettings,
        worker: str,
        *,
        on_settled: Callable[[str, Settled, int], None],
        on_stuck: Callable[[str, bool], None],
        meters: Meters,
    ) -> None:
        self._offering = Offering(ledger, calls, blobs, spill, clock, worker, meters)
        self.meters = meters
        self._clock = clock
        self._budget = budget
        self._settings = settings
        self._worker = worker
        self._on_settled = on_settled
        self._on_stuck = on_stuck
        self._batches: dict[str, _Writing] = {}
        self._counter = 0
        self._timer: Timer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stuck: set[str] = set()
        self._stuck_alone: set[str] = set()
        self.flushes = 0

    @property
    def stuck(self) -> bool:
        """Whether finished lines cannot be written at the moment, whichever batch's they are."""
        return bool(self._stuck)

    @property
    def spilled(self) -> int:
        """How many finished lines wait in the spill."""
        return sum(d.count for writing in self._batches.values() for d in writing.cut if d.name is not None)

    def holds(self, batch_id: str) -> bool:
        """Whether lines of that batch are not written yet."""
        writing = self._batches.get(batch_id)
        return writing is not None and (writing.open.count > 0 or bool(writing.cut))

    def stuck_alone(self, batch_id: str) -> bool:
        """Whether lines of that batch cannot be written, though others might."""
        return batch_id in self._stuck_alone

    def add(
        self,
        batch_id: str,
        text: bytes,
        fields: Fields,
        taken: int,
        model: str | None = None,
        cost_nano: int = UNKNOWN,
    ) -> None:
        """One finished line: its JSONL text, the fields of its record up to `offset`, and what it cost.

        `taken` bytes of the budget become the journal's to give back.
        """
        writing = self._batches.get(batch_id)
        if writing is None:
            writing = self._batches[batch_id] = _Writing()
        draft = writing.open
        draft.add(text, fields, taken, model, cost_nano)
        if draft.bytes >= self._settings.flush_bytes:
            self._begin(batch_id, writing)
        elif self._timer is None:
            self._timer = self._clock.call_at(self._clock.mono_s() + self._settings.flush_s, self._on_timer)

    def flush(self, batch_id: str) -> None:
        """Flush the batch's open draft now; nothing happens if it is empty."""
        writing = self._batches.get(batch_id)
        if writing is not None:
            self._begin(batch_id, writing)

    async def drain(self, batch_id: str) -> None:
        """Flush, and return when everything added before is settled."""
        writing = self._batches.get(batch_id)
        if writing is None:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        writing.open.waiters.append(waiter)
        self._begin(batch_id, writing)
        await waiter

    async def hold(self, batch_id: str) -> None:
        """Returns when no flush of the batch is under way; until `go_on` none begins, and what is added waits. One
        caller at a time."""
        writing = self._batches.setdefault(batch_id, _Writing())
        writing.held = True
        if writing.flushing:
            writing.still = asyncio.get_running_loop().create_future()
            await writing.still

    def go_on(self, batch_id: str, epochs: Mapping[int, int]) -> None:
        """The end of `hold`. What waits to be written of these shards is written under these epochs."""
        writing = self._batches[batch_id]
        writing.held, writing.still = False, None
        renew(writing.open.records, epochs)
        if writing.open.count or writing.open.waiters:
            if writing.due or writing.open.waiters:  # else the timer runs
                self._begin(batch_id, writing)
        elif not writing.flushing and writing.duty_epoch is None:
            del self._batches[batch_id]

    async def drain_all(self) -> None:
        await asyncio.gather(*(self.drain(batch_id) for batch_id in list(self._batches)))

    async def let_go(self) -> None:
        """The worker's lease was taken: what waits here counts for nobody any more."""
        await self.aclose()
        lost = sum(d.count for writing in self._batches.values() for d in (*writing.cut, writing.open))
        if lost:
            log.error("%d finished lines of worker %s count no more: its lease was taken", lost, self._worker)
        for writing in self._batches.values():
            for draft in writing.cut:
                await self._offering.forget(draft)

    async def aclose(self) -> None:
        """Give up what is under way (after `drain_all`, there is none). What is in the spill stays there."""
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def allow_gaps(self, batch_id: str, duty_epoch: int) -> None:
        """Records of shard 0 that follow are fenced by this duty."""
        writing = self._batches.setdefault(batch_id, _Writing())
        writing.duty_epoch = duty_epoch

    def end_gaps(self, batch_id: str) -> None:
        """No more gap records will come."""
        writing = self._batches.get(batch_id)
        if writing is not None:
            writing.duty_epoch = None
            if not writing.flushing and not writing.held and not writing.open.count:
                del self._batches[batch_id]

    # --- flushing -------------------------------------------------------------------------------------------------

    def _on_timer(self) -> None:
        self._timer = None
        for batch_id, writing in list(self._batches.items()):
            self._begin(batch_id, writing)

    def _begin(self, batch_id: str, writing: _Writing) -> None:
        if not writing.open.count and not writing.open.waiters:
            return
        writing.due = True
        if writing.flushing or writing.held:
            writing.wake()
            return
        writing.flushing = True
        task = asyncio.get_running_loop().create_task(self._flush(batch_id, writing))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _flush(self, batch_id: str, writing: _Writing) -> None:
        wait_s = RETRY_FIRST_S
        self._cut(batch_id, writing)
        while writing.cut:
            draft = writing.cut[0]
            if draft.count:
                try:
                    settled = await self._offer(batch_id, writing, draft)
                except Exception as error:
                    # Already paid for: kept until it can be written, however long that takes. A fault of ours is no
                    # reason to lose it either, and whoever waits for this flush would wait for ever.
                    why = told(error)
                    log.error(
                        "%d finished lines of %s could not be written (%s); trying again", draft.count, batch_id, why
                    )
                    self._fail(batch_id, error)
                    await self._wait(batch_id, writing, wait_s)
                    wait_s = min(wait_s * 2, RETRY_MAX_S)
                    continue
                wait_s = RETRY_FIRST_S
                self._works(batch_id)
                self._budget.give_kept(draft.taken)
                self.flushes += 1
            writing.cut.popleft()
            if draft.count:
                try:
                    whole = settled.admitted.bit_count() == draft.count
                    self._on_settled(batch_id, settled, draft.cost_nano if whole else 0)
                except Exception as error:  # what is settled is settled; the batch must still be flushed
                    log.error("what follows from a flush of %s failed: %s", batch_id, told(error))
            draft.done()
            self._cut(batch_id, writing)
        writing.flushing = False
        if writing.held:
            if writing.still is not None and not writing.still.done():
                writing.still.set_result(None)
        elif writing.open.count:
            if self._timer is None:
                self._timer = self._clock.call_at(self._clock.mono_s() + self._settings.flush_s, self._on_timer)
        elif self._batches.get(batch_id) is writing and writing.duty_epoch is None:
            del self._batches[batch_id]

    async def _offer(self, batch_id: str, writing: _Writing, draft: Draft) -> Settled:
        """One try. Once it is late, what is finished goes into the spill beside it."""
        timer = self._clock.call_at(self._clock.mono_s() + LATE_S, lambda: self._hangs(batch_id, writing))
        try:
            settled = await self._offering.offer(draft)
        finally:
            timer.cancel()
            if writing.beside is not None:
                # Not cancelled: it would never be known what the spill has kept.
                writing.again = True
                writing.wake()
                beside, writing.beside = writing.beside, None
                await beside
        await self._offering.forget(draft)
        return settled

    def _cut(self, batch_id: str, writing: _Writing) -> None:
        """The open draft takes no more lines, if it is due and may be."""
        if not writing.due or writing.held:
            return
        draft, writing.open, writing.due = writing.open, Draft(), False
        if draft.count:
            self._counter += 1
            key = f"segments/{batch_id}/{self._worker}-{self._counter:08d}"
            draft.cut(batch_id, writing.duty_epoch, self._settings.inline_bytes, key)
        writing.cut.append(draft)

    # --- while it cannot be written ---------------------------------------------------------------------------------

    def _fail(self, batch_id: str, error: Exception) -> None:
        if isinstance(error, OF_ALL):
            self._stuck.add(batch_id)
        elif batch_id not in self._stuck_alone:
            self._stuck_alone.add(batch_id)
            self._on_stuck(batch_id, True)

    def _works(self, batch_id: str) -> None:
        if batch_id in self._stuck:
            self._stuck.discard(batch_id)
            for other in self._stuck:  # what was away is there again
                self._batches[other].again = True
                self._batches[other].wake()
        if batch_id in self._stuck_alone:
            self._stuck_alone.discard(batch_id)
            self._on_stuck(batch_id, False)

    def _hangs(self, batch_id: str, writing: _Writing) -> None:
        log.warning(
            "finished lines of %s have not been written for %.0f s; nothing is sent meanwhile", batch_id, LATE_S
        )
        self._stuck.add(batch_id)
        writing.beside = asyncio.get_running_loop().create_task(self._wait(batch_id, writing, math.inf))
        self._tasks.add(writing.beside)
        writing.beside.add_done_callback(self._tasks.discard)

    async def _wait(self, batch_id: str, writing: _Writing, wait_s: float) -> None:
        """For the next try, or for the end of one that hangs. All that is finished meanwhile goes into the spill."""
        writing.again = False
        until_s = self._clock.mono_s() + wait_s
        while True:
            for draft in list(writing.cut):
                await self._to_spill(draft)
            if writing.again or self._clock.mono_s() >= until_s:
                return
            writing.nap = asyncio.get_running_loop().create_future()
            timer = self._clock.call_at(until_s, writing.wake) if until_s < math.inf else None
            try:
                await writing.nap
            finally:
                if timer is not None:
                    timer.cancel()
                writing.nap = None
            self._cut(batch_id, writing)

    async def _to_spill(self, draft: Draft) -> None:
        try:
            self._budget.give_kept(await self._offering.keep(draft))
        except Exception as error:
            log.error("%d finished lines are in memory alone: %s", draft.count, told(error))
