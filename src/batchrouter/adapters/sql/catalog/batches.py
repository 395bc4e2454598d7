"""Batches as people see them: create, look, cancel."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import sqlalchemy as sa

from batchrouter.adapters.sql.batch_state import call_jobs, enter, tell
from batchrouter.adapters.sql.catalog.batch_conditions import conditions
from batchrouter.adapters.sql.catalog.files import FILE
from batchrouter.adapters.sql.catalog.quotas import require_room_for_batch
from batchrouter.adapters.sql.catalog.sources import require_sources
from batchrouter.adapters.sql.jobs import jobs_of
from batchrouter.adapters.sql.rows import BATCH_COLUMNS, Row, batch_of, file_of, to_json
from batchrouter.adapters.sql.schema import api_keys, batch_lanes, batches, events, idempotency, lanes, loads
from batchrouter.adapters.sql.verbs import Verbs, param
from batchrouter.domain.batch import Batch, Event, LaneShare, NewBatch
from batchrouter.domain.batch_filter import EVERY, BatchFilter
from batchrouter.domain.job import Job
from batchrouter.domain.lane_health import LaneState
from batchrouter.domain.lifecycle import BATCH_PAUSABLE, BatchEvent, BatchState
from batchrouter.domain.tokens import Tokens
from batchrouter.errors import IllegalTransition
from batchrouter.ports.catalog import Created, Page

KEY_HOLDS_MS = 24 * 60 * 60 * 1000
RESENT_HOLDS_MS = 15 * 60 * 1000

_tenant, _id = param("tenant"), param("id")
_BATCH = sa.select(*BATCH_COLUMNS).where(batches.c.id == _id, batches.c.tenant_id == _tenant)
_BATCH_BY_SEQ = sa.select(*BATCH_COLUMNS).where(batches.c.seq == param("seq"))
_LIST = (
    sa.select(*BATCH_COLUMNS)
    .where(batches.c.seq < param("before"))
    .order_by(batches.c.seq.desc())
    .limit(param("limit"))
)
_BEFORE_ALL = 2**62

_LOCKED = (
    sa.select(batches.c.seq, batches.c.state, batches.c.next_event, batches.c.paused_ms)
    .where(batches.c.id == _id, batches.c.tenant_id == _tenant)
    .with_for_update()
)

_SET_PAUSED = batches.update().where(batches.c.seq == param("batch"))
_BY_KEY = sa.select(idempotency.c.batch_seq, idempotency.c.body_hash, idempotency.c.at_ms).where(
    idempotency.c.tenant_id == _tenant,
    idempotency.c.route == param("route"),
    idempotency.c.key == param("key"),
)
# Of those that bring no key: two that come at once are looked at one after the other.
_IN_TURN = sa.select(api_keys.c.seq).where(api_keys.c.id == param("api_key")).with_for_update(key_share=True)
# Held until the batch is there, which needs the bytes: nobody deletes the file in between.
_SOURCE = FILE.with_for_update(read=True)
_BY_BODY = (
    sa.select(idempotency.c.batch_seq)
    .where(
        idempotency.c.tenant_id == _tenant,
        idempotency.c.route == param("route"),
        idempotency.c.key.is_(None),
        idempotency.c.api_key_id == param("api_key"),
        idempotency.c.body_hash == param("body"),
        idempotency.c.at_ms > param("since"),
    )
    .order_by(idempotency.c.batch_seq.desc())
    .limit(1)
)
_FORGET = idempotency.delete().where(idempotency.c.batch_seq == param("seq"))

_of_batch = batches.c.id == param("batch")
_LOADS = (
    sa.select(
        loads.c.lane_id,
        sa.func.sum(loads.c.in_flight),
        sa.func.sum(loads.c.retrying),
        sa.func.max(loads.c.reason),
        sa.func.min(loads.c.until_ms),
    )
    .join(batches, batches.c.seq == loads.c.batch_seq)
    .where(_of_batch)
    .group_by(loads.c.lane_id)
)
_SHARES = (
    sa.select(
        lanes.c.id,
        lanes.c.provider,
        lanes.c.model,
        lanes.c.mode,
        lanes.c.limit,
        lanes.c.state,
        lanes.c.reason,
        lanes.c.until_ms,
        batch_lanes.c.pending,
        batch_lanes.c.done,
        batch_lanes.c.in_job,
        batch_lanes.c.tokens_input,
        batch_lanes.c.tokens_cached,
        batch_lanes.c.tokens_output,
        batch_lanes.c.tokens_reasoning,
        batch_lanes.c.cost_nano,
        batch_lanes.c.unpriced,
    )
    .select_from(batch_lanes)
    .join(batches, batches.c.seq == batch_lanes.c.batch_seq)
    .join(lanes, lanes.c.id == batch_lanes.c.lane_id)
    .where(_of_batch)
    .order_by(lanes.c.id)
)
_EVENTS = (
    sa.select(events.c.no, events.c.type, events.c.at_ms, events.c.data)
    .join(batches, batches.c.seq == events.c.batch_seq)
    .where(_of_batch, events.c.no > param("after"))
    .order_by(events.c.no)
    .limit(param("limit"))
)


class Batches(Verbs):
    def create_batch(self, new: NewBatch, *, now_ms: int) -> Created:
        """A repeat without a key finds only what was made without one: a client that sends keys sends them again."""
        with self._db.write() as tx:
            known = _made_before(tx, new, now_ms)
            if known is None:
                return Created(_insert(tx, new, now_ms), fresh=True)
            seq, same_body = known
            if not same_body:
                return Created(None, fresh=False, conflict=True)
            return Created(batch_of(tx.execute(_BATCH_BY_SEQ, {"seq": seq}).one()), fresh=False)

    def batch(self, tenant_id: str, batch_id: str) -> Batch | None:
        with self._db.read() as tx:
            row = tx.execute(_BATCH, {"id": batch_id, "tenant": tenant_id}).first()
        return None if row is None else batch_of(row)

    def batches(
        self, tenant_id: str | None, *, after: str | None, limit: int, wanted: BatchFilter = EVERY
    ) -> Page[Batch] | None:
        """Without a filter it is one index scan; with one, all of the tenant's batches may have to be looked at."""
        mine = sa.true() if tenant_id is None else batches.c.tenant_id == tenant_id
        with self._db.read() as tx:
            before: int | None = _BEFORE_ALL
            if after is not None:
                before = tx.execute(sa.select(batches.c.seq).where(batches.c.id == after, mine)).scalar()
            if before is None:
                return None
            listed = _LIST.where(mine, *conditions(wanted))
            rows = tx.execute(listed, {"before": before, "limit": limit + 1}).all()
        return Page(tuple(map(batch_of, rows[:limit])), len(rows) > limit)

    def cancel_batch(self, tenant_id: str, batch_id: str, now_ms: int) -> Batch | None:
        with self._db.write() as tx:
            named = {"id": batch_id, "tenant": tenant_id}
            row = tx.execute(_LOCKED, named).first()
            if row is None:
                return None
            with suppress(IllegalTransition):  # it had begun to close, or had ended: that stands
                enter(tx, row, BatchEvent.CANCEL, now_ms, closing=BatchEvent.CANCEL)
            return batch_of(tx.execute(_BATCH, named).one())

    def pause_batch(self, tenant_id: str, batch_id: str, now_ms: int, *, paused: bool) -> Batch | None:
        with self._db.write() as tx:
            named = {"id": batch_id, "tenant": tenant_id}
            row = tx.execute(_LOCKED, named).first()
            if row is None:
                return None
            if row.state in BATCH_PAUSABLE and (row.paused_ms is not None) is not paused:
                changes = {"paused_ms": now_ms if paused else None, "next_event": row.next_event + 1}
                tx.execute(_SET_PAUSED, {"batch": row.seq, **changes})
                tell(tx, row.seq, row.next_event, "paused" if paused else "resumed", now_ms)
                call_jobs(tx, row.seq, now_ms)
            return batch_of(tx.execute(_BATCH, named).one())

    def lane_shares(self, batch_id: str) -> list[LaneShare]:
        """Lines that a worker holds and has not sent are waiting too; those that a job has are not."""
        with self._db.read() as tx:
            loaded = {lane_id: tuple(sums) for lane_id, *sums in tx.execute(_LOADS, {"batch": batch_id})}
            rows = tx.execute(_SHARES, {"batch": batch_id}).all()
        return [_share_of(row, *loaded.get(row.id, (0, 0, None, None))) for row in rows]

    def jobs(self, batch_id: str) -> list[Job]:
        with self._db.read() as tx:
            return jobs_of(tx, batch_id)

    def events(self, batch_id: str, after: int, limit: int) -> list[Event]:
        with self._db.read() as tx:
            rows = tx.execute(_EVENTS, {"batch": batch_id, "after": after, "limit": limit}).all()
        return [
            Event(batch_id=batch_id, no=no, type=type_, at_ms=at_ms, data=msgspec.json.decode(data))
            for no, type_, at_ms, data in rows
        ]


def _made_before(tx: sa.Connection, new: NewBatch, now_ms: int) -> tuple[int, bool] | None:
    """The batch (by `seq`) that an earlier sending of the same request made, and whether its body was the same."""
    scope = {"tenant": new.tenant_id, "route": new.route}
    if new.idempotency_key is not None:
        row = tx.execute(_BY_KEY, scope | {"key": new.idempotency_key}).first()
        if row is None:
            return None
        if row.at_ms > now_ms - KEY_HOLDS_MS:
            return row.batch_seq, row.body_hash == new.body_hash
        tx.execute(_FORGET, {"seq": row.batch_seq})
        return None
    tx.execute(_IN_TURN, {"api_key": new.api_key_id})
    if new.resent:
        body = {"api_key": new.api_key_id, "body": new.body_hash, "since": now_ms - RESENT_HOLDS_MS}
        seq = tx.execute(_BY_BODY, scope | body).scalar()
        if seq is not None:
            return seq, True
    return None


def _insert(tx: sa.Connection, new: NewBatch, now_ms: int) -> Batch:
    row = tx.execute(_SOURCE, {"id": new.input_file_id, "tenant": new.tenant_id, "now": now_ms}).first()
    source = None if row is None else file_of(row)
    require_sources(tx, new, now_ms)
    if source is not None:
        require_room_for_batch(tx, new.tenant_id, source.lines or 0, source.bytes)
    seq = tx.execute(
        batches.insert().returning(batches.c.seq),
        {
            "id": new.id,
            "tenant_id": new.tenant_id,
            "state": BatchState.VALIDATING,
            "endpoint": new.endpoint,
            "completion_window": new.completion_window,
            "input_file_id": new.input_file_id,
            "metadata": None if new.metadata is None else to_json(new.metadata),
            "output_expires_after_s": new.output_expires_after_s,
            "max_cost_nano": new.max_cost_nano,
            "priority": new.priority,
            "retry_of": new.retry_of,
            "retry": None if new.retry is None else to_json(new.retry),
            "resume_from": new.resume_from,
            "dedupe": int(new.dedupe),
            "created_ms": new.created_ms,
            "expires_ms": new.expires_ms,
            "input_blob_key": None if source is None else source.blob_key,
            "input_index_key": None if source is None else source.index_key,
            "input_bytes": 0 if source is None else source.bytes,
            "next_event": 2,
        },
    ).scalar_one()
    tell(tx, seq, 1, BatchState.VALIDATING, now_ms)
    tx.execute(
        idempotency.insert(),
        {
            "batch_seq": seq,
            "tenant_id": new.tenant_id,
            "route": new.route,
            "key": new.idempotency_key,
            "api_key_id": new.api_key_id,
            "body_hash": new.body_hash,
            "at_ms": now_ms,
        },
    )
    return batch_of(tx.execute(_BATCH_BY_SEQ, {"seq": seq}).one())


def _share_of(row: Row, in_flight: int, retrying: int, reason: str | None, until_ms: int | None) -> LaneShare:
    return LaneShare(
        lane_id=row.id,
        provider=row.provider,
        model=row.model,
        mode=row.mode,
        in_job=row.in_job,
        tokens=Tokens(row.tokens_input, row.tokens_cached, row.tokens_output, row.tokens_reasoning),
        cost_nano=row.cost_nano,
        unpriced=row.unpriced,
        waiting=max(0, row.pending - row.in_job - in_flight - retrying),
        in_flight=in_flight,
        retrying=retrying,
        done=row.done,
        limit=row.limit,
        state=row.state if reason is None else _held_back(until_ms),
        reason=row.reason if reason is None else reason,
        until_ms=row.until_ms if reason is None else until_ms,
    )


def _held_back(until_ms: int | None) -> str:
    """The state of a batch that waits in a lane by itself: until it is tried again, or for its tenant's other calls."""
    return LaneState.WAITING.value if until_ms is None else LaneState.PAUSED.value
