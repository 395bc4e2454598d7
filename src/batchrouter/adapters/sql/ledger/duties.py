"""The steps of a batch's life: plan, close, seal, finish."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import sqlalchemy as sa

from batchrouter.adapters.sql.batch_state import enter
from batchrouter.adapters.sql.catalog.files import insert_file
from batchrouter.adapters.sql.garbage import note_results
from batchrouter.adapters.sql.ledger.presence import require_lease
from batchrouter.adapters.sql.ledger.ranges import RANGES, insert_ranges, insert_shards, range_of
from batchrouter.adapters.sql.rows import Row, retry_of_text, to_json
from batchrouter.adapters.sql.schema import batch_lanes, batches, jobs, shards
from batchrouter.adapters.sql.verbs import Verbs, param
from batchrouter.domain.file import File
from batchrouter.domain.lifecycle import FINISH, BatchEvent, BatchState
from batchrouter.domain.shard import Duty, Plan, Range, Rejection
from batchrouter.errors import StaleLease, StoreError

_CLOSING = (BatchState.FINALIZING, BatchState.CANCELLING)

_open_jobs = (
    sa.select(sa.func.count())
    .where(jobs.c.batch_seq == batches.c.seq, jobs.c.open == sa.true())
    .correlate(batches)
    .scalar_subquery()
    .label("open_jobs")
)
_others = batches.alias("others")
_resume_index_key = (
    sa.select(_others.c.input_index_key)
    .where(_others.c.id == batches.c.resume_from)
    .correlate(batches)
    .scalar_subquery()
    .label("resume_index_key")
)
_DUTY = sa.select(
    batches.c.seq, batches.c.id, batches.c.tenant_id, batches.c.duty_owner, batches.c.duty_epoch, batches.c.state,
    batches.c.closing, batches.c.sealed, batches.c.planned, batches.c.endpoint, batches.c.input_file_id,
    batches.c.input_blob_key, batches.c.input_index_key, batches.c.input_bytes, batches.c.output_expires_after_s,
    batches.c.total, batches.c.done, batches.c.expires_ms, batches.c.finalizing_ms, batches.c.cancelling_ms,
    batches.c.next_event, batches.c.live, batches.c.metadata, batches.c.created_ms, batches.c.retry_of,
    batches.c.retry, batches.c.resume_from, batches.c.dedupe, batches.c.copying, batches.c.followers, _resume_index_key,
    _open_jobs,
)  # fmt: skip
_DUTY_OF_BATCH = _DUTY.where(batches.c.id == param("batch")).with_for_update()
_needs_step = (
    batches.c.state.in_((BatchState.VALIDATING, *_CLOSING))
    | (batches.c.done + batches.c.followers == batches.c.total)
    | (batches.c.copying > sa.literal_column("0"))
    | (batches.c.expires_ms <= param("now"))
)
TO_STEP = (
    (batches.c.live == sa.true())
    & (batches.c.duty_owner.is_(None) | (batches.c.duty_owner == param("worker")))
    & _needs_step
)
"""Batches that need a step of `worker` or anybody, at `now`."""
_DUE = _DUTY.where(TO_STEP).order_by(batches.c.seq).limit(param("limit")).with_for_update(skip_locked=True)
_TAKE = (
    batches.update()
    .where(batches.c.seq == param("batch"))
    .values(duty_owner=param("worker"), duty_epoch=batches.c.duty_epoch + 1)
)
_CHANGE = batches.update().where(batches.c.seq == param("batch"))
# Open ones, and those by which an overtaken job still counted.
_counts = (shards.c.batch_seq == param("batch")) & ((shards.c.open == sa.true()) | shards.c.owner.is_not(None))
_LOCK_SHARDS = sa.select(sa.func.count()).select_from(
    sa.select(shards.c.id).where(_counts).order_by(shards.c.id).with_for_update().subquery()
)
_SHUT = shards.update().where(_counts).values(open=False, owner=None, epoch=shards.c.epoch + 1)
_NOTHING_WAITS = batch_lanes.update().where(batch_lanes.c.batch_seq == param("batch")).values(pending=0, in_job=0)


class Duties(Verbs):
    def take_duties(self, worker: str, now_ms: int, limit: int, apart: Collection[str] = ()) -> list[Duty]:
        """Raises StaleLease for a worker that was freed, or whose lease has lapsed: a duty that it took would be
        nobody's to free."""
        with self._db.write() as tx:
            require_lease(tx, worker, now_ms)
            told = tx.execute(_DUE, {"worker": worker, "now": now_ms, "limit": limit + len(apart)}).all()
            rows = [row for row in told if row.id not in apart][:limit]
            if rows:
                tx.execute(_TAKE, [{"batch": row.seq, "worker": worker} for row in rows])
        return [_taken(row) for row in rows]

    def plan(self, worker: str, duty: Duty, decision: Plan | Rejection, now_ms: int) -> bool:
        """A batch that was cancelled and is then refused counts as planned, with no line and no error: it ends as
        cancelled, and nobody plans it again."""
        with self._db.write() as tx:
            batch = _held(tx, worker, duty)
            if batch.planned or batch.state not in (BatchState.VALIDATING, BatchState.CANCELLING):
                return False
            cancelled = batch.state == BatchState.CANCELLING
            if isinstance(decision, Plan):
                done = insert_ranges(tx, batch.seq, decision.ranges)
                planned = {"total": decision.total, "model": decision.model, "unfolded": len(decision.ranges)} | done
                planned |= {"copying": int(decision.copying), "followers": decision.followers}
            else:
                planned = {}
            changes = {"planned": True, **planned, **_free(batch)}
            if cancelled:
                tx.execute(_CHANGE, {"batch": batch.seq, **changes})
            elif isinstance(decision, Plan):
                insert_shards(tx, batch.seq, decision)
                enter(tx, batch, BatchEvent.ACCEPT, now_ms, **changes)
            else:
                enter(tx, batch, BatchEvent.REJECT, now_ms, errors=to_json(decision.errors), **_free(batch))
            return True

    def copied(self, worker: str, duty: Duty) -> None:
        with self._db.write() as tx:
            batch = _held(tx, worker, duty)
            tx.execute(_CHANGE, {"batch": batch.seq, "copying": 0, **_free(batch)})

    def close(self, worker: str, duty: Duty, event: BatchEvent, now_ms: int) -> bool:
        """Also False when the reason does not hold: a line is not done, or the window is not over."""
        if event not in (BatchEvent.COMPLETE, BatchEvent.EXPIRE):
            raise StoreError(f"a batch is closed by '{BatchEvent.COMPLETE}' or '{BatchEvent.EXPIRE}', not by '{event}'")
        with self._db.write() as tx:
            batch = _held(tx, worker, duty)
            if batch.state != BatchState.IN_PROGRESS:
                return False
            due = _answered(batch) if event is BatchEvent.COMPLETE else bool(batch.expires_ms <= now_ms)
            if due:
                enter(tx, batch, event, now_ms, closing=event)
            return due

    def seal(self, worker: str, duty: Duty) -> None:
        """Raises StoreError for a batch that is not closing."""
        with self._db.write() as tx:
            batch = _held(tx, worker, duty)
            if batch.state not in _CLOSING:
                raise StoreError(f"batch {batch.id} is '{batch.state}': only one that is closing can be sealed")
            if not batch.sealed:
                tx.execute(_LOCK_SHARDS, {"batch": batch.seq})
                tx.execute(_SHUT, {"batch": batch.seq})
                tx.execute(_NOTHING_WAITS, {"batch": batch.seq})
                tx.execute(_CHANGE, {"batch": batch.seq, "sealed": True})

    def finish(self, worker: str, duty: Duty, output: File | None, error: File | None, now_ms: int) -> bool:
        """Raises StoreError for a batch that is not ready to end. The duty is freed."""
        with self._db.write() as tx:
            batch = _find(tx, duty)
            if not batch.live:
                return False
            _hold(batch, worker, duty)
            if batch.state not in _CLOSING:
                raise StoreError(f"batch {batch.id} is '{batch.state}': it must close before it ends")
            if batch.planned and not (batch.sealed and batch.done == batch.total):
                raise StoreError(
                    f"batch {batch.id} cannot end: {'' if batch.sealed else 'not '}sealed, "
                    f"{batch.done} of {batch.total} lines are done"
                )
            for file in (output, error):
                if file is not None:
                    insert_file(tx, file)
            gone = output is None and error is None
            if gone:  # nobody can ever read them
                note_results(tx, batch.seq, now_ms)
            enter(
                tx,
                batch,
                FINISH[BatchEvent(batch.closing)],
                now_ms,
                output_file_id=None if output is None else output.id,
                error_file_id=None if error is None else error.id,
                purge_ms=now_ms if gone else None,
                **_free(batch),
            )
            return True

    def ranges(self, batch_id: str, after: int, limit: int) -> list[Range]:
        with self._db.read() as tx:
            rows = tx.execute(RANGES, {"batch": batch_id, "after": after, "limit": limit}).all()
        return [range_of(row) for row in rows]


def _answered(batch: Row) -> bool:
    return not batch.copying and bool(batch.done + batch.followers >= batch.total)


def _find(tx: sa.Connection, duty: Duty) -> Row:
    row = tx.execute(_DUTY_OF_BATCH, {"batch": duty.batch_id}).first()
    if row is None:
        raise StaleLease(f"batch {duty.batch_id} is gone")
    return row


def _hold(batch: Row, worker: str, duty: Duty) -> None:
    if batch.duty_owner != worker or batch.duty_epoch != duty.duty_epoch:
        raise StaleLease(f"the duty on batch {duty.batch_id} is no longer worker {worker}'s")


def _held(tx: sa.Connection, worker: str, duty: Duty) -> Row:
    """The batch of a duty that is still this worker's."""
    batch = _find(tx, duty)
    _hold(batch, worker, duty)
    return batch


def _free(batch: Row) -> dict[str, Any]:
    """The duty is nobody's, under an epoch that nobody was told."""
    return {"duty_owner": None, "duty_epoch": batch.duty_epoch + 1}


def _taken(row: Row) -> Duty:
    """The duty as it is after `_TAKE`."""
    return Duty(
        batch_id=row.id,
        tenant_id=row.tenant_id,
        duty_epoch=row.duty_epoch + 1,
        state=BatchState(row.state),
        closing=None if row.closing is None else BatchEvent(row.closing),
        sealed=row.sealed,
        planned=row.planned,
        endpoint=row.endpoint,
        input_file_id=row.input_file_id,
        input_blob_key=row.input_blob_key,
        input_index_key=row.input_index_key,
        input_bytes=row.input_bytes,
        output_expires_after_s=row.output_expires_after_s,
        total=row.total,
        done=row.done,
        expires_ms=row.expires_ms,
        closing_ms=row.finalizing_ms if row.cancelling_ms is None else row.cancelling_ms,
        metadata={} if row.metadata is None else msgspec.json.decode(row.metadata),
        open_jobs=row.open_jobs,
        created_ms=row.created_ms,
        retry_of=row.retry_of,
        retry=retry_of_text(row.retry),
        resume_from=row.resume_from,
        resume_index_key=row.resume_index_key,
        dedupe=bool(row.dedupe),
        copying=bool(row.copying),
        followers=row.followers,
    )
