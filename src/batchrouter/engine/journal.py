"""The journal: finished lines become durable in groups, and only then count as done.

Lines of one batch collect in a draft. It is flushed after `flush_s`, at `flush_bytes`, or at once when the batch has
nothing else under way here. A flush writes the bytes first (or keeps a small segment for its database row), then
settles in one fenced transaction. What a flush could not write (a full disk, a database that is away) is kept and
tried again, because it has been paid for; meanwhile `stuck` tells dispatch to send nothing more.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable, Mapping

from batchrouter.domain.cost import UNKNOWN
from batchrouter.domain.outcome import RECORD, renew, tail
from batchrouter.domain.shard import SegmentDraft, Settled
from batchrouter.engine.budget import Budget
from batchrouter.engine.fault import told
from batchrouter.engine.line_end import Fields
from batchrouter.engine.settings import EngineSettings
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock, Timer
from batchrouter.ports.ledger import Ledger

log = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_MAX_S = 0.5, 10.0
REWRITE_MS = 6 * 3_600_000
"""A segment that has no row for so long is written again: after a day the sweeper takes it for what a crash left."""


class _Draft:
    __slots__ = ("bytes", "costs", "count", "model", "parts", "records", "taken")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.records = bytearray()
        self.costs: list[int] = []
        """As many as records, or none while all are unknown."""
        self.bytes = 0
        self.count = 0
        self.taken = 0
        self.model: str | None = None


class _Writing:
    """One batch's drafts: the open one, and whether a flush is under way. `held`: none may begin; `still` is set
    when the one that was under way has ended."""

    __slots__ = ("due", "duty_epoch", "flushing", "held", "open", "still", "waiters")

    def __init__(self) -> None:
        self.open = _Draft()
        self.flushing = False
        self.due = False
        self.held = False
        self.still: asyncio.Future[None] | None = None
        self.duty_epoch: int | None = None
        self.waiters: list[asyncio.Future[None]] = []


class Journal:
    """Belongs to the event loop. `on_settled(batch_id, settled, count)` is told after each flush."""

    def __init__(
        self,
        ledger: Ledger,
        calls: Calls,
        blobs: Blobs,
        clock: Clock,
        budget: Budget,
        settings: EngineSettings,
        worker: str,
        on_settled: Callable[[str, Settled, int], None],
    ) -> None:
        self._ledger = ledger
        self._calls = calls
        self._blobs = blobs
        self._clock = clock
        self._budget = budget
        self._settings = settings
        self._worker = worker
        self._on_settled = on_settled
        self._batches: dict[str, _Writing] = {}
        self._counter = 0
        self._timer: Timer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stuck: set[str] = set()
        self.flushes = 0

    @property
    def stuck(self) -> bool:
        """Whether finished lines of any batch cannot be written at the moment."""
        return bool(self._stuck)

    def holds(self, batch_id: str) -> bool:
        """Whether lines of that batch wait for a flush that has not begun."""
        writing = self._batches.get(batch_id)
        return writing is not None and writing.open.count > 0

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
        size = len(text)
        draft.records += RECORD.pack(*fields, draft.bytes, size)  # first: a number that does not fit changes nothing
        draft.parts.append(text)
        if draft.costs:
            draft.costs.append(cost_nano)
        elif cost_nano >= 0:
            draft.costs = [UNKNOWN] * draft.count + [cost_nano]
        draft.bytes += size
        draft.count += 1
        draft.taken += taken
        if model is not None:
            draft.model = model
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
        writing.waiters.append(waiter)
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
        if writing.open.count or writing.waiters:
            if writing.due or writing.waiters:  # else the timer runs
                self._begin(batch_id, writing)
        elif not writing.flushing and writing.duty_epoch is None:
            del self._batches[batch_id]

    async def drain_all(self) -> None:
        await asyncio.gather(*(self.drain(batch_id) for batch_id in list(self._batches)))

    async def aclose(self) -> None:
        """Give up what is under way (after `drain_all`, there is none)."""
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
            if not writing.flushing and not writing.open.count:
                del self._batches[batch_id]

    # --- flushing -------------------------------------------------------------------------------------------------

    def _on_timer(self) -> None:
        self._timer = None
        for batch_id, writing in list(self._batches.items()):
            self._begin(batch_id, writing)

    def _begin(self, batch_id: str, writing: _Writing) -> None:
        if writing.flushing or writing.held:
            writing.due = True
            return
        if not writing.open.count and not writing.waiters:
            return
        writing.flushing = True
        task = asyncio.get_running_loop().create_task(self._flush(batch_id, writing))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _flush(self, batch_id: str, writing: _Writing) -> None:
        while True:
            draft, writing.open, writing.due = writing.open, _Draft(), False
            waiters, writing.waiters = writing.waiters, []
            if draft.count:
                settled = await self._write(batch_id, draft, writing.duty_epoch)
                self._budget.give(draft.taken)
                self.flushes += 1
                try:
                    self._on_settled(batch_id, settled, draft.count)
                except Exception as error:  # what is settled is settled; the batch must still be flushed
                    log.error("what follows from a flush of %s failed: %s", batch_id, told(error))
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
            if writing.held or (not writing.waiters and not (writing.open.count and writing.due)):
                break
        writing.flushing = False
        if writing.held:
            if writing.still is not None and not writing.still.done():
                writing.still.set_result(None)
        elif writing.open.count:
            if self._timer is None:
                self._timer = self._clock.call_at(self._clock.mono_s() + self._settings.flush_s, self._on_timer)
        elif self._batches.get(batch_id) is writing and writing.duty_epoch is None:
            del self._batches[batch_id]

    async def _write(self, batch_id: str, draft: _Draft, duty_epoch: int | None) -> Settled:
        records = bytes(draft.records)
        end = tail(draft.count)
        length = draft.bytes + len(records) + len(end)
        key = None
        data = None
        if length <= self._settings.inline_bytes:
            data = b"".join((*draft.parts, records, end))
        else:
            self._counter += 1
            key = f"segments/{batch_id}/{self._worker}-{self._counter:08d}"
        segment = SegmentDraft(
            batch_id=batch_id,
            length=length,
            records=records,
            blob_key=key,
            data=data,
            duty_epoch=duty_epoch,
            model=draft.model,
            costs=struct.pack(f"<{draft.count}q", *draft.costs) if draft.costs else b"",
        )
        wait_s = RETRY_FIRST_S
        written_ms: int | None = None
        while True:
            try:
                now_ms = self._clock.unix_ms()
                if key is not None and (written_ms is None or not 0 <= now_ms - written_ms < REWRITE_MS):
                    await self._blobs.put(key, [*draft.parts, records, end])
                    written_ms = now_ms
                settled = await self._calls.write(self._ledger.settle, self._worker, segment, self._clock.unix_ms())
            except Exception as error:
                # Already paid for: kept until it can be written, however long that takes. A fault of ours is no
                # reason to lose it either, and whoever waits for this flush would wait for ever.
                count = draft.count
                why = told(error)
                log.error("%d finished lines of %s could not be written (%s); trying again", count, batch_id, why)
                self._stuck.add(batch_id)
                await self._clock.sleep(wait_s)
                wait_s = min(wait_s * 2, RETRY_MAX_S)
                continue
            self._stuck.discard(batch_id)
            return settled
