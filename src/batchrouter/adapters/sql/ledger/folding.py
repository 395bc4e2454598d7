"""Folding: ranges whose every line is done get one run per file."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from batchrouter.adapters.sql.rows import seqs_of
from batchrouter.adapters.sql.schema import batches, ranges, segments
from batchrouter.adapters.sql.segments import segments_of
from batchrouter.adapters.sql.verbs import Verbs, chunks, many, param
from batchrouter.domain.file import SegmentRef
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.outcome import RECORD, TAIL_SIZE
from batchrouter.domain.shard import Fold, FoldWork

_ripe = (ranges.c.pending == sa.literal_column("0")) & (ranges.c.folded == sa.false())
_free = _ripe & (ranges.c.fold_until_ms.is_(None) | (ranges.c.fold_until_ms <= param("now")))
TO_FOLD = (
    sa.select(ranges.c.batch_seq)
    .join(batches, batches.c.seq == ranges.c.batch_seq)
    .where(_free, batches.c.purge_ms.is_(None))
    .group_by(ranges.c.batch_seq)
    .having((sa.func.count() >= param("least")) | (sa.func.min(batches.c.state) != BatchState.IN_PROGRESS))
)
"""Batches that have ranges to fold at `now`; of those in progress only who has `least`."""
_FOLDS = (
    sa.select(
        batches.c.id, ranges.c.batch_seq, ranges.c.range_no, ranges.c.first_line, ranges.c.lines, ranges.c.segment_seqs
    )
    .select_from(ranges)
    .join(batches, batches.c.seq == ranges.c.batch_seq)
    .where(_free, ranges.c.batch_seq.in_(TO_FOLD))
    .order_by(ranges.c.batch_seq, ranges.c.range_no)
    .limit(param("limit"))
    .with_for_update(skip_locked=True, of=ranges)
)
_TAKE = (
    ranges.update()
    .where(ranges.c.batch_seq == param("batch"), ranges.c.range_no == param("no"))
    .values(fold_until_ms=param("until"))
)
_BATCH = (
    sa.select(batches.c.seq, batches.c.unfolded, batches.c.purge_ms)
    .where(batches.c.id == param("id"))
    .with_for_update()
)
_RIPE = sa.select(sa.func.count()).where(
    ranges.c.batch_seq == param("batch"), ranges.c.range_no.in_(many("nos")), _ripe
)
_FOLD = (
    ranges.update()
    .where(ranges.c.batch_seq == param("batch"), ranges.c.range_no == param("no"))
    .values(
        folded=True,
        output_run_key=param("output"),
        output_run_at=param("output_at"),
        error_run_key=param("error"),
        error_run_at=param("error_at"),
    )
)
_COUNT_DOWN = batches.update().where(batches.c.seq == param("batch"))
_records_at = sa.cast(segments.c.length - segments.c.count * RECORD.size - TAIL_SIZE + 1, sa.Integer)
# What is known of each line stays: records and tail, which end the segment (`domain.outcome`).
_DROP_INLINE = (
    segments.update()
    .where(segments.c.batch_seq == param("batch"), segments.c.data.is_not(None))
    .values(
        records=sa.func.substr(segments.c.data, _records_at),
        data=None,
    )
)


class Folding(Verbs):
    def take_folds(self, now_ms: int, until_ms: int, least: int, limit: int) -> list[FoldWork]:
        with self._db.write() as tx:
            rows = tx.execute(_FOLDS, {"now": now_ms, "least": least, "limit": limit}).all()
            if rows:
                tx.execute(_TAKE, [{"batch": row.batch_seq, "no": row.range_no, "until": until_ms} for row in rows])
        return [
            FoldWork(
                batch_id=row.id,
                range_no=row.range_no,
                first_line=row.first_line,
                lines=row.lines,
                segment_seqs=seqs_of(row.segment_seqs),
            )
            for row in rows
        ]

    def segments(self, batch_id: str, seqs: Sequence[int]) -> list[SegmentRef]:
        """A segment whose inline bytes were dropped after the last fold is gone."""
        with self._db.read() as tx:
            return segments_of(tx, batch_id, seqs)

    def folded(self, batch_id: str, folds: Sequence[Fold]) -> bool:
        """Also False for a batch whose files are gone. The new runs are then named by no row."""
        with self._db.write() as tx:
            batch = tx.execute(_BATCH, {"id": batch_id}).first()
            if batch is None or batch.purge_ms is not None:
                return False
            nos = [fold.range_no for fold in folds]
            if sum(tx.execute(_RIPE, {"batch": batch.seq, "nos": part}).scalar_one() for part in chunks(nos)) != len(
                nos
            ):
                return False
            tx.execute(_FOLD, [_values(batch.seq, fold) for fold in folds])
            tx.execute(_COUNT_DOWN, {"batch": batch.seq, "unfolded": batch.unfolded - len(nos)})
            if batch.unfolded == len(nos):
                tx.execute(_DROP_INLINE, {"batch": batch.seq})
            return True


def _values(batch_seq: int, fold: Fold) -> dict[str, int | str | None]:
    output, error = fold.output or (None, 0), fold.error or (None, 0)
    return {
        "batch": batch_seq,
        "no": fold.range_no,
        "output": output[0],
        "output_at": output[1],
        "error": error[0],
        "error_at": error[1],
    }
