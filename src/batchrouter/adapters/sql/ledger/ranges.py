"""Ranges and shards as a plan makes them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from batchrouter.adapters.sql.ledger.lanes import lane_id_of
from batchrouter.adapters.sql.rows import Row, seqs_of, seqs_to_bytes
from batchrouter.adapters.sql.schema import batch_lanes, batches, ranges, shards
from batchrouter.adapters.sql.verbs import param
from batchrouter.domain import bitmap
from batchrouter.domain.shard import LaneKey, Plan, Range

RANGES = (
    sa.select(
        batches.c.id,
        ranges.c.range_no,
        ranges.c.first_line,
        ranges.c.lines,
        ranges.c.done,
        ranges.c.output_bytes,
        ranges.c.error_bytes,
        ranges.c.segment_seqs,
        ranges.c.folded,
    )
    .join(batches, batches.c.seq == ranges.c.batch_seq)
    .where(batches.c.id == param("batch"), ranges.c.range_no > param("after"))
    .order_by(ranges.c.range_no)
    .limit(param("limit"))
)


def range_of(row: Row) -> Range:
    batch_id, range_no, first_line, lines, done, output_bytes, error_bytes, seqs, folded = row
    return Range(
        batch_id=batch_id,
        range_no=range_no,
        first_line=first_line,
        lines=lines,
        done=bitmap.from_bytes(done),
        output_bytes=output_bytes,
        error_bytes=error_bytes,
        segment_seqs=seqs_of(seqs),
        folded=folded,
    )


def insert_ranges(tx: sa.Connection, batch_seq: int, planned: Sequence[Range]) -> dict[str, int]:
    """Returns what they change in the batch's row: its lines that are done already."""
    rows = [
        {
            "batch_seq": batch_seq,
            "range_no": each.range_no,
            "first_line": each.first_line,
            "lines": each.lines,
            "done": bitmap.to_bytes(each.done, each.lines),
            "pending": each.lines - each.done.bit_count(),
            "output_bytes": each.output_bytes,
            "error_bytes": each.error_bytes,
            "segment_seqs": seqs_to_bytes(each.segment_seqs),
            "folded": each.folded,
        }
        for each in planned
    ]
    if rows:
        tx.execute(ranges.insert(), rows)
    return {"done": sum(each.done.bit_count() for each in planned)}


def insert_shards(tx: sa.Connection, batch_seq: int, plan: Plan) -> None:
    """The plan's shards, their lanes where those are new, and the lines of each lane."""
    homes = {each.range_no: each for each in plan.ranges}
    lane_ids: dict[LaneKey, int] = {}
    waiting: dict[int, int] = {}
    rows = []
    for shard in plan.shards:
        lane_id = lane_ids.get(shard.lane)
        if lane_id is None:
            lane_id = lane_ids[shard.lane] = lane_id_of(tx, shard.lane)
        home = homes[shard.range_no]
        pending = (shard.members & ~home.done).bit_count()
        waiting[lane_id] = waiting.get(lane_id, 0) + pending
        rows.append(shard_values(batch_seq, shard.range_no, lane_id, shard.members, pending, home.lines))
    if rows:
        tx.execute(shards.insert(), rows)
        tx.execute(
            batch_lanes.insert(),
            [{"batch_seq": batch_seq, "lane_id": lane_id, "pending": lines} for lane_id, lines in waiting.items()],
        )


def shard_values(
    batch_seq: int, range_no: int, lane_id: int, members: int, pending: int, lines: int
) -> dict[str, int | bytes]:
    return {
        "batch_seq": batch_seq,
        "range_no": range_no,
        "lane_id": lane_id,
        "members": bitmap.to_bytes(members, lines),
        "pending": pending,
    }
