"""Shards: who may send which lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from batchrouter.adapters.sql.database import upsert
from batchrouter.adapters.sql.ledger.lanes import lane_id_of
from batchrouter.adapters.sql.ledger.presence import require_lease
from batchrouter.adapters.sql.ledger.ranges import shard_values
from batchrouter.adapters.sql.rows import Row, retry_of_text
from batchrouter.adapters.sql.schema import batch_lanes, batches, ranges, shards, tenants
from batchrouter.adapters.sql.verbs import Verbs, chunks, many, param
from batchrouter.domain import bitmap
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.priority import Priority
from batchrouter.domain.settlement import NO_GAIN, LaneGain
from batchrouter.domain.shard import Claim, Move, WaitingGroup
from batchrouter.errors import StaleLease

_is_open = shards.c.open == sa.true()
_is_free = _is_open & shards.c.owner.is_(None)
_weight = sa.func.coalesce(tenants.c.weight, sa.literal_column("1"))

_groups = (
    sa.select(
        shards.c.batch_seq,
        shards.c.lane_id,
        sa.func.count().label("shards"),
        sa.func.sum(shards.c.pending).label("lines"),
    )
    .where(_is_free)
    .group_by(shards.c.batch_seq, shards.c.lane_id)
    .subquery()
)
_WAITING = (
    sa.select(
        _groups.c.lane_id, batches.c.id, batches.c.tenant_id, _weight, batches.c.expires_ms, _groups.c.shards,
        _groups.c.lines, batches.c.priority,
    )
    .select_from(_groups)
    .join(batches, batches.c.seq == _groups.c.batch_seq)
    .outerjoin(tenants, tenants.c.id == batches.c.tenant_id)
    .where(batches.c.state == BatchState.IN_PROGRESS, batches.c.paused_ms.is_(None))
    .order_by(_groups.c.batch_seq, _groups.c.lane_id)
)  # fmt: skip

# One shard with all that a claim tells of it. In the order of the columns that `_claim_of` reads.
_CLAIM = (
    sa.select(
        shards.c.id, shards.c.epoch, shards.c.lane_id, shards.c.range_no, shards.c.members, shards.c.owner,
        shards.c.batch_seq, shards.c.pending, batches.c.id.label("batch_id"), batches.c.tenant_id,
        _weight.label("weight"), batches.c.expires_ms, batches.c.endpoint, batches.c.input_blob_key,
        batches.c.input_index_key, batches.c.max_cost_nano, batches.c.cost_nano, ranges.c.first_line,
        ranges.c.lines, ranges.c.done, batches.c.priority, tenants.c.max_in_flight, batches.c.retry,
        batches.c.resume_from,
    )
    .select_from(shards)
    .join(batches, batches.c.seq == shards.c.batch_seq)
    .join(ranges, (ranges.c.batch_seq == shards.c.batch_seq) & (ranges.c.range_no == shards.c.range_no))
    .outerjoin(tenants, tenants.c.id == batches.c.tenant_id)
    .where(_is_open)
)  # fmt: skip
_FREE_IN_LANE = (
    sa.select(shards.c.id)
    .where(_is_free, shards.c.batch_seq == param("batch"), shards.c.lane_id == param("lane"))
    .order_by(shards.c.range_no, shards.c.id)
    .limit(param("count"))
    .with_for_update(skip_locked=True)
)
# Rows are locked by one statement and read by the next, which sees the done bits of that moment.
_LOCK = sa.select(shards.c.id).where(shards.c.id.in_(many("ids"))).order_by(shards.c.id).with_for_update()
_LOCK_BATCHES = (
    sa.select(batches.c.seq)
    .where(batches.c.seq.in_(sa.select(shards.c.batch_seq).where(shards.c.id.in_(many("ids")))))
    .order_by(batches.c.seq)
    .with_for_update()
)
_BY_ID = _CLAIM.where(shards.c.id.in_(many("ids"))).order_by(shards.c.range_no, shards.c.id)
_HELD = _CLAIM.where(shards.c.owner == param("worker")).order_by(shards.c.id)

_SEQ = sa.select(batches.c.seq).where(
    batches.c.id == param("batch"), batches.c.state == BatchState.IN_PROGRESS, batches.c.paused_ms.is_(None)
)
_TAKE = shards.update().where(shards.c.id == param("shard")).values(owner=param("worker"), epoch=shards.c.epoch + 1)
_SHUT = shards.update().where(shards.c.id == param("shard")).values(owner=None, epoch=shards.c.epoch + 1, open=False)
_GIVE_BACK = (
    shards.update()
    .where(
        shards.c.id == param("shard"),
        _is_open,
        shards.c.owner == param("worker"),
        shards.c.epoch == param("held"),
    )
    .values(owner=None, epoch=shards.c.epoch + 1, open=shards.c.pending > 0)
)
_SHRINK = (
    shards.update()
    .where(shards.c.id == param("shard"))
    .values(
        members=param("left"),
        pending=param("left_pending"),
        epoch=param("new_epoch"),
        owner=param("new_owner"),
        open=param("still_open"),
    )
)
_add = upsert(batch_lanes)
_sums = [column for column in batch_lanes.c if not column.primary_key]
ADD_TO_LANE = _add.on_conflict_do_update(
    index_elements=[batch_lanes.c.batch_seq, batch_lanes.c.lane_id],
    set_={column.name: column + _add.excluded[column.name] for column in _sums},
)
"""Adds a `lane_change` to the batch's lines in a lane; its row is made where there is none."""


class Shards(Verbs):
    def waiting(self, now_ms: int) -> list[WaitingGroup]:
        """Of batches past their window too, until somebody closes them."""
        with self._db.read() as tx:
            return waiting_groups(tx)

    def claim(self, worker: str, lane_id: int, batch_id: str, count: int, now_ms: int) -> list[Claim]:
        with self._db.write() as tx:
            require_lease(tx, worker, now_ms)
            seq = tx.execute(_SEQ, {"batch": batch_id}).scalar()
            claims: list[Claim] = []
            while seq is not None and len(claims) < count:
                missing = count - len(claims)
                ids = tx.execute(_FREE_IN_LANE, {"batch": seq, "lane": lane_id, "count": missing}).scalars().all()
                rows = [row for part in chunks(ids) for row in tx.execute(_BY_ID, {"ids": part})]
                empty = [row for row in rows if not _pending(row)]
                taken = [row for row in rows if _pending(row)]
                if empty:
                    tx.execute(_SHUT, [{"shard": row.id} for row in empty])
                if taken:
                    tx.execute(_TAKE, [{"shard": row.id, "worker": worker} for row in taken])
                claims += [_claim_of(row, row.epoch + 1, _pending(row)) for row in taken]
                if not empty:
                    break
            return claims

    def release(self, worker: str, shards: Sequence[tuple[int, int]]) -> None:
        if not shards:
            return
        with self._db.write() as tx:
            tx.execute(
                _GIVE_BACK, [{"shard": shard, "worker": worker, "held": epoch} for shard, epoch in sorted(shards)]
            )

    def held(self, worker: str) -> list[Claim]:
        with self._db.read() as tx:
            return [_claim_of(row, row.epoch, _pending(row)) for row in tx.execute(_HELD, {"worker": worker})]

    def move(self, worker: str, moves: Sequence[Move], now_ms: int) -> list[Claim]:
        """Several moves out of one shard name the same epoch and hear the same claim. Lines that are done, or are no
        members, are left out; an old shard with nothing pending is closed."""
        with self._db.write() as tx:
            held = {row.id: row for row in _lock(tx, {move.shard_id for move in moves})}
            for move in moves:
                row = held.get(move.shard_id)
                if row is None or row.owner != worker or row.epoch != move.epoch:
                    raise StaleLease(f"shard {move.shard_id} is no longer worker {worker}'s under epoch {move.epoch}")
            left = {shard_id: bitmap.from_bytes(row.members) for shard_id, row in held.items()}
            for move in moves:
                row = held[move.shard_id]
                leaving = move.members & left[row.id] & ~bitmap.from_bytes(row.done)
                if leaving:
                    left[row.id] &= ~leaving
                    _open_shard(tx, row, lane_id_of(tx, move.lane), leaving)
            claims = {shard_id: _shrink(tx, row, left[shard_id]) for shard_id, row in held.items()}
            return [claims[move.shard_id] for move in moves]


def waiting_groups(tx: sa.Connection) -> list[WaitingGroup]:
    return [
        WaitingGroup(
            lane_id=lane_id,
            batch_id=batch_id,
            tenant_id=tenant_id,
            weight=weight,
            deadline_ms=expires_ms,
            shards=count,
            lines=lines,
            priority=Priority(priority),
        )
        for lane_id, batch_id, tenant_id, weight, expires_ms, count, lines, priority in tx.execute(_WAITING)
    ]


def _lock(tx: sa.Connection, ids: Iterable[int]) -> list[Row]:
    """The batches first, which keeps every settle of them out: no line becomes done while it moves."""
    parts = list(chunks(sorted(ids)))
    for lock in (_LOCK_BATCHES, _LOCK):
        for part in parts:
            tx.execute(lock, {"ids": part})
    return [row for part in parts for row in tx.execute(_BY_ID, {"ids": part})]


def _pending(row: Row) -> int:
    return bitmap.from_bytes(row.members) & ~bitmap.from_bytes(row.done)


def _open_shard(tx: sa.Connection, old: Row, lane_id: int, members: int) -> None:
    """A free shard of the same range, in another lane; its lines leave the old shard's."""
    count = members.bit_count()
    tx.execute(shards.insert(), shard_values(old.batch_seq, old.range_no, lane_id, members, count, old.lines))
    tx.execute(
        ADD_TO_LANE,
        [
            lane_change(old.batch_seq, old.lane_id, -count),
            lane_change(old.batch_seq, lane_id, count),
        ],
    )


def lane_change(
    batch_seq: int, lane_id: int, pending: int, in_job: int = 0, gain: LaneGain = NO_GAIN
) -> dict[str, int]:
    """The values of `ADD_TO_LANE`: what is to be added."""
    return {
        "batch_seq": batch_seq,
        "lane_id": lane_id,
        "pending": pending,
        "done": gain.lines,
        "in_job": in_job,
        "tokens_input": gain.tokens.input,
        "tokens_cached": gain.tokens.cached,
        "tokens_output": gain.tokens.output,
        "tokens_reasoning": gain.tokens.reasoning,
        "cost_nano": gain.cost_nano,
        "unpriced": gain.unpriced,
    }


def _shrink(tx: sa.Connection, row: Row, members: int) -> Claim:
    """What the mover goes on with. A closed shard gets an epoch beyond the one told."""
    pending = members & ~bitmap.from_bytes(row.done)
    epoch = row.epoch + 1
    tx.execute(
        _SHRINK,
        {
            "shard": row.id,
            "left": bitmap.to_bytes(members, row.lines),
            "left_pending": pending.bit_count(),
            "new_epoch": epoch if pending else epoch + 1,
            "new_owner": row.owner if pending else None,
            "still_open": pending > 0,
        },
    )
    return _claim_of(row, epoch, pending)


def _claim_of(row: Row, epoch: int, pending: int) -> Claim:
    return Claim(
        shard_id=row.id,
        epoch=epoch,
        batch_id=row.batch_id,
        tenant_id=row.tenant_id,
        weight=row.weight,
        deadline_ms=row.expires_ms,
        endpoint=row.endpoint,
        lane_id=row.lane_id,
        range_no=row.range_no,
        first_line=row.first_line,
        lines=row.lines,
        pending=pending,
        input_blob_key=row.input_blob_key or "",
        input_index_key=row.input_index_key or "",
        max_cost_nano=row.max_cost_nano,
        cost_nano=row.cost_nano,
        priority=Priority(row.priority),
        max_in_flight=row.max_in_flight,
        retry=retry_of_text(row.retry),
        after_another=row.retry is not None or row.resume_from is not None,
    )
