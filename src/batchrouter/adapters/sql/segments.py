"""Reading segments' rows, which both sides of the store do."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from batchrouter.adapters.sql.rows import SEGMENT_COLUMNS, segment_of
from batchrouter.adapters.sql.schema import batches, segments
from batchrouter.adapters.sql.verbs import chunks, many, param
from batchrouter.domain.file import SegmentRef

# One that has no bytes left, because its ranges are folded, is gone.
_SEGMENTS = (
    sa.select(*SEGMENT_COLUMNS)
    .join(batches, batches.c.seq == segments.c.batch_seq)
    .where(
        batches.c.id == param("batch"),
        segments.c.seq.in_(many("seqs")),
        segments.c.data.is_not(None) | segments.c.blob_key.is_not(None),
    )
)


def segments_of(tx: sa.Connection, batch_id: str, seqs: Sequence[int]) -> list[SegmentRef]:
    """The named segments of a batch, in the order asked; those that are gone are left out."""
    found: dict[int, SegmentRef] = {}
    for part in chunks(seqs):
        for row in tx.execute(_SEGMENTS, {"batch": batch_id, "seqs": part}):
            found[row.seq] = segment_of(row)
    return [found[seq] for seq in seqs if seq in found]
