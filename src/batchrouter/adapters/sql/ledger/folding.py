"""Folding: ranges whose every line is done get one run per file."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from batchrouter.adapters.sql.rows import seqs_of
from batchrouter.adapters.sql.schema import batches, ranges, segments
from batchrouter.adapters.sql.segments import segments_of
from batchrouter.adapters.sql.verbs import Verbs, param
from batchrouter.domain.file import SegmentRef
from batchrouter.domain.shard import FoldWork

_ripe = (ranges.c.pending == sa.literal_column("0")) & (ranges.c.folded == sa.false())
_FOLDABLE = (
    sa.select(batches.c.id, ranges.c.range_no, ranges.c.first_line, ranges.c.lines, ranges.c.segment_seqs)
    .select_from(ranges)
    .join(batches, batches.c.seq == ranges.c.batch_seq)
    .where(_ripe, batches.c.purge_ms.is_(None))
    .order_by(ranges.c.batch_seq, ranges.c.range_no)
    .limit(param("limit"))
)
_BATCH = (
    sa.select(batches.c.seq, batches.c.unfolded, batches.c.purge_ms)
    .where(batches.c.id == param("id"))
    .with_for_update()
)
_FOLD = (
    ranges.update()
    .where(ranges.c.batch_seq == param("batch"), ranges.c.range_no == param("no"), _ripe)
    .values(folded=True, output_run_key=param("output"), error_run_key=param("error"))
)
_COUNT_DOWN = batches.update().where(batches.c.seq == param("batch"))
_DROP_INLINE = (
    segments.update().where(segments.c.batch_seq == param("batch"), segments.c.data.is_not(None)).values(data=None)
)


class Folding(Verbs):
    def foldable(self, limit: int) -> list[FoldWork]:
        with self._db.read() as tx:
            rows = tx.execute(_FOLDABLE, {"limit": limit}).all()
        return [
            FoldWork(batch_id=id_, range_no=range_no, first_line=first_line, lines=lines, segment_seqs=seqs_of(seqs))
            for id_, range_no, first_line, lines, seqs in rows
        ]

    def segments(self, batch_id: str, seqs: Sequence[int]) -> list[SegmentRef]:
        """A segment whose inline bytes were dropped after the last fold is gone."""
        with self._db.read() as tx:
            return segments_of(tx, batch_id, seqs)

    def folded(self, batch_id: str, range_no: int, output_key: str | None, error_key: str | None) -> bool:
        """Also False for a range that has lines left to do, and for a batch whose files are gone: its new runs are
        then named by no row."""
        with self._db.write() as tx:
            batch = tx.execute(_BATCH, {"id": batch_id}).first()
            if batch is None or batch.purge_ms is not None:
                return False
            named = {"batch": batch.seq, "no": range_no, "output": output_key, "error": error_key}
            if not tx.execute(_FOLD, named).rowcount:
                return False
            tx.execute(_COUNT_DOWN, {"batch": batch.seq, "unfolded": batch.unfolded - 1})
            if batch.unfolded == 1:
                tx.execute(_DROP_INLINE, {"batch": batch.seq})
            return True
