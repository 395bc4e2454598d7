"""Native jobs: who steps them, which shards they have, and what becomes of those.

A verb that moves lines locks the batch row first, which keeps every settle of that batch out, then shards by id, and
the job's row last.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from batchrouter.adapters.sql.jobs import jobs_of
from batchrouter.adapters.sql.ledger.lanes import lane_id_of
from batchrouter.adapters.sql.ledger.presence import require_lease
from batchrouter.adapters.sql.ledger.ranges import shard_values
from batchrouter.adapters.sql.ledger.shards import ADD_TO_LANE, lane_change
from batchrouter.adapters.sql.rows import (
    JOB_COLUMNS,
    LANE_COLUMNS,
    Row,
    job_of,
    job_values,
    lane_of,
    retry_of_text,
    to_json,
)
from batchrouter.adapters.sql.schema import batches, jobs, lanes, ranges, shards
from batchrouter.adapters.sql.verbs import Verbs, chunks, many, param
from batchrouter.domain import bitmap
from batchrouter.domain.job import Enqueued, Job, JobDuty, JobNote, JobShard
from batchrouter.domain.lifecycle import BatchEvent, BatchState, JobEvent, JobState, job_step
from batchrouter.domain.shard import LaneKey
from batchrouter.errors import StaleLease, StoreError

_TIMES = {JobEvent.CREATE: "submitted_ms", JobEvent.CANCEL: "cancelling_ms"}
_NOTED = ("sent_ms", "ext_id", "completed", "failed", "polls", "tries", "reason")

_open = jobs.c.open == sa.true()
_BATCH = (
    sa.select(batches.c.seq, batches.c.state, batches.c.paused_ms)
    .where(batches.c.id == param("batch"))
    .with_for_update()
)
_HELD = (
    sa.select(shards.c.id, shards.c.pending, shards.c.epoch)
    .where(
        shards.c.id.in_(many("ids")),
        shards.c.batch_seq == param("batch"),
        shards.c.lane_id == param("lane"),
        shards.c.open == sa.true(),
        shards.c.owner == param("worker"),
    )
    .order_by(shards.c.id)
    .with_for_update()
)
_HAND_OVER = shards.update().where(shards.c.id.in_(many("ids"))).values(owner=param("job"), epoch=shards.c.epoch + 1)
_DUTY_COLUMNS = (
    jobs.c.duty_owner, jobs.c.duty_epoch, jobs.c.seq, batches.c.id.label("batch_id"), batches.c.tenant_id,
    batches.c.state.label("batch_state"), batches.c.closing, batches.c.sealed, batches.c.endpoint, batches.c.expires_ms,
    batches.c.total, batches.c.done, batches.c.input_blob_key, batches.c.input_index_key, batches.c.paused_ms,
    batches.c.followers, batches.c.retry,
)  # fmt: skip
TO_STEP = (
    _open & (jobs.c.next_ms <= param("now")) & (jobs.c.duty_owner.is_(None) | (jobs.c.duty_owner == param("worker")))
)
"""Jobs whose next step is due at `now`, for `worker` or anybody."""
_DUE = (
    sa.select(*JOB_COLUMNS, *LANE_COLUMNS, *_DUTY_COLUMNS)
    .select_from(jobs)
    .join(batches, batches.c.seq == jobs.c.batch_seq)
    .join(lanes, lanes.c.id == jobs.c.lane_id)
    .where(TO_STEP)
    .order_by(jobs.c.next_ms, jobs.c.seq)
    .limit(param("limit"))
    .with_for_update(skip_locked=True, of=jobs)
)
_TAKE = (
    jobs.update().where(jobs.c.seq == param("job")).values(duty_owner=param("worker"), duty_epoch=jobs.c.duty_epoch + 1)
)
_JOB = sa.select(*JOB_COLUMNS, jobs.c.duty_owner, jobs.c.duty_epoch).where(jobs.c.id == param("job")).with_for_update()
_ADD = jobs.insert()
_CHANGE = jobs.update().where(jobs.c.id == param("job"))

_SHARDS = (
    sa.select(
        shards.c.id, shards.c.epoch, shards.c.range_no, ranges.c.first_line, ranges.c.lines, shards.c.members,
        ranges.c.done, shards.c.open,
    )
    .select_from(shards)
    .join(ranges, (ranges.c.batch_seq == shards.c.batch_seq) & (ranges.c.range_no == shards.c.range_no))
    .where(shards.c.owner == param("job"))
    .order_by(shards.c.range_no, shards.c.id)
)  # fmt: skip
_LOCKED_SHARDS = _SHARDS.order_by(None).order_by(shards.c.id).with_for_update(of=shards)
_CLOSE = shards.update().where(shards.c.owner == param("job"), shards.c.open == sa.true()).values(open=False)
_SHUT = shards.update().where(shards.c.owner == param("job")).values(open=False, owner=None, epoch=shards.c.epoch + 1)
_ENQUEUED = sa.select(
    sa.func.count(), sa.func.coalesce(sa.func.sum(jobs.c.lines), 0), sa.func.coalesce(sa.func.sum(jobs.c.tokens), 0)
).where(_open, jobs.c.lane_id == param("lane"))


class Jobs(Verbs):
    def intend(self, worker: str, job: Job, shards: Sequence[tuple[int, int]], now_ms: int) -> bool:
        """Also raises StaleLease for a shard of another batch or lane than the job's, and StoreError for a job that
        exists."""
        with self._db.write() as tx:
            batch = tx.execute(_BATCH, {"batch": job.batch_id}).first()
            if batch is None or batch.state != BatchState.IN_PROGRESS or batch.paused_ms is not None:
                return False
            pending = _hand_over(tx, batch.seq, worker, job, shards)
            tx.execute(ADD_TO_LANE, lane_change(batch.seq, job.lane_id, 0, pending))
            tx.execute(_ADD, job_values(batch.seq, job))
            return True

    def take_jobs(self, worker: str, now_ms: int, limit: int, apart: Collection[str] = ()) -> list[JobDuty]:
        with self._db.write() as tx:
            require_lease(tx, worker, now_ms)
            told = tx.execute(_DUE, {"worker": worker, "now": now_ms, "limit": limit + len(apart)}).all()
            rows = [row for row in told if row[0] not in apart][:limit]
            if rows:
                tx.execute(_TAKE, [{"job": row.seq, "worker": worker} for row in rows])
        return [_taken(row) for row in rows]

    def note_job(self, worker: str, duty: JobDuty, event: JobEvent | None, note: JobNote, now_ms: int) -> Job:
        """Raises StoreError for COLLECT and ABANDON, which are `end_job`'s. A step that began before its batch went on
        to another state knows nothing of that, and does not put off the next."""
        with self._db.write() as tx:
            batch = _batch(tx, duty)
            job = _held(tx, worker, duty)
            changes = {name: getattr(note, name) for name in _NOTED if getattr(note, name) is not None}
            changes["next_ms"] = note.next_ms if batch.state == duty.batch_state else min(note.next_ms, now_ms)
            if note.data is not None:
                changes["data"] = to_json(note.data)
            if event is not None:
                if event not in _TIMES:
                    raise StoreError(f"a job ends by `end_job`, not by a note of '{event}'")
                changes |= {"state": job_step(JobState(job.state), event), _TIMES[event]: now_ms}
            if event is not None or note.sent_ms is None:
                changes |= _free(job)
            tx.execute(_CHANGE, {"job": duty.job.id, **changes})
            return job_of(duty.job.batch_id, tx.execute(_JOB, {"job": duty.job.id}).one())

    def overtake(self, worker: str, duty: JobDuty, lane: LaneKey, now_ms: int) -> int:
        with self._db.write() as tx:
            batch = _batch(tx, duty)
            rows = tx.execute(_LOCKED_SHARDS, {"job": duty.job.id}).all()
            job = _held(tx, worker, duty)
            if batch.state != BatchState.IN_PROGRESS:
                return 0
            moved = _move_on(tx, batch.seq, rows, job.lane_id, lane)
            if moved:
                tx.execute(_CHANGE, {"job": duty.job.id, "twice": job.twice + moved})
            tx.execute(_CLOSE, {"job": duty.job.id})
            return moved

    def end_job(self, worker: str, duty: JobDuty, event: JobEvent, to: LaneKey, reason: str | None, now_ms: int) -> int:
        """Raises StoreError for CREATE and CANCEL, which are `note_job`'s."""
        with self._db.write() as tx:
            batch = _batch(tx, duty)
            rows = tx.execute(_LOCKED_SHARDS, {"job": duty.job.id}).all()
            job = _held(tx, worker, duty)
            if event in _TIMES:
                raise StoreError(f"a job is ended by '{JobEvent.COLLECT}' or '{JobEvent.ABANDON}', not by '{event}'")
            state = job_step(JobState(job.state), event)
            goes_on = batch.state == BatchState.IN_PROGRESS
            moved = _move_on(tx, batch.seq, rows, job.lane_id, to if goes_on else None)
            tx.execute(_SHUT, {"job": duty.job.id})
            changes = {"state": state, "open": False, "ended_ms": now_ms, **_free(job)}
            if reason is not None:
                changes["reason"] = reason
            tx.execute(_CHANGE, {"job": duty.job.id, **changes})
            return moved

    def job_shards(self, job_id: str) -> list[JobShard]:
        with self._db.read() as tx:
            rows = tx.execute(_SHARDS, {"job": job_id}).all()
        return [
            JobShard(
                shard_id=id_,
                epoch=epoch,
                range_no=range_no,
                first_line=first_line,
                lines=lines,
                members=bitmap.from_bytes(members),
                done=bitmap.from_bytes(done),
                open=is_open,
            )
            for id_, epoch, range_no, first_line, lines, members, done, is_open in rows
        ]

    def enqueued(self, lane_id: int) -> Enqueued:
        with self._db.read() as tx:
            return Enqueued(*tx.execute(_ENQUEUED, {"lane": lane_id}).one())

    def jobs(self, batch_id: str) -> list[Job]:
        with self._db.read() as tx:
            return jobs_of(tx, batch_id)


def _hand_over(tx: sa.Connection, batch_seq: int, worker: str, job: Job, pairs: Sequence[tuple[int, int]]) -> int:
    """Give the worker's shards to the job; returns how many lines are pending in them."""
    pending = 0
    for part in chunks(sorted(set(pairs))):
        ids = [shard_id for shard_id, _ in part]
        rows = tx.execute(_HELD, {"ids": ids, "batch": batch_seq, "lane": job.lane_id, "worker": worker}).all()
        gone = sorted(set(part) - {(row.id, row.epoch) for row in rows})
        if gone:
            raise StaleLease(f"shards {[shard_id for shard_id, _ in gone]} are no longer worker {worker}'s as told")
        tx.execute(_HAND_OVER, {"ids": ids, "job": job.id})
        pending += sum(row.pending for row in rows)
    return pending


def _move_on(tx: sa.Connection, batch_seq: int, rows: Sequence[Row], lane_id: int, to: LaneKey | None) -> int:
    """The pending lines of a job's open shards leave it and its lane: each range's for one free shard of the lane
    `to`, or for nowhere. Returns how many found a place."""
    leaving: dict[int, tuple[int, int]] = {}
    for row in rows:
        pending = bitmap.from_bytes(row.members) & ~bitmap.from_bytes(row.done) if row.open else 0
        if pending:
            members, _ = leaving.get(row.range_no, (0, 0))
            leaving[row.range_no] = members | pending, row.lines
    if not leaving:
        return 0
    count = sum(members.bit_count() for members, _ in leaving.values())
    tx.execute(ADD_TO_LANE, lane_change(batch_seq, lane_id, -count, -count))
    if to is None:
        return 0
    to_id = lane_id_of(tx, to)
    free = [
        shard_values(batch_seq, range_no, to_id, members, members.bit_count(), lines)
        for range_no, (members, lines) in sorted(leaving.items())
    ]
    tx.execute(shards.insert(), free)
    tx.execute(ADD_TO_LANE, lane_change(batch_seq, to_id, count))
    return count


def _batch(tx: sa.Connection, duty: JobDuty) -> Row:
    row = tx.execute(_BATCH, {"batch": duty.job.batch_id}).first()
    if row is None:
        raise StaleLease(f"batch {duty.job.batch_id} is gone")
    return row


def _held(tx: sa.Connection, worker: str, duty: JobDuty) -> Row:
    """The job of a duty that is still this worker's."""
    row = tx.execute(_JOB, {"job": duty.job.id}).first()
    if row is None or row.duty_owner != worker or row.duty_epoch != duty.duty_epoch:
        raise StaleLease(f"the duty on job {duty.job.id} is no longer worker {worker}'s")
    return row


def _free(job: Row) -> dict[str, Any]:
    """The duty is nobody's, under an epoch that nobody was told."""
    return {"duty_owner": None, "duty_epoch": job.duty_epoch + 1}


def _taken(row: Row) -> JobDuty:
    """The duty as it is after `_TAKE`."""
    after = len(JOB_COLUMNS)
    return JobDuty(
        job=job_of(row.batch_id, row),
        duty_epoch=row.duty_epoch + 1,
        lane=lane_of(row[after : after + len(LANE_COLUMNS)]),
        tenant_id=row.tenant_id,
        batch_state=BatchState(row.batch_state),
        closing=None if row.closing is None else BatchEvent(row.closing),
        sealed=row.sealed,
        endpoint=row.endpoint,
        deadline_ms=row.expires_ms,
        pending=max(0, row.total - row.done - row.followers),
        input_blob_key=row.input_blob_key or "",
        input_index_key=row.input_index_key or "",
        paused=row.paused_ms is not None,
        retry=retry_of_text(row.retry),
    )
