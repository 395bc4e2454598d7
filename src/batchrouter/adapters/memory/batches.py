"""Batches in memory, as people see them: create, look, cancel."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from batchrouter.adapters.memory.quotas import require_room_for_batch
from batchrouter.adapters.memory.state import BatchRow, Part, atomic
from batchrouter.domain.batch import Batch, Event, LaneShare, NewBatch
from batchrouter.domain.batch_filter import EVERY, BatchFilter
from batchrouter.domain.job import Job
from batchrouter.domain.lane_health import LaneState
from batchrouter.domain.lifecycle import BATCH_PAUSABLE, BatchEvent, BatchState
from batchrouter.domain.settlement import NO_GAIN
from batchrouter.domain.source import SourceFault
from batchrouter.errors import IllegalTransition, SourceUnusable, StoreError
from batchrouter.ports.catalog import Created, Page

KEY_HOLDS_MS = 24 * 60 * 60 * 1000
RESENT_HOLDS_MS = 15 * 60 * 1000


class Batches(Part):
    __slots__ = ()

    @atomic
    def create_batch(self, new: NewBatch, *, now_ms: int) -> Created:
        known = self._made_before(new, now_ms)
        if known is not None:
            if new.idempotency_key is not None and known.new.body_hash != new.body_hash:
                return Created(None, fresh=False, conflict=True)
            return Created(known.told(), fresh=False)
        if new.id in self._state.batches:
            raise StoreError(f"a batch {new.id} exists")
        require_room_for_batch(self._state, new)
        self._require_sources(new, now_ms)
        row = self._insert(new, now_ms)
        return Created(row.told(), fresh=True)

    @atomic
    def batch(self, tenant_id: str, batch_id: str) -> Batch | None:
        row = self._batch_row(tenant_id, batch_id)
        return None if row is None else row.told()

    @atomic
    def batches(
        self, tenant_id: str | None, *, after: str | None, limit: int, wanted: BatchFilter = EVERY
    ) -> Page[Batch] | None:
        rows = [row for row in self._state.batches.values() if tenant_id in (None, row.batch.tenant_id)][::-1]
        if after is not None:
            start = next((place for place, row in enumerate(rows) if row.batch.id == after), None)
            if start is None:
                return None
            rows = rows[start + 1 :]
        rows = [row for row in rows if wanted.wants(row.batch, self._models(row))]
        return Page(tuple(row.told() for row in rows[:limit]), len(rows) > limit)

    @atomic
    def cancel_batch(self, tenant_id: str, batch_id: str, now_ms: int) -> Batch | None:
        row = self._batch_row(tenant_id, batch_id)
        if row is None:
            return None
        with suppress(IllegalTransition):  # it had begun to close, or had ended: that stands
            self._state.enter(row, BatchEvent.CANCEL, now_ms, closing=BatchEvent.CANCEL)
        return row.told()

    @atomic
    def pause_batch(self, tenant_id: str, batch_id: str, now_ms: int, *, paused: bool) -> Batch | None:
        row = self._batch_row(tenant_id, batch_id)
        if row is None:
            return None
        if row.batch.state in BATCH_PAUSABLE and (row.batch.paused_ms is not None) is not paused:
            row.batch = replace(row.batch, paused_ms=now_ms if paused else None)
            self._state.tell(row, "paused" if paused else "resumed", now_ms)
            self._state.call_jobs(row, now_ms)
        return row.told()

    @atomic
    def lane_shares(self, batch_id: str) -> list[LaneShare]:
        row = self._state.batches.get(batch_id)
        if row is None:
            return []
        lane_ids = {shard.lane_id for shard in row.shards.values()} | row.lanes.keys()
        return [self._share(row, lane_id) for lane_id in sorted(lane_ids & self._state.lanes.keys())]

    @atomic
    def jobs(self, batch_id: str) -> list[Job]:
        return [row.told() for row in self._state.jobs.values() if row.job.batch_id == batch_id]

    @atomic
    def events(self, batch_id: str, after: int, limit: int) -> list[Event]:
        row = self._state.batches.get(batch_id)
        if row is None:
            return []
        return [replace(event, data=dict(event.data)) for event in row.events if event.no > after][:limit]

    def _models(self, row: BatchRow) -> set[str]:
        lane_ids = {shard.lane_id for shard in row.shards.values()} | row.lanes.keys()
        return {self._state.lanes[lane_id].key.model for lane_id in lane_ids & self._state.lanes.keys()}

    def _share(self, row: BatchRow, lane_id: int) -> LaneShare:
        """Lines that a worker holds and has not sent are waiting too, those that a job has are not: the five numbers
        add up to the lane's lines."""
        lane, gain = self._state.lanes[lane_id], row.lanes.get(lane_id, NO_GAIN)
        loads = [
            load
            for worker in self._state.workers.values()
            for load in worker.loads
            if load.lane_id == lane_id and load.batch_id == row.batch.id
        ]
        in_flight, retrying = sum(load.in_flight for load in loads), sum(load.retrying for load in loads)
        paused = [load for load in loads if load.reason is not None]
        reason = max((load.reason or "" for load in paused), default=None)
        until_ms = min((load.until_ms for load in paused if load.until_ms is not None), default=None)
        pending = in_job = 0
        for shard in row.shards.values():
            if shard.open and shard.lane_id == lane_id:
                count = row.pending(shard).bit_count()
                pending += count
                in_job += count if shard.owner in self._state.jobs else 0
        return LaneShare(
            lane_id=lane_id,
            provider=lane.key.provider,
            model=lane.key.model,
            mode=lane.key.mode,
            in_job=in_job,
            tokens=gain.tokens,
            cost_nano=gain.cost_nano,
            unpriced=gain.unpriced,
            waiting=max(0, pending - in_job - in_flight - retrying),
            in_flight=in_flight,
            retrying=retrying,
            done=gain.lines,
            limit=lane.limit,
            state=lane.state if reason is None else _held_back(until_ms),
            reason=lane.reason if reason is None else reason,
            until_ms=lane.until_ms if reason is None else until_ms,
        )

    def _made_before(self, new: NewBatch, now_ms: int) -> BatchRow | None:
        """The batch that an earlier sending of the same request made; newest first."""
        for row in reversed(self._state.batches.values()):
            old, age_ms = row.new, now_ms - row.made_ms
            if (old.tenant_id, old.route, old.idempotency_key) != (new.tenant_id, new.route, new.idempotency_key):
                continue
            if new.idempotency_key is not None:
                if age_ms < KEY_HOLDS_MS:
                    return row
            elif (
                new.resent
                and age_ms < RESENT_HOLDS_MS
                and (old.api_key_id, old.body_hash) == (new.api_key_id, new.body_hash)
            ):
                return row
        return None

    def _insert(self, new: NewBatch, now_ms: int) -> BatchRow:
        state = self._state
        batch = Batch(
            id=new.id,
            seq=len(state.batches) + 1,
            tenant_id=new.tenant_id,
            state=BatchState.VALIDATING,
            endpoint=new.endpoint,
            completion_window=new.completion_window,
            input_file_id=new.input_file_id,
            metadata=None if new.metadata is None else dict(new.metadata),
            output_expires_after_s=new.output_expires_after_s,
            created_ms=new.created_ms,
            expires_ms=new.expires_ms,
            max_cost_nano=new.max_cost_nano,
            priority=new.priority,
            retry_of=new.retry_of,
            resume_from=new.resume_from,
            dedupe=new.dedupe,
        )
        row = BatchRow(batch, new, now_ms)
        source = state.files.get(new.input_file_id)
        if source is not None and source.file.tenant_id == new.tenant_id and source.there(now_ms):
            row.input_blob_key = source.file.blob_key
            row.input_index_key = source.file.index_key
            row.input_bytes = source.file.bytes
        state.batches[new.id] = row
        state.tell(row, batch.state, now_ms)
        return row

    def _require_sources(self, new: NewBatch, now_ms: int) -> None:
        for batch_id in filter(None, (new.retry_of, new.resume_from)):
            row = self._batch_row(new.tenant_id, batch_id)
            if row is None:
                raise SourceUnusable(batch_id, SourceFault.MISSING)
            if not row.final:
                raise SourceUnusable(batch_id, SourceFault.RUNNING)
            files, batch = self._state.files, row.batch
            for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
                if not files[file_id].there(now_ms):
                    raise SourceUnusable(batch_id, SourceFault.FILES_GONE)
            input_row = files.get(batch.input_file_id)
            if input_row is None or not input_row.there(now_ms):
                raise SourceUnusable(batch_id, SourceFault.INPUT_GONE)

    def _batch_row(self, tenant_id: str, batch_id: str) -> BatchRow | None:
        row = self._state.batches.get(batch_id)
        return row if row is not None and row.batch.tenant_id == tenant_id else None


def _held_back(until_ms: int | None) -> str:
    """The state of a batch that waits in a lane by itself: until it is tried again, or for its tenant's other calls."""
    return LaneState.WAITING.value if until_ms is None else LaneState.PAUSED.value
