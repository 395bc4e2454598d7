"""Reading finished lines: `ports.results.Results` on SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from batchrouter.adapters.sql.rows import BATCH_COLUMNS, LANE_COLUMNS, Row, batch_of, lane_of, seqs_of
from batchrouter.adapters.sql.schema import batches, files, lanes, ranges, samples, segments
from batchrouter.adapters.sql.verbs import Verbs, chunks, many, param
from batchrouter.domain import bitmap
from batchrouter.domain.outcome import RECORD, TAIL_SIZE
from batchrouter.domain.shard import LaneKey, Sample
from batchrouter.ports.results import Pulse, RangeView, SegmentView, Subject


def _there(file_id: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether a file of the batch's tenant can be read at `now`."""
    return (
        sa.select(files.c.seq)
        .where(
            files.c.id == file_id,
            files.c.tenant_id == batches.c.tenant_id,
            files.c.deleted_ms.is_(None),
            files.c.expires_ms.is_(None) | (files.c.expires_ms > param("now")),
        )
        .correlate(batches)
        .exists()
    )


_SUBJECT = sa.select(
    *BATCH_COLUMNS,
    (batches.c.output_file_id.is_(None) | _there(batches.c.output_file_id)).label("output"),
    (batches.c.error_file_id.is_(None) | _there(batches.c.error_file_id)).label("error"),
    _there(batches.c.input_file_id).label("input"),
    batches.c.input_blob_key,
    batches.c.input_index_key,
).where(batches.c.id == param("id"), batches.c.tenant_id == param("tenant"))

_records_at = sa.cast(segments.c.length - segments.c.count * RECORD.size - TAIL_SIZE + 1, sa.Integer)
_records_length = sa.cast(segments.c.count * RECORD.size, sa.Integer)
_VIEW = (
    sa.select(
        segments.c.seq,
        segments.c.length,
        segments.c.count,
        segments.c.admitted,
        segments.c.at_ms,
        segments.c.blob_key,
        # What is kept after folding has the tail behind it.
        sa.case(
            (segments.c.records.is_not(None), sa.func.substr(segments.c.records, 1, _records_length)),
            else_=sa.func.substr(segments.c.data, _records_at, _records_length),
        ).label("packed"),
        segments.c.data.is_not(None).label("inline"),
    )
    .join(batches, batches.c.seq == segments.c.batch_seq)
    .where(batches.c.id == param("batch"))
)
_FROM = _VIEW.where(segments.c.seq >= param("seq")).order_by(segments.c.seq).limit(param("limit"))
_NAMED = _VIEW.where(segments.c.seq.in_(many("seqs")))
_WHOLE = _NAMED.add_columns(segments.c.data)

_RANGES = (
    sa.select(
        ranges.c.range_no,
        ranges.c.first_line,
        ranges.c.lines,
        ranges.c.done,
        ranges.c.folded,
        ranges.c.output_run_key,
        ranges.c.output_run_at,
        ranges.c.error_run_key,
        ranges.c.error_run_at,
        ranges.c.segment_seqs,
    )
    .join(batches, batches.c.seq == ranges.c.batch_seq)
    .where(batches.c.id == param("batch"), ranges.c.first_line + ranges.c.lines > param("line"))
    .order_by(ranges.c.range_no)
    .limit(param("limit"))
)
_LANES = sa.select(*LANE_COLUMNS).where(lanes.c.id.in_(many("ids")))
_SAMPLES = (
    sa.select(
        samples.c.lane_id,
        samples.c.at_ms,
        samples.c.in_flight,
        samples.c.limit,
        samples.c.throttled,
        samples.c.cost_nano,
    )
    .join(batches, batches.c.seq == samples.c.batch_seq)
    .where(batches.c.id == param("batch"))
    .order_by(samples.c.at_ms.desc(), samples.c.lane_id.desc())
    .limit(param("limit"))
)
_PULSES = sa.select(
    batches.c.id,
    batches.c.state,
    batches.c.total,
    batches.c.completed,
    batches.c.failed,
    batches.c.next_seq,
    batches.c.next_event,
    batches.c.paused_ms,
).where(batches.c.id.in_(many("ids")))


class SqlResults(Verbs):
    def subject(self, tenant_id: str, batch_id: str, now_ms: int) -> Subject | None:
        with self._db.read() as tx:
            row = tx.execute(_SUBJECT, {"id": batch_id, "tenant": tenant_id, "now": now_ms}).first()
        if row is None:
            return None
        output, error, kept, blob_key, index_key = row[len(BATCH_COLUMNS) :]
        return Subject(
            batch=batch_of(row[: len(BATCH_COLUMNS)]),
            output=bool(output),
            error=bool(error),
            input_blob_key=blob_key if kept else None,
            input_index_key=index_key if kept else None,
        )

    def segments_from(self, batch_id: str, seq: int, limit: int) -> list[SegmentView]:
        with self._db.read() as tx:
            rows = tx.execute(_FROM, {"batch": batch_id, "seq": seq, "limit": limit}).all()
        return [_segment_of(row) for row in rows]

    def segments_of(self, batch_id: str, seqs: Sequence[int], *, whole: bool = False) -> list[SegmentView]:
        found: dict[int, SegmentView] = {}
        with self._db.read() as tx:
            for part in chunks(seqs):
                for row in tx.execute(_WHOLE if whole else _NAMED, {"batch": batch_id, "seqs": part}):
                    found[row.seq] = _segment_of(row)
        return [found[seq] for seq in seqs if seq in found]

    def ranges_from(self, batch_id: str, line: int, limit: int) -> list[RangeView]:
        with self._db.read() as tx:
            rows = tx.execute(_RANGES, {"batch": batch_id, "line": line, "limit": limit}).all()
        return [_range_of(row) for row in rows]

    def lane_keys(self, ids: Sequence[int]) -> dict[int, LaneKey]:
        with self._db.read() as tx:
            found = [lane_of(row) for part in chunks(ids) for row in tx.execute(_LANES, {"ids": part})]
        return {lane.id: lane.key for lane in found}

    def samples(self, batch_id: str, limit: int) -> list[Sample]:
        with self._db.read() as tx:
            rows = tx.execute(_SAMPLES, {"batch": batch_id, "limit": limit}).all()
        return [
            Sample(lane_id=lane, at_ms=at, in_flight=flying, limit=most, throttled=throttled, cost_nano=cost)
            for lane, at, flying, most, throttled, cost in reversed(rows)
        ]

    def pulses(self, batch_ids: Sequence[str]) -> dict[str, Pulse]:
        with self._db.read() as tx:
            rows = [row for part in chunks(batch_ids) for row in tx.execute(_PULSES, {"ids": part})]
        return {row[0]: Pulse(*row[1:]) for row in rows}


def _segment_of(row: Row) -> SegmentView:
    seq, length, count, admitted, at_ms, blob_key, records, inline, *data = row
    return SegmentView(
        seq=seq,
        length=length,
        count=count,
        admitted=bitmap.from_bytes(admitted),
        at_ms=at_ms,
        blob_key=blob_key,
        records=records,
        inline=bool(inline),
        data=data[0] if data else None,
    )


def _range_of(row: Row) -> RangeView:
    range_no, first_line, lines, done, folded, output, output_at, error, error_at, seqs = row
    return RangeView(
        range_no=range_no,
        first_line=first_line,
        lines=lines,
        done=bitmap.from_bytes(done),
        folded=bool(folded),
        output=None if output is None else (output, output_at),
        error=None if error is None else (error, error_at),
        segment_seqs=seqs_of(seqs),
    )
