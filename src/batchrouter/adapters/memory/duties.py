"""The steps of a batch's life in memory: plan, close, seal, finish."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from batchrouter.adapters.memory.folding import to_fold
from batchrouter.adapters.memory.shards import waiting_groups
from batchrouter.adapters.memory.state import BatchRow, Part, RangeRow, atomic
from batchrouter.domain.file import File
from batchrouter.domain.lifecycle import FINISH, BatchEvent, BatchState
from batchrouter.domain.shard import Duty, Outlook, Plan, Range, Rejection
from batchrouter.errors import StoreError

CLOSING = frozenset({BatchState.FINALIZING, BatchState.CANCELLING})


class Duties(Part):
    __slots__ = ()

    @atomic
    def take_duties(self, worker: str, now_ms: int, limit: int, apart: Collection[str] = ()) -> list[Duty]:
        self._state.require_lease(worker, now_ms)
        rows = [
            row
            for row in self._state.batches.values()
            if row.duty_owner in (None, worker) and needs_step(row, now_ms) and row.batch.id not in apart
        ][:limit]
        for row in rows:
            row.duty_owner = worker
            row.duty_epoch += 1
        return [
            replace(told(row, len(self._state.open_jobs(row.batch.id))), resume_index_key=self._resume_index_key(row))
            for row in rows
        ]

    def _resume_index_key(self, row: BatchRow) -> str | None:
        source = None if row.batch.resume_from is None else self._state.batches.get(row.batch.resume_from)
        return None if source is None else source.input_index_key

    @atomic
    def outlook(self, worker: str, now_ms: int, folds_least: int) -> Outlook:
        rows = self._state.batches.values()
        return Outlook(
            waiting=tuple(waiting_groups(self._state)),
            duties=any(row.duty_owner in (None, worker) and needs_step(row, now_ms) for row in rows),
            jobs=any(
                each.open and each.duty_owner in (None, worker) and each.job.next_ms <= now_ms
                for each in self._state.jobs.values()
            ),
            folds=any(to_fold(row, now_ms, folds_least) for row in rows),
            quotas={
                tenant.id: tenant.quotas.max_in_flight
                for tenant in self._state.tenants.values()
                if tenant.quotas.max_in_flight is not None
            },
            paused=frozenset(
                row.batch.id
                for row in rows
                if row.batch.paused_ms is not None
                and any(shard.open and shard.owner == worker for shard in row.shards.values())
            ),
        )

    @atomic
    def plan(self, worker: str, duty: Duty, decision: Plan | Rejection, now_ms: int) -> bool:
        row = self._state.duty_row(worker, duty)
        state = row.batch.state
        if row.planned or state not in (BatchState.VALIDATING, BatchState.CANCELLING):
            return False
        if isinstance(decision, Plan):
            self._apply(row, decision, now_ms)
        else:
            self._refuse(row, decision, now_ms)
        row.free_duty()
        return True

    @atomic
    def copied(self, worker: str, duty: Duty) -> None:
        row = self._state.duty_row(worker, duty)
        row.copying = False
        row.free_duty()

    @atomic
    def close(self, worker: str, duty: Duty, event: BatchEvent, now_ms: int) -> bool:
        row = self._state.duty_row(worker, duty)
        if row.batch.state is not BatchState.IN_PROGRESS:
            return False
        match event:
            case BatchEvent.COMPLETE:
                due = row.answered
            case BatchEvent.EXPIRE:
                due = row.batch.expires_ms <= now_ms
            case _:
                raise StoreError(f"a batch is closed by 'complete' or 'expire', not by '{event}'")
        if due:
            self._state.enter(row, event, now_ms, closing=event)
        return due

    @atomic
    def seal(self, worker: str, duty: Duty) -> None:
        row = self._state.duty_row(worker, duty)
        if row.batch.state not in CLOSING:
            raise StoreError(f"batch {row.batch.id} is '{row.batch.state}': only one that closes is sealed")
        if row.sealed:
            return
        for shard in row.shards.values():
            if shard.open or shard.owner is not None:  # by a closed one its job's late results still counted
                shard.shut()
        row.sealed = True

    @atomic
    def finish(self, worker: str, duty: Duty, output: File | None, error: File | None, now_ms: int) -> bool:
        known = self._state.batches.get(duty.batch_id)
        if known is not None and known.final:
            return False
        row = self._state.duty_row(worker, duty)
        closing = row.batch.closing
        if row.batch.state not in CLOSING or closing is None:
            raise StoreError(f"batch {row.batch.id} is '{row.batch.state}': it must close before it ends")
        if row.planned and not (row.sealed and row.done == row.batch.total):
            raise StoreError(
                f"batch {row.batch.id} cannot end: sealed {row.sealed}, {row.done} of {row.batch.total} lines are done"
            )
        for file in (output, error):
            if file is not None and file.id in self._state.files:
                raise StoreError(f"a file {file.id} exists")
        for file in (output, error):
            if file is not None:
                self._state.insert_file(file)
        self._state.enter(
            row,
            FINISH[closing],
            now_ms,
            output_file_id=None if output is None else output.id,
            error_file_id=None if error is None else error.id,
        )
        row.free_duty()
        return True

    @atomic
    def ranges(self, batch_id: str, after: int, limit: int) -> list[Range]:
        row = self._state.batches.get(batch_id)
        if row is None:
            return []
        return [row.ranges[no].range for no in sorted(no for no in row.ranges if no > after)[:limit]]

    def _apply(self, row: BatchRow, plan: Plan, now_ms: int) -> None:
        if row.batch.state is BatchState.VALIDATING:
            self._state.enter(row, BatchEvent.ACCEPT, now_ms, total=plan.total, model=plan.model)
            shards = plan.shards
        else:
            row.batch = replace(row.batch, total=plan.total, model=plan.model)
            shards = ()
        row.planned = True
        row.copying, row.followers = plan.copying, plan.followers
        row.ranges = {each.range_no: RangeRow(each) for each in plan.ranges}
        for shard in shards:
            self._state.add_shard(row, shard.range_no, self._state.lane_of(shard.lane).id, shard.members)

    def _refuse(self, row: BatchRow, rejection: Rejection, now_ms: int) -> None:
        """A cancelled batch stays cancelled. It counts as planned, with no lines, so that nobody plans it again."""
        if row.batch.state is BatchState.VALIDATING:
            self._state.enter(row, BatchEvent.REJECT, now_ms, errors=tuple(rejection.errors))
        else:
            row.planned = True


def needs_step(row: BatchRow, now_ms: int) -> bool:
    match row.batch.state:
        case BatchState.VALIDATING | BatchState.FINALIZING | BatchState.CANCELLING:
            return True
        case BatchState.IN_PROGRESS:
            return row.copying or row.drained or row.batch.expires_ms <= now_ms
        case _:
            return False


def told(row: BatchRow, open_jobs: int) -> Duty:
    batch = row.batch
    return Duty(
        batch_id=batch.id,
        tenant_id=batch.tenant_id,
        duty_epoch=row.duty_epoch,
        state=batch.state,
        closing=batch.closing,
        sealed=row.sealed,
        planned=row.planned,
        endpoint=batch.endpoint,
        input_file_id=batch.input_file_id,
        input_blob_key=row.input_blob_key,
        input_index_key=row.input_index_key,
        input_bytes=row.input_bytes,
        output_expires_after_s=batch.output_expires_after_s,
        total=batch.total,
        done=row.done,
        expires_ms=batch.expires_ms,
        closing_ms=row.closing_ms(),
        metadata=dict(batch.metadata or {}),
        open_jobs=open_jobs,
        created_ms=batch.created_ms,
        retry_of=batch.retry_of,
        retry=row.new.retry,
        resume_from=batch.resume_from,
        dedupe=batch.dedupe,
        copying=row.copying,
        followers=row.followers,
    )
