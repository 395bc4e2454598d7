"""Settling a segment: the one transaction in which a line becomes done. The hottest verb of the store.

Statements are made once, with named parameters, so that SQLAlchemy finds them compiled; rows that are many are changed
in one call of the driver.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from batchrouter.adapters.sql.ledger.shards import ADD_TO_LANE, lane_change
from batchrouter.adapters.sql.rows import Row
from batchrouter.adapters.sql.schema import batches, jobs, ranges, segments, shards
from batchrouter.adapters.sql.verbs import Verbs, chunks, many, param
from batchrouter.domain import bitmap
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.outcome import GAP_SHARD, RECORD
from batchrouter.domain.settlement import NO_GAIN, RangeFence, Settlement, ShardFence, admit
from batchrouter.domain.shard import SegmentDraft, Settled

HOME = struct.Struct("<4xIQ44x")
"""A record of `domain.outcome`, of which only range and shard are read."""

_BATCH = (
    sa.select(
        batches.c.seq, batches.c.state, batches.c.planned, batches.c.sealed, batches.c.total, batches.c.done,
        batches.c.completed, batches.c.failed, batches.c.tokens_input, batches.c.tokens_cached,
        batches.c.tokens_output, batches.c.tokens_reasoning, batches.c.cost_nano, batches.c.unpriced,
        batches.c.model, batches.c.next_seq, batches.c.duty_owner, batches.c.duty_epoch, batches.c.invalid_output,
        batches.c.reused, batches.c.copying, batches.c.followers,
    )
    .where(batches.c.id == param("id"))
    .with_for_update()
)  # fmt: skip
_RANGES = (
    sa.select(
        ranges.c.range_no, ranges.c.first_line, ranges.c.lines, ranges.c.done, ranges.c.segment_seqs,
        ranges.c.pending, ranges.c.output_bytes, ranges.c.error_bytes,
    )
    .where(ranges.c.batch_seq == param("batch"), ranges.c.range_no.in_(many("nos")))
    .order_by(ranges.c.range_no)
    .with_for_update()
)  # fmt: skip
_in_job = sa.select(jobs.c.id).where(jobs.c.id == shards.c.owner).correlate(shards).exists()
_SHARD = (
    sa.select(
        shards.c.id, shards.c.epoch, shards.c.range_no, shards.c.members, shards.c.lane_id, shards.c.pending,
        shards.c.open, _in_job.label("in_job"),
    )
    .where(shards.c.batch_seq == param("batch"))
    .order_by(shards.c.id)
    .with_for_update(of=shards)
)  # fmt: skip
_SHARDS = _SHARD.where(shards.c.id.in_(many("ids")))
_OPEN_SHARDS = _SHARD.where(shards.c.range_no.in_(many("nos")), shards.c.open == sa.true())
_SET_RANGE = (
    ranges.update()
    .where(ranges.c.batch_seq == param("batch"), ranges.c.range_no == param("no"))
    .values(
        done=param("new_done"),
        pending=param("new_pending"),
        output_bytes=param("new_output_bytes"),
        error_bytes=param("new_error_bytes"),
        segment_seqs=param("new_seqs"),
    )
)
_SET_SHARD = shards.update().where(shards.c.id == param("shard")).values(pending=param("new_pending"))
_ADD_SEGMENT = segments.insert()
_SET_BATCH = batches.update().where(batches.c.seq == param("batch"))
_SEQ = struct.Struct("<I")


class Settling(Verbs):
    def settle(self, worker: str, draft: SegmentDraft, now_ms: int) -> Settled:
        """A batch that is gone reads `failed`, not drained. The batch's model is the upstream's word only where all
        its lines name one model (the plan said so). A worker whose lease has lapsed may settle as long as nobody took
        its shards: what was paid for counts."""
        homes = set(HOME.iter_unpack(draft.records))
        with self._db.write() as tx:
            batch = tx.execute(_BATCH, {"id": draft.batch_id}).first()
            if batch is None:
                return Settled(seq=None, admitted=0, drained=False, state=BatchState.FAILED)
            range_rows = _range_rows(tx, batch.seq, {range_no for range_no, _ in homes})
            shard_rows = _shard_rows(tx, batch.seq, {shard for _, shard in homes if shard != GAP_SHARD})
            settlement = admit(
                draft.records,
                {row.id: ShardFence(row.epoch, row.range_no, bitmap.from_bytes(row.members)) for row in shard_rows},
                {
                    range_no: RangeFence(row.first_line, row.lines, bitmap.from_bytes(row.done))
                    for range_no, row in range_rows.items()
                },
                _gap_epoch(batch, worker, draft),
                draft.costs,
            )
            done = batch.done + settlement.admitted.bit_count()
            if settlement.admitted:
                _set_ranges(tx, batch, range_rows, settlement)
                if not all(row.open for row in shard_rows):
                    shard_rows = _open_rows(tx, batch.seq, settlement.ranges)
                _set_shards(tx, batch, shard_rows, range_rows, settlement)
                _add_segment(tx, batch, draft, settlement, now_ms)
                _set_batch(tx, batch, draft, settlement, done)
        return Settled(
            seq=batch.next_seq if settlement.admitted else None,
            admitted=settlement.admitted,
            drained=batch.planned and done + batch.followers >= batch.total,
            state=BatchState(batch.state),
        )


def _range_rows(tx: sa.Connection, batch_seq: int, nos: set[int]) -> dict[int, Row]:
    parts = chunks(sorted(nos))
    return {row.range_no: row for part in parts for row in tx.execute(_RANGES, {"batch": batch_seq, "nos": part})}


def _shard_rows(tx: sa.Connection, batch_seq: int, ids: set[int]) -> list[Row]:
    return [row for part in chunks(sorted(ids)) for row in tx.execute(_SHARDS, {"batch": batch_seq, "ids": part})]


def _open_rows(tx: sa.Connection, batch_seq: int, nos: Iterable[int]) -> list[Row]:
    """All that have a say in these ranges: a late result of an overtaken job is by the name of a closed shard, while
    the line waits in another."""
    parts = chunks(sorted(nos))
    return [row for part in parts for row in tx.execute(_OPEN_SHARDS, {"batch": batch_seq, "nos": part})]


def _gap_epoch(batch: Row, worker: str, draft: SegmentDraft) -> int | None:
    """The epoch under which gaps count: the current duty's, after `seal` or while answers are copied, and only from
    the one who holds it."""
    current = (batch.sealed or batch.copying) and batch.duty_owner == worker and batch.duty_epoch == draft.duty_epoch
    return draft.duty_epoch if current else None


def _set_ranges(tx: sa.Connection, batch: Row, rows: dict[int, Row], settlement: Settlement) -> None:
    seq = _SEQ.pack(batch.next_seq)
    tx.execute(
        _SET_RANGE,
        [
            {
                "batch": batch.seq,
                "no": range_no,
                "new_done": bitmap.to_bytes(bitmap.from_bytes(rows[range_no].done) | gain.done, rows[range_no].lines),
                "new_pending": rows[range_no].pending - gain.done.bit_count(),
                "new_output_bytes": rows[range_no].output_bytes + gain.output_bytes,
                "new_error_bytes": rows[range_no].error_bytes + gain.error_bytes,
                "new_seqs": rows[range_no].segment_seqs + seq,
            }
            for range_no, gain in settlement.ranges.items()
        ],
    )


def _set_shards(tx: sa.Connection, batch: Row, rows: list[Row], ranges: dict[int, Row], settlement: Settlement) -> None:
    """What is left to do in each shard and lane. Only open shards have a say: closed ones count for nothing."""
    changed: list[dict[str, Any]] = []
    lanes = {lane_id: [0, 0] for lane_id in settlement.lanes}
    for row in rows:
        gain = settlement.ranges.get(row.range_no)
        if gain is None or not row.open:
            continue
        done = bitmap.from_bytes(ranges[row.range_no].done) | gain.done
        pending = (bitmap.from_bytes(row.members) & ~done).bit_count()
        if pending != row.pending:
            changed.append({"shard": row.id, "new_pending": pending})
            lane = lanes.setdefault(row.lane_id, [0, 0])
            lane[0] += pending - row.pending
            if row.in_job:
                lane[1] += pending - row.pending
    if changed:
        tx.execute(_SET_SHARD, changed)
    if lanes:
        tx.execute(
            ADD_TO_LANE,
            [
                lane_change(batch.seq, lane_id, pending, in_job, settlement.lanes.get(lane_id, NO_GAIN))
                for lane_id, (pending, in_job) in sorted(lanes.items())
            ],
        )


def _add_segment(tx: sa.Connection, batch: Row, draft: SegmentDraft, settlement: Settlement, now_ms: int) -> None:
    count = len(draft.records) // RECORD.size
    tx.execute(
        _ADD_SEGMENT,
        {
            "batch_seq": batch.seq,
            "seq": batch.next_seq,
            "length": draft.length,
            "count": count,
            "admitted": bitmap.to_bytes(settlement.admitted, count),
            "blob_key": draft.blob_key,
            "data": draft.data,
            "at_ms": now_ms,
        },
    )


def _set_batch(tx: sa.Connection, batch: Row, draft: SegmentDraft, settlement: Settlement, done: int) -> None:
    tokens = settlement.tokens
    told = batch.model is not None and draft.model is not None
    tx.execute(
        _SET_BATCH,
        {
            "batch": batch.seq,
            "done": done,
            "completed": batch.completed + settlement.completed,
            "failed": batch.failed + settlement.failed,
            "tokens_input": batch.tokens_input + tokens.input,
            "tokens_cached": batch.tokens_cached + tokens.cached,
            "tokens_output": batch.tokens_output + tokens.output,
            "tokens_reasoning": batch.tokens_reasoning + tokens.reasoning,
            "cost_nano": batch.cost_nano + settlement.cost_nano,
            "unpriced": batch.unpriced + settlement.unpriced,
            "invalid_output": batch.invalid_output + settlement.invalid_output,
            "reused": batch.reused + settlement.reused,
            "model": draft.model if told else batch.model,
            "next_seq": batch.next_seq + 1,
        },
    )
