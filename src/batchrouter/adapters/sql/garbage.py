"""Noting which blobs nobody needs any more. The sweeper deletes them later; see `ledger.sweep`."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from batchrouter.adapters.sql.database import upsert
from batchrouter.adapters.sql.schema import batches, files, garbage, ranges, segments, upload_parts
from batchrouter.adapters.sql.verbs import param

_NOTE = upsert(garbage).on_conflict_do_nothing(index_elements=[garbage.c.key])

_batch = param("batch")
_RESULTS = sa.union(
    sa.select(segments.c.blob_key).where(segments.c.batch_seq == _batch, segments.c.blob_key.is_not(None)),
    sa.select(ranges.c.output_run_key).where(ranges.c.batch_seq == _batch, ranges.c.output_run_key.is_not(None)),
    sa.select(ranges.c.error_run_key).where(ranges.c.batch_seq == _batch, ranges.c.error_run_key.is_not(None)),
)

BLOB_COLUMNS: tuple[tuple[sa.Column[str | None], tuple[sa.ColumnElement[bool], ...]], ...] = (
    (files.c.blob_key, (files.c.released == sa.false(),)),
    (files.c.index_key, (files.c.released == sa.false(),)),
    (upload_parts.c.blob_key, ()),
    (batches.c.input_blob_key, (batches.c.live == sa.true(),)),
    (batches.c.input_index_key, (batches.c.live == sa.true(),)),
    (segments.c.blob_key, ()),
    (ranges.c.output_run_key, ()),
    (ranges.c.error_run_key, ()),
)
"""Every column that names a blob, and when the row needs it."""


def note_garbage(tx: sa.Connection, keys: Iterable[str | None], now_ms: int) -> None:
    """From now on nobody needs these blobs. What was garbage before keeps its time."""
    rows = [{"key": key, "since_ms": now_ms} for key in sorted({key for key in keys if key is not None})]
    if rows:
        tx.execute(_NOTE, rows)


def note_results(tx: sa.Connection, batch_seq: int, now_ms: int) -> None:
    """Nobody can read that batch's segments and runs any more."""
    note_garbage(tx, tx.execute(_RESULTS, {"batch": batch_seq}).scalars().all(), now_ms)
